"""The `aegis-server` command: parse, answer, print.

Exit codes: 0 done, 1 refused or failed (one line on stderr; with `--json` the error
also on stdout), 2 usage.
"""

import argparse
import contextlib
import logging
import os
import sqlite3
import sys
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from agent.errors import AegisError, InternalError, OperatorActionError, traced
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
        return _fail(error, options)
    except BrokenPipeError:
        # The reader of the output has gone (`| head`). Python flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (sqlite3.Error, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        return _fail(
            OperatorActionError(
                "DATABASE",
                f"The database cannot be used ({reason}).",
                "Check the disk and the file's permissions.",
            ),
            options,
        )
    except OSError as error:
        return _fail(_file_error(error), options)
    except KeyboardInterrupt:
        return 1
    except Exception as error:  # broad on purpose: an operator gets one line
        return _fail(_unexpected(error), options)
    return 0


def _fail(error: AegisError, options: argparse.Namespace) -> int:
    print(printable(f"{error.code}: {error}"), file=sys.stderr)
    if options.json:
        with contextlib.suppress(OSError):  # the output takes nothing more
            print(json_text({"error": error.to_json()}), flush=True)
    return 1


def _file_error(error: OSError) -> AegisError:
    where = f": {error.filename}" if error.filename else ""
    return OperatorActionError(
        "FILE", f"{error.strerror or error}{where}.", "Check the path and its permissions."
    )


def _unexpected(error: Exception) -> AegisError:
    """Return an error of the system that a library wrapped, or a bug."""
    what = traced(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return _file_error(cause)
        cause = cause.__cause__ or cause.__context__
    return InternalError("INTERNAL", f"{what}.", "This is a bug; report it.")


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
