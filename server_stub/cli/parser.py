"""Builds an argument parser from a table of commands.

Options cannot be abbreviated, so that a new option never changes what a script means.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import agent
from agent.paths import default_home
from agent.printable import ArgumentParser

Answer = dict[str, Any]
DESCRIPTION = "Run and administer an AegisAI aggregator."
EPILOG = """first steps:
  aegis-server init                   create keys, task and first model
  aegis-server run                    serve devices
  aegis-server token create           print an invitation for a person

exit codes: 0 done, 1 refused or failed (one line on stderr), 2 usage"""


@dataclass(frozen=True)
class Argument:
    """One positional argument or option, as `add_argument` takes it."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]


def argument(*names: str, **settings: Any) -> Argument:
    """Shorthand: `argument("--uses", type=positive, help=...)`."""
    return Argument(names, settings)


@dataclass(frozen=True)
class Command:
    """One row of the table of commands."""

    words: str
    """As typed: "stats" or "token create"."""
    help: str
    answer: Callable[[argparse.Namespace], Answer | None]
    """Does the work. Returns the JSON answer, or None if there is nothing to print."""
    text: Callable[[Answer], str] = str
    """Renders the answer for a terminal."""
    arguments: tuple[Argument, ...] = ()


def build_parser(groups: Mapping[str, str], table: Iterable[Command]) -> argparse.ArgumentParser:
    """Build the parser. Its namespace has the chosen row of the table as `command`.

    `groups`: the first words that several commands share, with their help.
    """
    common = ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--home",
        type=Path,
        default=_default_home(),
        metavar="DIR",
        help="the server's folder (default: AEGIS_SERVER_HOME, else the platform's data folder)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON document")
    common.add_argument("--verbose", action="store_true", help="log to stderr")
    parser = ArgumentParser(
        prog="aegis-server",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"aegis-server {agent.__version__}")
    top = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    actions: dict[str, Any] = {}
    for command in table:
        first, _, second = command.words.partition(" ")
        if second and first not in actions:
            text = groups[first]
            group = top.add_parser(
                first, help=text, description=_sentence(text), allow_abbrev=False
            )
            actions[first] = group.add_subparsers(metavar="ACTION", required=True)
        parent, name = (actions[first], second) if second else (top, first)
        child = parent.add_parser(
            name,
            parents=[common],
            help=command.help,
            description=_sentence(command.help),
            allow_abbrev=False,
        )
        child.set_defaults(command=command)
        for one in command.arguments:
            child.add_argument(*one.names, **one.settings)
    return parser


def _default_home() -> Path:
    configured = os.environ.get("AEGIS_SERVER_HOME")
    if configured:
        return Path(configured)
    return default_home({**os.environ, "AEGIS_HOME": ""}).with_name("aegisai-server")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
