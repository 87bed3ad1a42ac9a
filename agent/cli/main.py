"""The `aegis` command: parse, answer, print.

Heavy modules are imported where they are used, so that `aegis status` answers at once. Exit codes:
0 done, 1 refused or failed, 2 usage, 3 `scan --fail-on` found something.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.cli import commands, render
from agent.cli.parser import Command, Program, build_parser
from agent.errors import AegisError, InternalError, UserActionError, traced
from agent.files.disk_errors import explained
from agent.printable import json_text, never_fail, printable
from agent.program.process import WHOLE

if TYPE_CHECKING:
    from agent.supervisor.early_child import EarlyChild

EXIT_REFUSED, EXIT_INTERRUPTED = 1, 130
_NOT_LOADED = ("agent.__main__", "agent.worker.__main__")
"""Modules that run when they are imported."""

PROGRAM = Program(
    name="aegis",
    description="Help improve a malware detector from your computer, and give no file away.",
    epilog="""first steps:
  aegis scan ~/Downloads      score programs on this computer; sends nothing
  aegis enroll INVITATION     store an operator's invitation; contacts nobody yet
  aegis consent show          read what you are asked, and how to say yes
  aegis status                see what happens, and every reason for waiting

exit codes: 0 done, 1 refused or failed (one line on stderr), 2 usage, 3 scan --fail-on found
something""",
    groups=commands.GROUPS,
    external={
        "tray": "the icon in the notification area; also aegis without a command",
        "window": "the window",
        "demo": "an aggregator and many devices on this computer, with a report",
        "simulate": "many devices in one process, for research",
    },
)
"""Other packages add the external commands through the entry-point group "aegisai.commands"."""


def main(argv: list[str] | None = None, early: "EarlyChild | None" = None) -> int:
    """Run one command and return its exit code. `early`: the worker of a scan, if it runs."""
    words = list(sys.argv[1:] if argv is None else argv)
    never_fail()
    if words[:1] == ["--worker"]:  # A bundled program starts its worker through itself.
        from agent.worker.__main__ import main as run_worker

        return int(run_worker(words[1:]) or 0)
    if words[:2] == ["--version", WHOLE]:
        return _answer_if_whole(words[2:])
    try:
        if not words or words[0] in PROGRAM.external:
            return _run_external(words[0] if words else "tray", words[1:])
        return _run(parser().parse_args(words, argparse.Namespace(early=early)))
    except AegisError as error:
        return _fail(error, as_json="--json" in words)
    except BrokenPipeError:
        _drop_output()
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        _drop_output()
        return _fail(explained(error), as_json=False)
    except Exception as error:  # broad on purpose: a person gets one line, and no stack of calls
        return _fail(_bug(error), as_json="--json" in words)


def _answer_if_whole(words: list[str]) -> int:
    """Load all that a command may need later, then say the version (agent.program)."""
    import importlib
    import pkgutil

    import agent

    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        if module.name not in _NOT_LOADED:
            importlib.import_module(module.name)
    if words and words[0] in PROGRAM.external:
        _external(words[0])
    print(f"{PROGRAM.name} {agent.__version__}", flush=True)
    return 0


def parser() -> argparse.ArgumentParser:
    """The whole command line; the manual page is made from it."""
    return build_parser(PROGRAM, commands.TABLE)


def _run(options: argparse.Namespace) -> int:
    command: Command = options.command
    answer = command.answer(options)
    if answer is None:
        return 0
    more = (options,) if command.with_options else ()
    text = None if options.json else lambda shown: command.text(shown, *more)
    print(render.shown(answer, text), flush=True)
    return command.exit_code(answer, *more)


def _drop_output() -> None:
    """The output takes nothing more (a closed pipe, a full disk); Python flushes it once again."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _bug(error: Exception) -> InternalError:
    """Return the line for a bug."""
    return InternalError(
        "INTERNAL", f"Something went wrong inside AegisAI ({traced(error)}).", "Report this."
    )


def _fail(error: AegisError, *, as_json: bool) -> int:
    print(printable(f"aegis: {error.code}: {error}"), file=sys.stderr)
    if as_json:
        try:
            print(json_text({"error": error.to_json()}), flush=True)
        except OSError:
            _drop_output()
    return EXIT_REFUSED


def _run_external(name: str, words: list[str]) -> int:
    return int(_external(name)(words) or 0)


def _external(name: str) -> Callable[[list[str]], int | None]:
    from importlib.metadata import entry_points

    for point in entry_points(group="aegisai.commands", name=name):
        try:
            command: Callable[[list[str]], int | None] = point.load()
        except ImportError as error:
            raise UserActionError(
                "PART_MISSING",
                f"aegis {name} needs a part that is not installed.",
                "Install aegisai with its extras.",
                str(error),
            ) from error
        return command
    raise UserActionError(
        "PART_MISSING", f"aegis {name} is not installed.", "Install aegisai with its extras."
    )
