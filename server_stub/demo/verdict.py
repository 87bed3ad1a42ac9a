"""What a demonstration has shown, in plain words, and what to try next. Pure.

1. "Better" and "worse" need intervals that do not overlap; everything else is "not clear", however
   large the difference looks.
2. The AUC decides, because it does not depend on a threshold. The accuracy is reported beside it.
   With a base, false alarms on software that nobody trained on decide, as long as the AUC is no
   worse: they are what the devices are there for. They are compared with the model before and with
   the same rounds without devices.
3. The verdict also says what a single run on these rows cannot show.
"""

from dataclasses import dataclass
from enum import StrEnum

from agent.status import epsilon_in_words
from server_stub.demo.evaluation import Evaluation
from server_stub.demo.intervals import Interval

MANY_DEVICES = 100
LARGE_EPSILON = 4.0
SMALL_EPSILON = 0.5
MANY_ROUNDS = 16


class Change(StrEnum):
    """How a figure after the rounds compares with the one before."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Outcome:
    """What a verdict is based on."""

    before: Evaluation
    after: Evaluation
    without_noise: Evaluation
    devices: int
    rounds: int
    mode: str
    epsilon: float
    are_rows_generated: bool
    control: Evaluation | None = None
    """The same rounds without devices."""


@dataclass(frozen=True)
class Verdict:
    """The end of the report."""

    change: Change
    """Of the AUC, or with a base of false alarms."""
    summary: str
    limits: str
    """What the run does not show."""
    next_steps: tuple[str, ...]


def compare(before: Interval, after: Interval) -> Change:
    """Better or worse only where the two have no value in common."""
    if before.overlaps(after):
        return Change.UNCLEAR
    return Change.BETTER if after.low > before.high else Change.WORSE


def judge(outcome: Outcome) -> Verdict:
    """The verdict on a demonstration."""
    change = compare(outcome.before.auc_interval, outcome.after.auc_interval)
    fewer, summary = _fewer_alarms(outcome), _summary(change, outcome)
    if fewer is not None and change is not Change.WORSE:
        change, summary = fewer, _alarms(fewer, outcome)
    return Verdict(
        change,
        f"{summary} {_accuracy(outcome)} {_price_of_noise(outcome)}",
        _limits(outcome),
        _next_steps(change, outcome),
    )


def _summary(change: Change, outcome: Outcome) -> str:
    figures = (
        f"AUC {outcome.before.metrics.auc:.3f} before,"
        f" {outcome.after.metrics.auc:.3f} {span(outcome.after.auc_interval)} after"
    )
    if change is Change.BETTER:
        return f"The model got better at telling malicious rows from benign ones: {figures}."
    if change is Change.WORSE:
        return f"The model got worse at telling malicious rows from benign ones: {figures}."
    return (
        f"It is not clear whether the model learned anything: {figures}. The confidence intervals"
        " overlap, so this run is neither a success nor a failure."
    )


def _fewer_alarms(outcome: Outcome) -> Change | None:
    """Better where the devices' model has fewer false alarms than the one before and than the
    control; None where none were counted.
    """
    before, after = outcome.before.alarms, outcome.after.alarms
    control = None if outcome.control is None else outcome.control.alarms
    if before is None or after is None or control is None:
        return None
    changes = {compare(after.interval, other.interval) for other in (before, control)}
    return changes.pop() if len(changes) == 1 else Change.UNCLEAR


def _alarms(change: Change, outcome: Outcome) -> str:
    before, after = outcome.before.metrics.auc, outcome.after.metrics.auc
    auc = f"AUC {before:.3f} before, {after:.3f} {span(outcome.after.auc_interval)} after"
    if change is Change.BETTER:
        return f"The devices made the model better on software that nobody trained on: {auc}."
    if change is Change.WORSE:
        return f"The devices made the model worse on software that nobody trained on: {auc}."
    return (
        "It is not clear whether the devices changed anything on software that nobody trained on:"
        f" {auc}. The confidence intervals of the false alarms overlap, so this run is neither a"
        " success nor a failure."
    )


def _accuracy(outcome: Outcome) -> str:
    change = compare(outcome.before.accuracy_interval, outcome.after.accuracy_interval)
    before, after = outcome.before.metrics.accuracy, outcome.after.metrics.accuracy
    if change is Change.UNCLEAR:
        return "Its accuracy did not change by more than chance allows."
    verb = "rose" if change is Change.BETTER else "fell"
    return f"Its accuracy {verb} from {before:.1%} to {after:.1%}."


def _price_of_noise(outcome: Outcome) -> str:
    """The same rounds without noise are the yardstick: both start from the same model."""
    without = outcome.without_noise
    change = compare(outcome.after.auc_interval, without.auc_interval)
    if change is Change.BETTER:
        cost = without.metrics.auc - outcome.after.metrics.auc
        return f"The noise that protects the devices cost {cost:.3f} of AUC."
    return "The noise that protects the devices cost nothing that these rows can show."


def _limits(outcome: Outcome) -> str:
    rows = (
        "the rows are generated, so this says nothing about real malware"
        if outcome.are_rows_generated
        else "it says nothing about rows that differ from yours"
    )
    return (
        "It is one run: the noise is drawn anew each time, which the intervals do not cover. And"
        f" {rows}."
    )


def _next_steps(change: Change, outcome: Outcome) -> tuple[str, ...]:
    if change is Change.BETTER:
        steps = [
            ("aegis demo --drop 0.2", "a fifth of the devices drops out of each round"),
            (
                f"aegis demo --epsilon {epsilon_in_words(SMALL_EPSILON)}",
                "stricter privacy, more noise",
            ),
        ]
        if outcome.are_rows_generated:
            steps.append(("aegis demo --data FILE.npz", "the same on your own rows"))
    else:
        steps = []
        if outcome.devices < MANY_DEVICES:
            steps.append(
                (
                    f"aegis demo --devices {MANY_DEVICES}",
                    "more devices share the noise",
                )
            )
        if outcome.epsilon < LARGE_EPSILON:
            steps.append(
                (
                    f"aegis demo --epsilon {epsilon_in_words(LARGE_EPSILON)}",
                    "weaker privacy, less noise",
                )
            )
        if outcome.mode == "local":
            steps.append(
                ("aegis demo --mode secagg", "devices share the noise instead of each adding all")
            )
        if outcome.rounds < MANY_ROUNDS:
            steps.append((f"aegis demo --rounds {MANY_ROUNDS}", "more steps on the same budget"))
    steps.append(("aegis simulate --help", "hundreds of devices, attacks and other models"))
    return tuple(f"{command}: {reason}" for command, reason in steps)


def span(interval: Interval) -> str:
    """An interval of an AUC in brackets."""
    return f"({interval.low:.3f} to {interval.high:.3f})"
