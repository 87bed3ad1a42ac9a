"""The least that must confine a worker before it opens files that no person named.

A person who names a file or a folder takes part in the choice, and may do so everywhere. What the
agent would collect by itself is opened only where a hostile file can reach neither the agent's
memory nor any other file. Later versions of Landlock add to this and are not asked for.
"""

import sys
from dataclasses import dataclass

from agent.sandbox import landlock, private_memory, seccomp


@dataclass(frozen=True)
class Offered:
    """What this system offers for confining a worker."""

    system_calls: bool
    """A list of the allowed system calls (seccomp) for this architecture."""
    landlock: int
    """The version of Landlock; 0: none."""
    private_agent: bool
    """The agent's memory is closed to other programs."""


def offered_here() -> Offered:
    """Ask the kernel. It starts nothing and takes microseconds."""
    if sys.platform != "linux":
        return Offered(system_calls=False, landlock=0, private_agent=False)
    return Offered(seccomp.is_offered(), landlock.version(), private_memory.is_private())


def missing(offered: Offered) -> tuple[str, ...]:
    """Return what is missing for files that nobody named, in words; nothing if all is there."""
    lacks = (
        (offered.system_calls, "a list of allowed system calls (seccomp)"),
        (offered.landlock >= 1, "Landlock"),
        (offered.private_agent, "an agent whose memory is closed to other programs"),
    )
    return tuple(words for is_there, words in lacks if not is_there)


def refusal(offered: Offered) -> str:
    """Return why files that nobody named are not read here, as one sentence; "" if they may be."""
    lacks = missing(offered)
    if not lacks:
        return ""
    return (
        "AegisAI reads only files that you name: to confine the process that reads them, this"
        f" system lacks {' and '.join(lacks)}."
    )
