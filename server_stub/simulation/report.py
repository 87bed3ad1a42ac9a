"""The result of a simulation as one value, as JSON (docs/schemas/simulate.schema.json) and as
text.
"""

import math
from dataclasses import dataclass
from typing import Any

from agent.detector.model import Metrics
from agent.status import epsilon_in_words

SPENDING = (
    "fast, for a demonstration: a device may give its whole budget in a day. Everywhere else it"
    " gives at most a tenth in a round and a tenth in a day."
)


@dataclass(frozen=True)
class Round:
    number: int
    groups: int
    opened: int
    """Groups that gave a sum."""
    rejected: int
    """Opened sums outside the range of honest updates."""
    survivors: int
    answered: dict[str, int]
    """Devices that answered, by phase."""
    refused: int
    """Devices whose budget did not allow the round."""
    metrics: Metrics

    def to_json(self) -> dict[str, Any]:
        plain = {
            name: getattr(self, name)
            for name in ("groups", "opened", "rejected", "survivors", "answered", "refused")
        }
        return {"round": self.number, **plain, **quality(self.metrics)}


@dataclass(frozen=True)
class Report:
    origin: str
    rows: int
    """On each device."""
    holdout: str
    family: str
    devices: int
    group: int
    min_sum: int
    colluders: int
    device_limits: str
    """"product", or the smaller groups and sums that the simulated devices accept."""
    spending: str
    """How fast the simulated devices may spend their budget, in words."""
    machines: bool
    """Whether real messages, masks and shares were exchanged."""
    private: bool
    """False on the path without protection, where ε, noise and groups have no meaning."""
    drop: float
    drop_phase: str
    attack: str
    attackers: int
    budget: float
    delta: float
    epsilon_ledger: float
    epsilon_central: float
    epsilon_local: float
    noise_units: float
    bits: int
    coordinates: int
    """Coordinates that a device sends."""
    vector_bytes: int
    bytes_up: float | None
    bytes_down: float | None
    before: Metrics
    majority: float
    rounds: tuple[Round, ...]
    seconds: float

    @property
    def after(self) -> Metrics:
        return self.rounds[-1].metrics

    def to_json(self) -> dict[str, Any]:
        names = (
            "family",
            "devices",
            "machines",
            "private",
            "drop",
            "drop_phase",
            "attack",
            "attackers",
            "coordinates",
            "vector_bytes",
        )
        protection = {
            **{
                name: getattr(self, name)
                for name in ("group", "min_sum", "colluders", "delta", "bits")
            },
            "floor": self.device_limits,
            "spending": self.spending,
            "epsilon": self.budget,
            "epsilon_ledger": self.epsilon_ledger,
            "epsilon_central": self.epsilon_central,
            "epsilon_local": self.epsilon_local,
            "noise_units": round(self.noise_units, 1),
        }
        return {
            "data": self.origin,
            "rows_per_device": self.rows,
            "holdout": self.holdout,
            **{name: getattr(self, name) for name in names},
            "combine": "mean",
            **(protection if self.private else dict.fromkeys(protection)),
            "bytes_up_per_device_round": _rounded(self.bytes_up, 1),
            "bytes_down_per_device_round": _rounded(self.bytes_down, 1),
            "before": quality(self.before),
            "after": quality(self.after),
            "accuracy_majority": _rounded(self.majority, 4),
            "rounds": [one.to_json() for one in self.rounds],
            "seconds": round(self.seconds, 1),
        }


def quality(metrics: Metrics) -> dict[str, float | None]:
    """The figures of a model; null where the hold-out lacks a class."""
    return {
        name: _rounded(getattr(metrics, name), 4)
        for name in ("accuracy", "auc", "fpr", "tpr", "tpr_at_fpr_1")
    }


def text(report: Report) -> str:
    """The report for a terminal."""
    head = (
        f"{'round':>5} {'groups':>7} {'in the sum':>11} {'accuracy':>9} {'AUC':>7} {'FPR':>7}"
        f" {'TPR at FPR 1 %':>15}"
    )
    lines = [
        (
            f"{report.devices} devices with {report.rows} rows each of {report.origin}, evaluated"
            f" on {report.holdout}."
        ),
        f"Model: {report.family}. The sums are combined by their mean.",
        *_protection(report),
        *([f"{report.attackers} devices attack: {report.attack}."] if report.attackers else []),
        "",
        head,
        f"{'start':>5} {'':>7} {'':>11} {_row(report.before)}",
        *(
            f"{one.number:>5} {f'{one.opened}/{one.groups}':>7} {one.survivors:>11}"
            f" {_row(one.metrics)}"
            for one in report.rounds
        ),
        "",
        *_price(report),
    ]
    if report.family != "logistic":
        lines.append(
            f"Agents of this version train the logistic model. {report.family!r} shows what another"
            " model gets from the same budget."
        )
    return "\n".join(lines)


def _protection(report: Report) -> list[str]:
    if not report.private:
        return [
            "NOT PRIVATE: no noise, no masks, no groups. Every update was sent in the clear. For"
            " comparison only."
        ]
    return [
        (
            f"Groups of {report.group}. Sums of at least {report.min_sum}, with noise enough for"
            f" {report.colluders} colluding devices. Device limits: {report.device_limits}."
        ),
        (
            "Real messages, masks and shares were exchanged."
            if report.machines
            else "Only the protocol's arithmetic was run, with the real codec, noise and ledger."
        ),
    ]


def _price(report: Report) -> list[str]:
    if not report.private:
        return [f"Each device sends {report.vector_bytes:,} bytes a round, compressed."]
    return [
        (
            f"ε by a device's ledger: {epsilon_in_words(report.epsilon_ledger)} of"
            f" {epsilon_in_words(report.budget)} (δ = {report.delta:g}). ε if only the sum over all"
            f" devices were visible, without the noise of {report.colluders} devices a group"
            f"{' and of the attackers' if report.attackers else ''}:"
            f" {epsilon_in_words(report.epsilon_central)}. ε if secure aggregation failed:"
            f" {epsilon_in_words(report.epsilon_local)}."
        ),
        f"Spending: {report.spending}",
        f"Each device sends {report.vector_bytes:,} bytes of words a round"
        + (
            "."
            if report.bytes_up is None
            else (
                f"; with all messages, {report.bytes_up:,.0f} bytes up and {report.bytes_down:,.0f}"
                " down."
            )
        ),
    ]


def _row(figures: Metrics) -> str:
    return (
        f"{figures.accuracy:>9.4f} {figures.auc:>7.4f} {figures.fpr:>7.4f}"
        f" {figures.tpr_at_fpr_1:>15.4f}"
    )


def _rounded(value: float | None, digits: int) -> float | None:
    # JSON has no NaN.
    return None if value is None or not math.isfinite(value) else round(value, digits)
