"""Reads the values of options. Each function raises ArgumentTypeError or ValueError."""

from argparse import ArgumentTypeError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_DIGITS = 9


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"expected a positive number, got {number}")
    return number


def not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ArgumentTypeError(f"expected zero or a positive number, got {number}")
    return number


def thousandths(text: str) -> int:
    """Read a decimal number as whole thousandths: "0.5" is 500."""
    number = float(text)
    if not abs(number) < 10**MAX_DIGITS:  # not a number (NaN) fails this as well
        raise ArgumentTypeError(f"expected a number, got {text[:40]}")
    return round(number * 1000)


def seconds(text: str) -> int:
    """Read a duration: 900, 15m, 24h or 7d."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    if not number.isascii() or not number.isdigit() or len(number) > MAX_DIGITS:
        raise ArgumentTypeError(f"expected a duration such as 900, 15m, 24h or 7d, got {text[:40]}")
    return int(number) * UNITS_S[unit]
