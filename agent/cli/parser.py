"""Builds an argument parser from a table of commands. Options cannot be abbreviated, so adding one
never changes what a script means.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent import __version__
from agent.printable import ArgumentParser


@dataclass(frozen=True)
class Argument:
    """One positional argument or option, as `add_argument` takes it."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]


def argument(*names: str, **settings: Any) -> Argument:
    """`argument("--limit", type=int, help=...)`."""
    return Argument(names, settings)


@dataclass(frozen=True)
class Command:
    """One row of the table of commands."""

    words: str
    """As it is typed: "status" or "consent show"."""
    help: str
    answer: Callable[[argparse.Namespace], dict[str, Any] | None]
    """Does the work and returns the JSON answer; None when it has printed everything itself."""
    text: Callable[..., str] = str
    """The answer for a terminal."""
    arguments: tuple[Argument, ...] = ()
    exit_code: Callable[..., int] = field(default=lambda _: 0)
    with_options: bool = False
    """Whether `text` and `exit_code` take the options too, as their second argument."""


@dataclass(frozen=True)
class Program:
    """What `--help` of the whole program says."""

    name: str
    description: str
    epilog: str
    groups: Mapping[str, str]
    """First words that several commands share, with their help."""
    external: Mapping[str, str]
    """Commands of other packages, listed here and parsed there."""


def build_parser(program: Program, table: Iterable[Command]) -> argparse.ArgumentParser:
    """A parser whose namespace has `command`, the row that was chosen."""
    common = ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--home",
        metavar="DIR",
        help="folder of this agent (default: AEGIS_HOME, else the platform's data folder)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON document")
    parser = ArgumentParser(
        prog=program.name,
        description=program.description,
        epilog=program.epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program.name} {__version__}")
    top = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    groups: dict[str, Any] = {}
    for command in table:
        first, _, second = command.words.partition(" ")
        if second and first not in groups:
            text = program.groups[first]
            group = top.add_parser(first, help=text, description=text, allow_abbrev=False)
            groups[first] = group.add_subparsers(metavar="ACTION", required=True)
        parent, name = (groups[first], second) if second else (top, first)
        child = parent.add_parser(
            name, parents=[common], help=command.help, description=command.help, allow_abbrev=False
        )
        child.set_defaults(command=command)
        for one in command.arguments:
            child.add_argument(*one.names, **one.settings)
    for name, text in program.external.items():
        # For the list only: `main` hands the words over before they are parsed.
        top.add_parser(name, help=text, add_help=False, allow_abbrev=False)
    return parser
