"""Finds out which rules of the sandbox hold on this machine: a child applies them, tries to break
each, and prints the outcome.
"""

import json
import os
import subprocess
import sys

import psutil

from agent.sandbox import priority

DEADLINE_S = 60.0
"""The child has the lowest priority: it takes 0.1 s, but a busy machine may make it wait."""
RULES = (
    "no network",
    "no children",
    "dies with its parent",
    "memory",
    "file size",
    "no core dump",
    "lowest priority",
    "idle I/O",
)
"""What should confine a worker, the most important first."""


def enforced_here() -> dict[str, bool]:
    """Return for each rule whether it holds; nothing if the child could not run.

    Blocking, about 0.1 s.
    """
    command = [sys.executable, "-P", "-m", __name__, str(os.getpid())]
    pipe = subprocess.PIPE
    try:
        with psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as child:
            from_outside = priority.lower(child)
            try:
                answer, _ = child.communicate(timeout=DEADLINE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
        found = json.loads(answer)
    except (OSError, psutil.Error, subprocess.SubprocessError, ValueError):
        return {}
    in_child = {str(name): holds is True for name, holds in found.items()}
    return {**in_child, **dict.fromkeys(from_outside, True)}


def main(parent_pid: int) -> None:
    """Apply all rules to this process, try to break them, print one JSON object."""
    from agent.sandbox.rules import SandboxRules, apply

    in_force = apply(SandboxRules(parent_pid, 2**29, 2**20))
    holds = {
        **dict.fromkeys(in_force.names, True),
        "no network": not _reaches_network(),
        "no children": not _forks(),
    }
    sys.stdout.write(json.dumps(holds) + "\n")


def _reaches_network() -> bool:
    import socket

    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 9))
    except ConnectionRefusedError:  # the machine's own loopback answered
        return True
    except OSError:
        return False
    return True


def _forks() -> bool:
    if not hasattr(os, "fork"):
        return True
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]))
