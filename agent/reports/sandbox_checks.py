"""Checks the sandbox of the worker by breaking out of it: a real worker tries, and says how far it
got.

It needs no consent: it opens nothing of the person's that a sandbox would let it open, and keeps
nothing.
"""

import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.errors import AegisError
from agent.reports.check import Check

if TYPE_CHECKING:
    from agent.protocol.jobs import Attempted, EscapeResult
    from agent.sandbox.minimum import Offered

log = logging.getLogger(__name__)

_UNVERIFIED = "The sandbox has not been verified on this operating system."
_REMEDY = "Report this."


@dataclass(frozen=True)
class SandboxChecks:
    """The rules in force, what each attempt reached, and what follows for files nobody named."""

    attempt: "Callable[[], Awaitable[EscapeResult]]"
    """Lets a worker try; raises AegisError and OSError when none could be started."""
    offered: "Callable[[], Offered]"

    async def checks(self) -> list[Check]:
        """Start one worker and let it try. About half a second."""
        offered = in_force = self.offered()
        try:
            result = await self.attempt()
        except (AegisError, OSError) as error:
            log.info("doctor.no_escape error=%s", error)
            tried = [Check("worker sandbox", None, "could not be tested here")]
        else:
            # What is offered may still fail, e.g. inside too many other sandboxes.
            in_force = _as_applied(offered, result)
            remedy = _why(in_force)
            tried = [_rules(result), *(_escape(one, remedy) for one in result.attempts)]
        return [*tried, _landlock(offered), _unnamed(in_force)]


def _as_applied(offered: "Offered", result: "EscapeResult") -> "Offered":
    return replace(
        offered,
        landlock=offered.landlock if "named files only" in result.rules else 0,
        system_calls=offered.system_calls and "listed system calls only" in result.rules,
    )


def _rules(result: "EscapeResult") -> Check:
    from agent.sandbox.rules import RULES

    missing = [name for name in RULES if name not in result.rules]
    lacks = f"This system does not offer: {', '.join(missing)}." if missing else ""
    if sys.platform != "linux":
        lacks = f"{_UNVERIFIED} {lacks}".strip()
    in_force = ", ".join(name for name in RULES if name in result.rules)
    return Check("worker sandbox", not missing, in_force or "none", lacks)


def _escape(attempt: "Attempted", remedy: str) -> Check:
    name = f"escape: {attempt.name}"
    if attempt.possible:
        return Check(name, False, f"possible: {attempt.possible}", remedy)
    return Check(name, True, "refused")


def _why(offered: "Offered") -> str:
    """What an escape that works comes from."""
    from agent.sandbox.minimum import missing

    lacks = missing(offered)
    return f"This system lacks {' and '.join(lacks)}." if lacks else _REMEDY


def _landlock(offered: "Offered") -> Check:
    from agent.sandbox.landlock import names

    if not offered.landlock:
        return Check("Landlock", None, "none")
    return Check(
        "Landlock", None, f"version {offered.landlock}: {', '.join(names(offered.landlock))}"
    )


def _unnamed(offered: "Offered") -> Check:
    from agent.sandbox.minimum import refusal

    why = refusal(offered)
    return Check("files that nobody named", not why, "not read here" if why else "may be read", why)
