"""One line of the doctor's answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line of the doctor's answer."""

    name: str
    ok: bool | None
    """None: not checked, or a fact that is neither good nor bad."""
    value: str
    remedy: str = ""
