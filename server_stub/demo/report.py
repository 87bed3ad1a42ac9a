"""The result of a demonstration, as a value and as JSON (docs/schemas/demo.schema.json)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.detector.model import Metrics
from agent.status import epsilon_in_words
from server_stub.demo.evaluation import Evaluation
from server_stub.demo.intervals import Interval
from server_stub.demo.verdict import Outcome, Verdict, judge

CONFIDENCE = 0.95


@dataclass(frozen=True)
class GroupResult:
    """One group of a round in `secagg` mode."""

    size: int
    """Devices that advertised (U1)."""
    dealers: int
    """Devices that dealt shares (U2)."""
    survivors: int
    """Devices whose masked input is in the sum (U3)."""
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
class RoundResult:
    """One finished round and the model after it."""

    number: int
    evaluation: Evaluation
    epsilon: float
    """ε that one device has spent so far."""
    updates: int
    seconds: float
    noise_sd_of_sum: float = 0.0
    """Standard deviation of the noise in the sum of all updates, for each coordinate, in units of
    the clipping norm."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Devices that dropped out on purpose, by the first message that they did not send."""
    groups: tuple[GroupResult, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that a demonstration has to say."""

    consent: str
    """Who gave consent, and how; the first line."""
    data: str
    are_rows_generated: bool
    holdout_rows: int
    devices: int
    """Simulated devices and, where it took part, the full agent."""
    full_agent: str
    """What the full agent did, in a sentence."""
    mode: str
    epsilon: float
    delta: float
    before: Evaluation
    after: Evaluation
    without_noise: Evaluation
    shuffled: Metrics | None
    """Mean over several shuffles of the labels; None where devices have no labels."""
    central: Evaluation
    majority: float
    """Accuracy of always giving the more frequent answer."""
    rounds: tuple[RoundResult, ...]
    bytes_up: float
    """Bodies of requests, per device and round."""
    bytes_down: float
    """Bodies of answers, per device and round."""
    epsilon_local: float
    """ε of a device if the protection of the sums failed; the same as `epsilon_spent` in local
    mode."""
    epsilon_between: float
    """ε between any two updates of one device; `epsilon_spent` is about an update and a zero."""
    dropped: int
    group_floor: str = ""
    """The smallest group and sum that the devices accept, in words; "" without groups."""
    colluders: str = ""
    """What ε assumes about devices that work with the aggregator; "" without groups."""
    spending: str = ""
    """How fast the devices may spend their budget, in words."""
    notes: tuple[str, ...] = ()
    family: str = "logistic/1"
    control: Evaluation | None = None
    """The same rounds without devices."""
    headline: str = ""
    """The reason to federate, with a base."""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def epsilon_spent(self) -> float:
        return self.rounds[-1].epsilon if self.rounds else 0.0

    @property
    def seconds_per_round(self) -> float:
        return sum(result.seconds for result in self.rounds) / max(1, len(self.rounds))

    @property
    def verdict(self) -> Verdict:
        return judge(
            Outcome(
                before=self.before,
                after=self.after,
                without_noise=self.without_noise,
                devices=self.devices,
                rounds=len(self.rounds),
                mode=self.mode,
                epsilon=self.epsilon,
                are_rows_generated=self.are_rows_generated,
                control=self.control,
            )
        )

    def to_json(self) -> dict[str, Any]:
        """The document that `aegis demo --json` prints."""
        evaluations: dict[str, Evaluation | None] = {
            "before": self.before,
            "after": self.after,
            "without_noise": self.without_noise,
            "central": self.central,
            "control": self.control,
        }
        figures = {name: value and value.metrics for name, value in evaluations.items()}
        figures["shuffled"] = self.shuffled
        verdict = self.verdict
        return {
            "consent": self.consent,
            "data": self.data,
            "holdout_rows": self.holdout_rows,
            "devices": self.devices,
            "full_agent": self.full_agent,
            "mode": self.mode,
            "family": self.family,
            "headline": self.headline,
            **{f"alarms_{name}": _share(value) for name, value in evaluations.items()},
            "group_floor": self.group_floor,
            "colluders": self.colluders,
            "spending": self.spending,
            "rounds": len(self.rounds),
            **{
                f"accuracy_{name}": value and round(value.accuracy, 4)
                for name, value in figures.items()
            },
            **{f"auc_{name}": value and round(value.auc, 4) for name, value in figures.items()},
            **{f"fpr_{name}": value and round(value.fpr, 4) for name, value in figures.items()},
            "accuracy_majority": round(self.majority, 4),
            "confidence": CONFIDENCE,
            **{
                f"accuracy_interval_{name}": value and _pair(value.accuracy_interval)
                for name, value in evaluations.items()
            },
            **{
                f"auc_interval_{name}": value and _pair(value.auc_interval)
                for name, value in evaluations.items()
            },
            "epsilon": self.epsilon,
            "delta": self.delta,
            "epsilon_spent": self.epsilon_spent,
            "epsilon_between": self.epsilon_between,
            "epsilon_local": self.epsilon_local,
            "protection": protection(self.mode, self.epsilon_spent),
            "bytes_up_per_device_round": round(self.bytes_up, 1),
            "bytes_down_per_device_round": round(self.bytes_down, 1),
            "seconds_per_round": round(self.seconds_per_round, 3),
            "dropped": self.dropped,
            "history": [_round_json(result) for result in self.rounds],
            "notes": list(self.notes),
            "change": verdict.change.value,
            "verdict": verdict.summary,
            "limits": verdict.limits,
            "next_steps": list(verdict.next_steps),
            "files": self.files,
        }


def protection(mode: str, epsilon: float) -> str:
    """How strong the protection of an ε is, in words."""
    strength = "strong" if epsilon <= 1.05 else "moderate" if epsilon <= 4 else "weak"
    return f"{strength} protection: {mode} mode, ε = {epsilon_in_words(epsilon)}"


def _share(seen: Evaluation | None) -> float | None:
    return None if seen is None or seen.alarms is None else round(seen.alarms.share, 4)


def _round_json(result: RoundResult) -> dict[str, Any]:
    seen = result.evaluation
    return {
        "round": result.number,
        "accuracy": round(seen.metrics.accuracy, 4),
        "auc": round(seen.metrics.auc, 4),
        "fpr": round(seen.metrics.fpr, 4),
        "accuracy_interval": _pair(seen.accuracy_interval),
        "auc_interval": _pair(seen.auc_interval),
        "epsilon_spent": result.epsilon,
        "updates": result.updates,
        "dropped": result.dropped,
        "groups": [asdict(group) for group in result.groups],
        "noise_sd_of_sum": round(result.noise_sd_of_sum, 4),
        "seconds": round(result.seconds, 3),
    }


def _pair(interval: Interval) -> Sequence[float]:
    return [round(interval.low, 4), round(interval.high, 4)]
