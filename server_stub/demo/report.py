"""The demonstration's report: one value, shown as text, as JSON and as a chart."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.detector.model import Metrics
from agent.privacy.policy import DeviceLimits

if TYPE_CHECKING:
    from rich.console import RenderableType

_PRODUCT = DeviceLimits()
_OWN_FLOOR = (
    f"; the product itself demands groups of {_PRODUCT.min_group} and sums of {_PRODUCT.min_sum}"
)


@dataclass(frozen=True)
class GroupLine:
    """One group of a round in `secagg` mode."""

    size: int
    """Devices that advertised (U1)."""
    dealers: int
    """... dealt shares (U2)."""
    survivors: int
    """... gave a masked input (U3)."""
    signed: int
    unmasked: int
    state: str
    m: int
    """Fewest inputs of which a sum may be opened."""
    c: int
    """Colluding devices that the noise accounts for."""
    noise_sd: float
    """Standard deviation of the noise in the sum, in units of the clipping norm."""
    failure: str = ""


@dataclass(frozen=True)
class RoundLine:
    """One finished round, seen on the hold-out."""

    number: int
    accuracy: float
    auc: float
    fpr: float
    epsilon: float
    """Spent by one device so far."""
    updates: int
    seconds: float
    noise_sd_of_sum: float = 0.0
    """Standard deviation of the noise in the sum of all updates, in units of the clipping norm, for
    every coordinate."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Devices that were made to vanish, by the message that they did not send any more."""
    groups: tuple[GroupLine, ...] = ()


@dataclass(frozen=True)
class Report:
    consent: str
    """How the yes came about; the first line."""
    data: str
    devices: int
    """Simulated ones and, where it took part, the full agent."""
    full_agent: str
    """What the full agent did, in a sentence."""
    mode: str
    epsilon: float
    delta: float
    before: Metrics
    after: Metrics
    without_noise: Metrics
    shuffled: Metrics
    central: Metrics
    majority: float
    """Accuracy of always giving the more frequent answer."""
    rounds: tuple[RoundLine, ...]
    bytes_up: float
    """Per device and round: bodies of the updates."""
    bytes_down: float
    """Per device and round: models."""
    epsilon_local: float
    """ε of a device if the protection of the sums failed; in local mode the same as
    `epsilon_spent`."""
    dropped: int
    group_floor: str = ""
    """In words, where groups are smaller than the product allows."""
    notes: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)

    @property
    def epsilon_spent(self) -> float:
        return self.rounds[-1].epsilon if self.rounds else 0.0

    @property
    def seconds_per_round(self) -> float:
        return sum(line.seconds for line in self.rounds) / max(1, len(self.rounds))

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` prints (docs/schemas/demo.schema.json)."""
        five = {
            "before": self.before,
            "after": self.after,
            "without_noise": self.without_noise,
            "shuffled": self.shuffled,
            "central": self.central,
        }
        return {
            "consent": self.consent,
            "data": self.data,
            "devices": self.devices,
            "full_agent": self.full_agent,
            "mode": self.mode,
            "group_floor": self.group_floor,
            "rounds": len(self.rounds),
            **{f"accuracy_{name}": round(value.accuracy, 4) for name, value in five.items()},
            **{f"auc_{name}": round(value.auc, 4) for name, value in five.items()},
            **{f"fpr_{name}": round(value.fpr, 4) for name, value in five.items()},
            "accuracy_majority": round(self.majority, 4),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "epsilon_spent": round(self.epsilon_spent, 4),
            "epsilon_local": round(self.epsilon_local, 4),
            "protection": protection(self.mode, self.epsilon_spent),
            "bytes_up_per_device_round": round(self.bytes_up, 1),
            "bytes_down_per_device_round": round(self.bytes_down, 1),
            "seconds_per_round": round(self.seconds_per_round, 3),
            "dropped": self.dropped,
            "history": [
                {
                    "round": line.number,
                    "accuracy": round(line.accuracy, 4),
                    "auc": round(line.auc, 4),
                    "fpr": round(line.fpr, 4),
                    "epsilon_spent": round(line.epsilon, 4),
                    "updates": line.updates,
                    "dropped": line.dropped,
                    "groups": [asdict(group) for group in line.groups],
                    "noise_sd_of_sum": round(line.noise_sd_of_sum, 4),
                    "seconds": round(line.seconds, 3),
                }
                for line in self.rounds
            ],
            "notes": list(self.notes),
            "files": self.files,
        }


def protection(mode: str, epsilon: float) -> str:
    """What an ε means, in words."""
    strength = "strong" if epsilon <= 1.05 else "moderate" if epsilon <= 4 else "weak"
    return f"{strength} protection: {mode} mode, ε = {epsilon:.2g}"


def render(report: Report) -> "RenderableType":
    """The report for a terminal."""
    from rich.console import Group
    from rich.text import Text

    lines = [
        Text(report.consent),
        Text(f"Data: {report.data}"),
        Text(f"Devices: {report.devices}. {report.full_agent}"),
        *(
            [
                Text(
                    "Groups:"
                    f" {report.group_floor}"
                    f"{_OWN_FLOOR if report.group_floor.startswith('test') else ''}."
                )
            ]
            if report.group_floor
            else []
        ),
        _quality(report),
        Text(_privacy(report)),
        Text(
            f"Traffic: {report.bytes_up:,.0f} bytes up and {report.bytes_down:,.0f} bytes down a"
            f" device and round (bodies). Time: {report.seconds_per_round:.1f} s a round."
        ),
        *(
            [
                Text(
                    f"Taken away on purpose: {report.dropped} times a device vanished in the middle"
                    " of a round."
                )
            ]
            if report.dropped
            else []
        ),
        *(Text(f"Note: {note}") for note in report.notes),
        *(Text(f"{name}: {path}") for name, path in report.files.items()),
    ]
    return Group(*lines)


def draw(report: Report, path: Path) -> None:
    """Accuracy and spent ε over the rounds, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    numbers = [0, *(line.number for line in report.rounds)]
    figure, left = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    left.plot(
        numbers,
        [report.before.accuracy, *(line.accuracy for line in report.rounds)],
        "o-",
        color="#1f6f54",
        label="accuracy",
    )
    left.plot(
        numbers,
        [report.before.auc, *(line.auc for line in report.rounds)],
        "s--",
        color="#2b66a8",
        label="AUC",
    )
    for value, style, name in (
        (report.central.accuracy, ":", "accuracy, trained in one place"),
        (report.without_noise.accuracy, "-.", "accuracy without noise"),
        (report.majority, (0, (1, 4)), "majority class"),
    ):
        left.axhline(value, linestyle=style, color="#777777", linewidth=1.2, label=name)
    left.set(
        xlabel="round",
        ylabel="on rows that no device had",
        ylim=(0.3, 1.02),
        xticks=_ticks(numbers),
    )
    right = left.twinx()
    right.step(
        numbers,
        [0.0, *(line.epsilon for line in report.rounds)],
        where="post",
        color="#b3541e",
        label="ε spent by one device",
    )
    right.set_ylabel(
        "ε spent (δ = 1e-5)" if report.delta == 1e-5 else f"ε spent (δ = {report.delta:g})"
    )
    right.set_ylim(0, max(report.epsilon, report.epsilon_spent) * 1.15)
    legends = (left.get_legend_handles_labels(), right.get_legend_handles_labels())
    handles, names = ([*one, *other] for one, other in zip(*legends, strict=True))
    left.legend(handles, names, loc="lower right", fontsize=8)
    left.set_title(f"{report.devices} devices, {report.mode} mode, ε = {report.epsilon:g}")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _ticks(numbers: Sequence[int]) -> list[int]:
    return list(range(0, numbers[-1] + 1, max(1, numbers[-1] // 10)))


def _quality(report: Report) -> "RenderableType":
    from rich.table import Table

    table = Table("on rows that no device had", "accuracy", "AUC", "false positives", title=None)
    for name, value in (
        ("before", report.before),
        ("after, with noise", report.after),
        ("after, without noise (same rounds, computed)", report.without_noise),
        ("after, shuffled labels (mean of 10, must not rise; computed)", report.shuffled),
        ("trained in one place, no privacy", report.central),
    ):
        table.add_row(name, f"{value.accuracy:.1%}", f"{value.auc:.3f}", f"{value.fpr:.1%}")
    table.add_row("always the more frequent answer", f"{report.majority:.1%}", "", "")
    return table


def _privacy(report: Report) -> str:
    words = protection(report.mode, report.epsilon_spent)
    failed = (
        ""
        if report.mode == "local"
        else f" If the protection of the sums failed, it would be ε = {report.epsilon_local:.3g}."
    )
    return (
        f"Privacy: {words} (δ = {report.delta:g}) after {len(report.rounds)} rounds, by the"
        " device's own ledger. Nobody who sees what a device sent can tell its rows from other"
        f" rows much better than a factor of e^ε allows.{failed}"
    )
