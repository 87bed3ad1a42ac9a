"""The interface through which texts are made: translations, and times, numbers and sizes as a
person's locale writes them.
"""

from typing import Protocol


class LocaleFormatter(Protocol):
    """One language and one locale. `ui.i18n` implements it with Qt; tests use a plain one."""

    def translate(self, context: str, text: str, n: int = -1) -> str: ...

    def moment(self, at: int) -> str:
        """Write a point in time, given in seconds since the epoch."""
        ...

    def number(self, value: float, decimals: int) -> str: ...

    def size(self, count_bytes: int) -> str: ...


def counted(count: int, one: str, many: str) -> str:
    """`one` for a count of one, else `many` with its "{count}" filled in."""
    return one if count == 1 else many.format(count=count)
