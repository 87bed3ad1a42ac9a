"""The chart of a demonstration: accuracy, AUC and spent ε over the rounds, as a PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.status import epsilon_in_words
from server_stub.demo.intervals import Interval
from server_stub.demo.report import Report
from server_stub.demo.verdict import Change

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCURACY, AUC, EPSILON, OTHER = "#1f6f54", "#2b66a8", "#b3541e", "#777777"
TITLES = {
    Change.BETTER: "The model got better",
    Change.WORSE: "The model got worse",
    Change.UNCLEAR: "No clear change",
}


def draw(report: Report, path: Path) -> None:
    """Draw the chart. Raises OSError."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display: also over SSH and in CI
    from matplotlib import pyplot

    figure, left = pyplot.subplots(figsize=(8, 4.8), layout="constrained")
    numbers = [0, *(result.number for result in report.rounds)]
    seen = [report.before, *(result.evaluation for result in report.rounds)]
    _curve(
        left,
        numbers,
        [one.metrics.accuracy for one in seen],
        [one.accuracy_interval for one in seen],
        ("o-", ACCURACY, "accuracy"),
    )
    _curve(
        left,
        numbers,
        [one.metrics.auc for one in seen],
        [one.auc_interval for one in seen],
        ("s--", AUC, "AUC"),
    )
    for value, style, name in (
        (report.central.metrics.accuracy, ":", "accuracy, trained in one place"),
        (report.without_noise.metrics.accuracy, "-.", "accuracy without noise"),
        (report.majority, (0, (1, 4)), "accuracy of always the same answer"),
    ):
        left.axhline(value, linestyle=style, color=OTHER, linewidth=1.2, label=name)
    left.set(
        xlabel="round",
        ylabel=f"accuracy and AUC on {report.holdout_rows:,} hold-out rows",
        ylim=(0.3, 1.02),
        xticks=_ticks(numbers),
    )
    right = left.twinx()
    right.step(
        numbers,
        [0.0, *(result.epsilon for result in report.rounds)],
        where="post",
        color=EPSILON,
        label="ε spent by one device",
    )
    right.set_ylabel(f"ε spent (δ = {report.delta:g})")
    right.set_ylim(0, max(report.epsilon, report.epsilon_spent) * 1.15)
    legends = (left.get_legend_handles_labels(), right.get_legend_handles_labels())
    handles, names = ([*one, *other] for one, other in zip(*legends, strict=True))
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8)
    left.set_title(
        f"{TITLES[report.verdict.change]}: {report.devices} devices, {report.mode} mode,"
        f" ε = {epsilon_in_words(report.epsilon)}"
    )
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _curve(
    axes: "Axes",
    numbers: Sequence[int],
    values: Sequence[float],
    intervals: Sequence[Interval],
    appearance: tuple[str, str, str],
) -> None:
    """A curve in its 95 % confidence band. `appearance`: line style, colour, name."""
    style, colour, name = appearance
    axes.plot(numbers, values, style, color=colour, label=f"{name} (95 % interval)", markersize=4)
    axes.fill_between(
        numbers,
        [interval.low for interval in intervals],
        [interval.high for interval in intervals],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )


def _ticks(numbers: Sequence[int]) -> list[int]:
    return list(range(0, numbers[-1] + 1, max(1, numbers[-1] // 10)))
