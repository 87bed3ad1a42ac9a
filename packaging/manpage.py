"""Generates aegis(1) from the command's own help, so that the two cannot differ."""

import argparse
from collections.abc import Iterator
from typing import Any


def manpage(parser: argparse.ArgumentParser, date: str, version: str) -> str:
    """Return the page as troff; `date` is YYYY-MM-DD."""
    lines = [
        f'.TH AEGIS 1 "{date}" "aegis {version}" "User Commands"',
        ".SH NAME",
        f"aegis \\- {_text((parser.description or '').rstrip('.').lower())}",
        ".SH SYNOPSIS",
        ".B aegis",
        "[COMMAND] [OPTIONS]",
        ".SH COMMANDS",
        *_commands(parser, ()),
        ".SH EXIT STATUS",
        (
            "0: done. 1: refused or failed, with one line on standard error. 2: the command line is"
            " not valid."
        ),
        ".SH FILES",
        ".TP",
        ".I ~/.local/share/aegisai",
        "everything that this person's agent stores; AEGIS_HOME or \\-\\-home moves it",
        ".TP",
        ".I /etc/aegisai/policy.toml",
        "the machine's policy: it can forbid and tighten, never consent; a policy to copy is in"
        " /usr/share/doc/aegisai/examples",
    ]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser, before: tuple[str, ...]) -> Iterator[str]:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        helps: dict[str, Any] = {choice.dest: choice.help for choice in action._choices_actions}
        for name, child in action.choices.items():
            words = (*before, name)
            if any(isinstance(deeper, argparse._SubParsersAction) for deeper in child._actions):
                yield from _commands(child, words)
                continue
            usage = (
                " ".join(child.format_usage().removeprefix("usage: ").split())
                .replace("[-h] ", "")
                .replace("[--home DIR] ", "")
            )
            yield from (
                ".TP",
                f".B {_text(usage)}",
                _text(f"{helps.get(name) or child.description or ''}."),
            )


def _text(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
