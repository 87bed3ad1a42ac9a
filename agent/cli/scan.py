"""The command `scan`: asks for verdicts while it shows how far the scan is, and turns the answer
into text, a SARIF file and an exit code. Without an agent it builds none.
"""

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from agent.cli.backend import Answer, home_of, over_channel
from agent.protocol.pipe import Frame

if TYPE_CHECKING:
    from agent.supervisor.early_child import EarlyChild

EXIT_FOUND = 3
FEW_LISTED = 10
"""A scan of so few files lists every one of them."""
MOST_LISTED = 50
"""Of one sort; `--all` lists more."""
_SORTS = (
    ("malicious", "Suspicious"),
    ("unsure", "Unsure"),
    ("error", "Not read"),
    ("benign", "Look benign"),
    ("not_pe", "Other files"),
)
_PROBLEMS = ("malicious", "unsure", "error")
_BAR_CHARS = 24
_BAR_AFTER_S = 0.4
"""A shorter scan shows no bar."""


def scan(options: Namespace) -> Answer:
    """Scan and, where asked, write the SARIF file."""
    bar = ProgressBar(sys.stderr)
    params = {"paths": [os.path.abspath(path) for path in options.paths]}  # noqa: PTH100 - as typed
    early: EarlyChild | None = getattr(options, "early", None)

    def reached() -> None:
        if early is not None:  # the agent has a worker of its own
            early.close()

    try:
        answer = over_channel(options, "scan", params, bar.show, reached)
        if answer is None:
            if early is not None:
                early.announce(Frame({"job": "scan"}, (json.dumps(params["paths"]).encode(),)))
            # Loaded while the worker gets ready.
            import asyncio

            from agent import scanner

            answer = asyncio.run(
                scanner.scan(home_of(options), os.environ, params, bar.show, early)
            )
    finally:
        bar.remove()
    if options.sarif:
        from agent.cli.sarif import write_sarif

        write_sarif(options.sarif, answer)
    return answer


def exit_code(answer: Answer, options: Namespace) -> int:
    """EXIT_FOUND when the scan found what `--fail-on` names, or worse."""
    counts = answer["counts"]
    found = {
        "malicious": counts["malicious"],
        "unsure": counts["malicious"] + counts["unsure"],
    }
    return EXIT_FOUND if options.fail_on and found[options.fail_on] else 0


def scan_text(answer: Answer, options: Namespace) -> str:
    """The summary, then what deserves a look, then what the verdicts are worth."""
    results = answer["results"]
    shown = _SORTS if options.all or len(results) <= FEW_LISTED else _SORTS[: len(_PROBLEMS)]
    lines = [_summary(answer["counts"])]
    for verdict, heading in shown:
        found = [one for one in results if one["verdict"] == verdict]
        if verdict in ("malicious", "unsure"):
            found.sort(key=lambda one: -one["probability"])
        if not found:
            continue
        lines += ["", f"{heading}:"]
        listed = found if options.all else found[:MOST_LISTED]
        for one in listed:
            lines += _file_lines(one)
        if len(found) > len(listed):
            lines.append(f"  {len(found) - len(listed):,} more; --all lists them.")
    is_scored = any(one["probability"] is not None for one in results)
    return "\n".join([*lines, "", *_worth(answer)] if is_scored else lines)


def _summary(counts: dict[str, int]) -> str:
    programs = counts["benign"] + counts["unsure"] + counts["malicious"]
    parts = [
        f"{counts['benign']:,} look{'s' if counts['benign'] == 1 else ''} benign",
        f"{counts['unsure']:,} unsure",
        f"{counts['malicious']:,} suspicious",
    ]
    text = f"{programs:,} program{'' if programs == 1 else 's'}"
    text += f": {', '.join(parts)}" if programs else ""
    text += f"; {_files(counts['not_pe'], 'other ')}"
    return f"{text}; {_files(counts['error'])} not read." if counts["error"] else f"{text}."


def _files(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}file{'' if count == 1 else 's'}"


def _file_lines(one: dict[str, Any]) -> list[str]:
    if one["probability"] is None:
        return [f"  {one['path']}: {one['message']}"]
    lines = [f"  {one['path']}: score {one['probability']:.3f}"]
    if one["provenance"]:
        lines.append(f"      {one['provenance']}")
    lines += [
        f"      {'raises' if reason['weight'] > 0 else 'lowers'} it: {reason['text']}"
        for reason in one["reasons"]
    ]
    return lines


def _worth(answer: Answer) -> list[str]:
    """What model gave the verdicts, and how far they can be trusted."""
    if answer["demonstration"]:
        lines = ["Scored by the demonstration model, made from invented files: no protection."]
    else:
        age = answer["model_age_days"]
        days = "" if age is None else f", {age:,} day{'' if age == 1 else 's'} old"
        lines = [f"Scored by model version {answer['model_version']}{days}."]
    if answer["model_too_old"]:
        lines.append("The model is too old: newer programs may be misjudged.")
    lines.append(
        f"A score is the probability of being malicious, from the file's header alone: suspicious"
        f" from {answer['malicious_from']:g}, benign below {answer['benign_below']:g}."
    )
    rate = answer["false_positive_rate"]
    lines.append(
        "How many benign programs it calls suspicious has not been measured."
        if rate is None
        else f"By its operator's measurement it calls {100 * rate:.2g} % of benign programs"
        " suspicious."
    )
    return lines


class ProgressBar:
    """One line on a terminal, rewritten in place; nothing where the stream is none."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now = now
        self._started = now()
        self._is_shown = False
        self._is_terminal = stream.isatty()

    def show(self, done: int, total: int) -> None:
        if not self._is_terminal or self._now() - self._started < _BAR_AFTER_S:
            return
        self._is_shown = True
        full = _BAR_CHARS * done // max(total, 1)
        self._stream.write(
            f"\r[{'#' * full}{'.' * (_BAR_CHARS - full)}] {done:,} of {total:,} files;"
            " Ctrl-C cancels\x1b[K"
        )
        self._stream.flush()

    def remove(self) -> None:
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
