"""Text that is safe to show: names of files, texts of servers and values of the store may hold
characters that a terminal, a log or a window would obey instead of showing.

1. Control characters, line breaks included, marks of the writing direction, and invisible marks are
   shown as escapes: one value stays one line, and what it says is what is read.
2. A byte of a file name that is no text, which Python keeps as a lone surrogate, is shown as that
   byte.
3. Output never fails: what the terminal's encoding lacks is shown as an escape too.
"""

import argparse
import json
import logging
import re
import sys
import unicodedata
from contextlib import suppress
from typing import Any, NoReturn

_JOINERS = "\u200c\u200d"
"""Persian and Indic scripts, and emoji, are written with them."""
_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_BYTES = range(0xDC80, 0xDD00)
"""How Python keeps bytes 0x80 to 0xff of a name that are no text."""
_DOUBTFUL = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """Return `text` as one line that can be shown."""
    return _DOUBTFUL.sub(lambda found: _shown(found[0]), text)


def printable_values(value: Any) -> Any:
    """Return a JSON value with every text in it, keys included, as `printable` shows it."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable_values(item) for item in value]
    return value


def json_text(value: Any, indent: int | None = None) -> str:
    """Return JSON that reads back as `value` and can be shown."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Outside of strings JSON has ASCII only, and inside an escape means the same character.
    return "\n".join(
        _DOUBTFUL.sub(lambda found: _in_json(found[0]), line) for line in text.split("\n")
    )


def never_fail() -> None:
    """Let standard output and error show what their encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose refusals quote what was typed as `printable` shows it."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class LogFormatter(logging.Formatter):
    """A formatter of one line for each event; only a traceback has more."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, info: Any) -> str:
        return "\n".join(map(printable, super().formatException(info).split("\n")))


def _shown(character: str) -> str:
    if _is_harmless(character):
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _in_json(character: str) -> str:
    if _is_harmless(character):
        return character
    # json escapes DEL in no mode.
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def _is_harmless(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _CATEGORIES
