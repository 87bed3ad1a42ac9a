"""Which tests and which rule a round gets: one decision, from public facts.

| operator rows | groups | tests | rule |
|---|---|---|---|
| LEAST_ROWS or more | any | gate, canary | anchored mean |
| fewer | ENOUGH_GROUPS or more | gate, energy only | multi-Krum |
| fewer | fewer | gate, energy only | mean |

In local mode a group is one device, and the same table holds.
"""

from dataclasses import dataclass
from typing import Any

LEAST_ROWS = 200
"""Labelled rows of the operator that a root update and a canary need."""
BETTER_ROWS = 2000
"""With so many the canary notices differences of about two points."""
ENOUGH_GROUPS = 8
"""Groups among which one stands out."""
MOST_FOR_KRUM = 4000
"""Groups that multi-Krum compares: the table of all pairs has this many rows and columns."""

PROTECTED = "Operator rows: up to 5 % of attackers are survived at ε = 4 a period (untargeted)."
ONE_IN_A_HUNDRED = "No operator rows: about 1 in 100 devices can ruin this model."
ONE_DEVICE = "No operator rows and few groups: one device can bend this model."


@dataclass(frozen=True)
class Situation:
    """What the operator brings and how many groups a round has."""

    operator_rows: int
    groups: int
    has_both_classes: bool = True


@dataclass(frozen=True)
class Defence:
    """The tests and the rule of a round."""

    rule: str
    """A key of `server_stub.aggregation.rules.RULES`."""
    uses_root: bool
    """Whether the gate projects on the root update, and the canary decides at the end."""
    sentence: str
    """What the operator and the devices can count on."""

    def to_json(self) -> dict[str, Any]:
        """For the record of the round."""
        return {"rule": self.rule, "uses_root": self.uses_root, "sentence": self.sentence}


def defence(situation: Situation) -> Defence:
    """The defence of a round in this situation."""
    if situation.operator_rows >= LEAST_ROWS and situation.has_both_classes:
        return Defence("anchored-mean", True, PROTECTED)
    if ENOUGH_GROUPS <= situation.groups <= MOST_FOR_KRUM:
        return Defence("multi-krum", False, ONE_IN_A_HUNDRED)
    return Defence("mean", False, ONE_DEVICE)
