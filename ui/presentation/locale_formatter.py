"""What texts are made with: translated sentences, and moments, numbers and sizes as a person's
locale writes them.
"""

from typing import Protocol


class LocaleFormatter(Protocol):
    """A language: translated texts, moments, numbers and sizes as this person's locale writes
    them.
    """

    def translate(self, context: str, text: str, n: int = -1) -> str: ...

    def moment(self, at: int) -> str: ...

    def number(self, value: float, decimals: int) -> str: ...

    def size(self, count_bytes: int) -> str: ...


def counted(count: int, one: str, many: str) -> str:
    """`one`, or `many` with its "{count}"."""
    return one if count == 1 else many.format(count=count)
