"""The chart of a study: false alarms by source and ε beside the control, as a PNG."""

from collections.abc import Sequence
from pathlib import Path

from server_stub.simulation.figures import KEPT, Spread, spread
from server_stub.simulation.study import Study, budget_in_words
from server_stub.simulation.study_report import cells

CONTROL, WITH_DEVICES = "#9a9a9a", ("#1f6f54", "#2b66a8", "#b3541e", "#7a4b9a", "#556b2f")
WIDTH_SHARE = 0.85
"""Of the space between two sources that bars take."""


def draw(study: Study, path: Path) -> None:
    """Draw the chart. Raises OSError."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display: also over SSH and in CI
    from matplotlib import pyplot

    names = list(study.bases[0].control.fpr_of)
    bars = [("control: no devices", CONTROL, spread([one.control for one in study.bases]))]
    for place, (composition, budget, runs) in enumerate(cells(study)):
        colour = WITH_DEVICES[place % len(WITH_DEVICES)]
        found = spread([run.judgement for run in runs])
        bars.append((f"{composition.value}, {budget_in_words(budget)}", colour, found))
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    width = WIDTH_SHARE / len(bars)
    for place, (label, colour, found) in enumerate(bars):
        shares = _shares(found, names)
        at = [source + (place - (len(bars) - 1) / 2) * width for source in range(len(names))]
        axes.bar(
            at,
            [100 * one.mean for one in shares],
            width,
            yerr=[100 * one.sd for one in shares],
            color=colour,
            label=f"{label} (AUC {found['auc'].mean:.3f})",
            capsize=2,
        )
    axes.set_xticks(range(len(names)), [f"source {name}" for name in names])
    axes.set_ylabel(f"false alarms in %, keeping {100 * KEPT:.0f} % of the malware")
    axes.set_title(
        f"{study.plan.options.devices} devices, {study.plan.options.rounds} rounds,"
        f" {len(study.bases)} seed{'s' if len(study.bases) > 1 else ''}"
    )
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _shares(found: dict[str, Spread], names: Sequence[str]) -> list[Spread]:
    return [found[f"fpr {name}"] for name in names]
