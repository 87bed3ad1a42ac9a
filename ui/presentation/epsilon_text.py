"""ε as the window writes it: the digits of every other surface, in the person's locale."""

from agent.status import UNKNOWN, epsilon_in_words
from ui.presentation.locale_formatter import LocaleFormatter


def epsilon_text(value: float | None, formatter: LocaleFormatter) -> str:
    """Write ε, rounded up; None is unknown."""
    digits = epsilon_in_words(value)
    if digits == UNKNOWN:
        return formatter.translate("View", "unknown")
    return formatter.number(float(digits), len(digits.partition(".")[2]))
