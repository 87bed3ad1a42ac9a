"""The report of a demonstration for a terminal of 80 columns or more. It ends with the verdict."""

import math
from typing import TYPE_CHECKING

from agent.detector.model import Metrics
from agent.printable import printable
from agent.privacy.policy import DeviceLimits
from agent.status import epsilon_in_words, rounded_up
from server_stub.demo.evaluation import Evaluation
from server_stub.demo.report import Report, protection

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

BASE = "Without devices: the operator's rows alone. The rest is the devices' merit."
_PRODUCT = DeviceLimits()
_TEST_FLOOR = (
    f" The product itself demands groups of {_PRODUCT.min_group} and sums of {_PRODUCT.min_sum}."
)


def render(report: Report) -> "RenderableType":
    """The whole report; print it with rich."""
    from rich.console import Group
    from rich.text import Text

    verdict = report.verdict
    sections = [
        _line(report.consent),
        _line(f"Data: {report.data}."),
        _line(f"Devices: {report.devices}. {report.full_agent}"),
        *([_line(_groups(report))] if report.group_floor else []),
        *([_line(f"Colluding devices: {report.colluders}.")] if report.colluders else []),
        *([_line(f"Spending: {report.spending}")] if report.spending else []),
        Text(),
        _line(f"On {report.holdout_rows:,} rows that nobody trained on:"),
        *([Text(report.headline, "bold")] if report.headline else []),
        _figures(report),
        *(_line(f"  {line}") for line in _explanations(report)),
        Text(),
        _line(_privacy(report)),
        _line(
            f"Traffic: {report.bytes_up:,.0f} bytes up and {report.bytes_down:,.0f} bytes down for"
            f" each device and round. Time: {report.seconds_per_round:.1f} s a round."
        ),
        *([_line(_dropped(report))] if report.dropped else []),
        *(_line(f"Note: {note}") for note in report.notes),
        *(_line(f"{name.capitalize()}: {path}") for name, path in report.files.items()),
        Text(),
        Text.assemble(("Verdict: ", "bold"), verdict.summary),
        _line(f"What it does not show: {verdict.limits}"),
        _line("Try next:"),
        *(_line(f"  {step}") for step in verdict.next_steps),
    ]
    return Group(*sections)


def _figures(report: Report) -> "RenderableType":
    from rich import box
    from rich.table import Table

    table = Table("model", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("accuracy", "AUC", "false\nalarms"):
        table.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    for name, seen in (
        ("before", report.before),
        ("after", report.after),
        ("after, without noise *", report.without_noise),
    ):
        table.add_row(name, *_evaluation(seen))
    if report.shuffled is not None:
        table.add_row("after, shuffled labels *", *_plain(report.shuffled))
    if report.control is not None:
        table.add_row("rounds without devices *", *_evaluation(report.control))
    table.add_row("trained in one place *", *_evaluation(report.central))
    table.add_row("always the same answer *", f"{report.majority:.1%}", "", "")
    return table


def _evaluation(seen: Evaluation) -> tuple[str, str, str]:
    accuracy, auc = seen.accuracy_interval, seen.auc_interval
    return (
        f"{seen.metrics.accuracy:.1%} ({100 * accuracy.low:.1f}–{100 * accuracy.high:.1f})",
        f"{seen.metrics.auc:.3f} ({auc.low:.3f}–{auc.high:.3f})",
        f"{seen.metrics.fpr:.1%}",
    )


def _plain(seen: Metrics) -> tuple[str, str, str]:
    return f"{seen.accuracy:.1%}", f"{seen.auc:.3f}", f"{seen.fpr:.1%}"


def _explanations(report: Report) -> list[str]:
    """Half a line for each term that a reader may not know."""
    shuffled = report.shuffled is not None
    labels = "Shuffled labels: mixed-up labels teach nothing, so AUC should stay near 0.5."
    return [
        "AUC: how likely a malicious row scores above a benign one; 0.5 is guessing.",
        *([labels] if shuffled else []),
        *([BASE] if report.control is not None else []),
        (
            "Sums: the aggregator reads only totals over groups, never a device's update."
            if report.mode == "secagg"
            else "Sums: none in local mode; each update carries all of its own noise instead."
        ),
        "(…): 95 % confidence interval, with rows taken as independent.",
        "*: computed here for comparison"
        f"{'; for shuffled labels the mean of ten shuffles' if shuffled else ''}.",
    ]


def _line(text: str) -> "Text":
    from rich.text import Text

    return Text(printable(text))


def _groups(report: Report) -> str:
    return (
        f"Groups: {report.group_floor}."
        f"{_TEST_FLOOR if report.group_floor.startswith('test') else ''}"
    )


def _privacy(report: Report) -> str:
    failed = (
        ""
        if report.mode == "local"
        else f" If the protection of the sums failed, it would be ε ="
        f" {epsilon_in_words(report.epsilon_local)}."
    )
    count = len(report.rounds)
    rounds = "1 round" if count == 1 else f"{count} rounds"
    return (
        f"Privacy: {protection(report.mode, report.epsilon_spent)} (δ = {report.delta:g}) after"
        f" {rounds}, the most in any device's own ledger. {_meaning(report)}{failed}"
    )


def _meaning(report: Report) -> str:
    """What ε says, and what it does not."""
    factor = rounded_up(math.exp(report.epsilon_spent), 1)
    what = "the sums" if report.mode == "secagg" else "what the device sent"
    return (
        f"It bounds what {what} can tell about one device: whether its updates went in or zeros did"
        f" changes the chance of any result by at most a factor of e^ε = {factor:.1f}, plus δ."
        " Between two different sets of rows it allows more: ε ="
        f" {epsilon_in_words(report.epsilon_between)}."
    )


def _dropped(report: Report) -> str:
    return f"Dropped on purpose: {report.dropped} times a device vanished in the middle of a round."
