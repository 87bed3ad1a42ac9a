"""Starts the `aegis` command. The worker of a scan starts first of all, so that it loads while the
command does. Where an agent runs it is of no use, and ends at once.
"""

import sys

_HELP = {"-h", "--help"}


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code (agent.cli.main)."""
    words = list(sys.argv[1:] if argv is None else argv)
    early = None
    if words[:1] == ["scan"] and not _HELP.intersection(words):
        from agent.supervisor.early_child import start_for_scan

        early = start_for_scan()
    try:
        from agent.cli.main import main as run

        return run(words, early)
    finally:
        if early is not None:
            early.close()
