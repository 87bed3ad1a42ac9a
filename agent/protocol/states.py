"""The two state machines of GroupSecAgg/2 as tables: (state, event) -> (next state, action). Any
other pair is refused.

`python -m agent.protocol.states` prints both. docs/PROTOCOL.md shows the same, and a test compares
them.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import TypeVar

from agent.errors import PeerError


class DeviceState(Enum):
    """States of a device in a round. Its secrets live in memory until UNMASKED or LEFT."""

    NEW = "new"
    ADVERTISED = "advertised"
    SHARED = "shared"
    READY = "ready"
    DOUBTING = "doubting"
    MASKED = "masked"
    SIGNED = "signed"
    UNMASKED = "unmasked"
    LEFT = "left"


class DeviceEvent(Enum):
    """What happens to a device in a round."""

    JOIN = "join"
    ROSTER = "roster"
    INBOX = "inbox"
    UNREADABLE = "unreadable shares"
    DEALINGS = "what the dealers signed"
    SEALED = "sealed update"
    SURVIVORS = "survivors"
    SIGNATURES = "signatures"
    GO = "leave, refusal or restart"


class LeaveReason(StrEnum):
    """Why a device leaves a round, as far as the aggregator learns it: one of these and no more."""

    WITHDRAWN = "withdrawn"
    PAUSED = "paused"
    QUIT = "quit"
    DISCARDED = "discarded"
    REFUSED = "refused"
    """What it received from the aggregator failed a check."""
    FAILED = "failed"
    """Something failed at the device, which says no more about itself."""


class DeviceAction(Enum):
    """How a device responds."""

    ADVERTISE = "advertise: fresh keys, signed"
    SHARE = "check everybody, deal shares of both secrets"
    CHECK = "check dealers, decrypt every share"
    ASK = "ask for what their dealers signed"
    ACCUSE = "check the dealers' signatures, give the secrets shared with them, wipe"
    MASK = "add masks, sign (charged and stored before it is sent)"
    SIGN = "check survivors, sign them once"
    OPEN = "check signatures, give one share for each dealer, wipe"
    WIPE = "wipe the round's secrets"


class GroupState(Enum):
    """States of a group at the aggregator."""

    SHARING = "sharing"
    MASKING = "masking"
    AGREEING = "agreeing"
    OPENING = "opening"
    DONE = "done"
    ABORTED = "aborted"


class GroupEvent(Enum):
    """How a phase ended: with enough answers (all of them, or a quorum at the deadline), or
    without.
    """

    ENOUGH = "enough"
    TOO_FEW = "too few"
    CHEATED = "a dealer's secret does not match"


class GroupAction(Enum):
    """How the aggregator responds."""

    HAND_SHARES = "fix U2, pass shares on"
    FIX_SURVIVORS = "fix U3, refuse every later input"
    HAND_SIGNATURES = "pass signatures on"
    OPEN_SUM = "remove masks, give the sum out"
    GIVE_UP = "throw everything away"


DEVICE: Mapping[tuple[DeviceState, DeviceEvent], tuple[DeviceState, DeviceAction]] = {
    (DeviceState.NEW, DeviceEvent.JOIN): (DeviceState.ADVERTISED, DeviceAction.ADVERTISE),
    (DeviceState.ADVERTISED, DeviceEvent.ROSTER): (DeviceState.SHARED, DeviceAction.SHARE),
    (DeviceState.SHARED, DeviceEvent.INBOX): (DeviceState.READY, DeviceAction.CHECK),
    (DeviceState.READY, DeviceEvent.UNREADABLE): (DeviceState.DOUBTING, DeviceAction.ASK),
    (DeviceState.DOUBTING, DeviceEvent.DEALINGS): (DeviceState.LEFT, DeviceAction.ACCUSE),
    (DeviceState.READY, DeviceEvent.SEALED): (DeviceState.MASKED, DeviceAction.MASK),
    (DeviceState.MASKED, DeviceEvent.SURVIVORS): (DeviceState.SIGNED, DeviceAction.SIGN),
    (DeviceState.SIGNED, DeviceEvent.SIGNATURES): (DeviceState.UNMASKED, DeviceAction.OPEN),
    **{
        (state, DeviceEvent.GO): (DeviceState.LEFT, DeviceAction.WIPE)
        for state in DeviceState
        if state not in (DeviceState.UNMASKED, DeviceState.LEFT)
    },
}

GROUP: Mapping[tuple[GroupState, GroupEvent], tuple[GroupState, GroupAction]] = {
    (GroupState.SHARING, GroupEvent.ENOUGH): (GroupState.MASKING, GroupAction.HAND_SHARES),
    (GroupState.MASKING, GroupEvent.ENOUGH): (GroupState.AGREEING, GroupAction.FIX_SURVIVORS),
    (GroupState.AGREEING, GroupEvent.ENOUGH): (GroupState.OPENING, GroupAction.HAND_SIGNATURES),
    (GroupState.OPENING, GroupEvent.ENOUGH): (GroupState.DONE, GroupAction.OPEN_SUM),
    (GroupState.OPENING, GroupEvent.CHEATED): (GroupState.ABORTED, GroupAction.GIVE_UP),
    **{
        (state, GroupEvent.TOO_FEW): (GroupState.ABORTED, GroupAction.GIVE_UP)
        for state in GroupState
        if state not in (GroupState.DONE, GroupState.ABORTED)
    },
}

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)
A = TypeVar("A", bound=Enum)


def step(table: Mapping[tuple[S, E], tuple[S, A]], state: S, event: E) -> tuple[S, A]:
    """Return the next state and the action.

    Raises PeerError OUT_OF_TURN when the table has no such entry.
    """
    entry = table.get((state, event))
    if entry is None:
        raise PeerError(
            "OUT_OF_TURN",
            f"“{event.value}” is not allowed in the state “{state.value}”.",
            "Nothing was changed.",
        )
    return entry


def render(name: str, table: Mapping[tuple[S, E], tuple[S, A]]) -> str:
    """Return a table and a Mermaid diagram in Markdown."""
    rows = [
        f"| {state.value} | {event.value} | {after.value} | {action.value} |"
        for (state, event), (after, action) in table.items()
    ]
    arrows = [
        f"    {state.name} --> {after.name}: {event.value}"
        for (state, event), (after, _) in table.items()
    ]
    head = [f"### {name}", "", "| state | event | next | action |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", "```mermaid", "stateDiagram-v2", *arrows, "```", ""])


def page() -> str:
    """Return both machines as Markdown."""
    return render("Device", DEVICE) + "\n" + render("Group", GROUP)


if __name__ == "__main__":
    print(page())  # noqa: T201
