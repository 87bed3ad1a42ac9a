"""The `aegis-server` command: parse, answer, print.

Exit codes: 0 done, 1 refused or failed (one line on stderr), 2 usage.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from agent.errors import AegisError, InternalError
from agent.printable import LogFormatter, json_text, never_fail, printable, printable_values
from agent.sandbox import private_memory
from server_stub.cli.commands import GROUPS, TABLE
from server_stub.cli.parser import Command, build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    never_fail()
    options = parser().parse_args(argv)
    private_memory.keep_private()  # most commands read a key
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(asctime)s %(name)s %(message)s"))
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        _run(options)
    except AegisError as error:
        print(printable(f"{error.code}: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of the output has gone (`| head`). Python flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        text = f"FILE: {error.strerror or error}: {error.filename or ''}"
        print(printable(text), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the whole command line."""
    return build_parser(GROUPS, TABLE)


def _run(options: argparse.Namespace) -> None:
    command: Command = options.command
    answer = command.answer(options)
    if answer is not None:
        text = json_text(answer) if options.json else command.text(printable_values(answer))
        print(text, flush=True)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except InternalError as error:
        raise SystemExit(str(error)) from error
