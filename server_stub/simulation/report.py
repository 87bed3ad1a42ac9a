"""A simulation's result as one value: JSON (docs/schemas/simulate.schema.json) and text."""

import math
from dataclasses import dataclass
from typing import Any

from agent.detector.model import Metrics


@dataclass(frozen=True)
class Round:
    number: int
    groups: int
    opened: int
    """Groups that gave a sum."""
    rejected: int
    """Opened sums that no honest devices can make."""
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
    """A device's."""
    holdout: str
    family: str
    devices: int
    group: int
    min_sum: int
    colluders: int
    floor: str
    """"product" or what the simulation's devices allow instead."""
    machines: bool
    """Whether messages, masks and shares were really made."""
    private: bool
    """False: the path without protection; ε, noise and group then mean nothing."""
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
    """Of an update, as sent."""
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
                for name in ("group", "min_sum", "colluders", "floor", "delta", "bits")
            },
            "epsilon": self.budget,
            "epsilon_ledger": round(self.epsilon_ledger, 4),
            "epsilon_central": round(self.epsilon_central, 4),
            "epsilon_local": round(self.epsilon_local, 4),
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


def quality(of: Metrics) -> dict[str, float | None]:
    """Null where a class is missing on the hold-out."""
    return {
        name: _rounded(getattr(of, name), 4)
        for name in ("accuracy", "auc", "fpr", "tpr", "tpr_at_fpr_1")
    }


def text(report: Report) -> str:
    """For a terminal."""
    head = (
        f"{'round':>5} {'groups':>7} {'in the sum':>11} {'accuracy':>9} {'AUC':>7} {'FPR':>7}"
        f" {'TPR at FPR 1 %':>15}"
    )
    lines = [
        (
            f"{report.devices} devices with {report.rows} rows each of {report.origin}; judged on"
            f" {report.holdout}."
        ),
        f"Model: {report.family}. Combined by the mean of the sums.",
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
            f"Agents of this version train the logistic model; {report.family!r} shows what the"
            " same budget buys with another one."
        )
    return "\n".join(lines)


def _protection(report: Report) -> list[str]:
    if not report.private:
        return [
            "NOT PRIVATE: no noise, no masks, no groups; each update was in the clear. For"
            " comparison only."
        ]
    return [
        (
            f"Groups of {report.group}, a sum of at least {report.min_sum} with noise for"
            f" {report.colluders} colluding devices. Floor of the devices: {report.floor}."
        ),
        (
            "Messages, masks and shares were made."
            if report.machines
            else "The protocol's arithmetic alone: codec, noise and ledger are the real ones."
        ),
    ]


def _price(report: Report) -> list[str]:
    if not report.private:
        return [f"Sent by a device in a round: {report.vector_bytes:,} bytes, compressed."]
    return [
        (
            f"ε by a device's ledger: {report.epsilon_ledger:.3g} of {report.budget:g} (δ ="
            f" {report.delta:g}). ε if only the sum of all were seen and"
            f" {'all' if not report.drop else 'so many'} took part: {report.epsilon_central:.3g}. ε"
            f" if secure aggregation failed: {report.epsilon_local:.3g}."
        ),
        f"Sent by a device in a round: {report.vector_bytes:,} bytes of words"
        + (
            "."
            if report.bytes_up is None
            else (
                f"; with everything else {report.bytes_up:,.0f} up and {report.bytes_down:,.0f}"
                " down."
            )
        ),
    ]


def _row(of: Metrics) -> str:
    return f"{of.accuracy:>9.4f} {of.auc:>7.4f} {of.fpr:>7.4f} {of.tpr_at_fpr_1:>15.4f}"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)
