"""A round of secure aggregation as a log of events: the join window, then its groups. Sans-IO and
deterministic.

1. The state of a round follows from its events alone: replaying them makes the same round.
2. Every method that changes something returns the events to store in the transaction that carries
   the change. If that transaction fails, discard the object and replay the stored events.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from agent.errors import PeerError
from agent.protocol.messages import RoundConfig
from agent.protocol.revocations import read_revocations
from agent.protocol.states import GroupState
from agent.protocol.witness import DrawRequest, Witnessed
from server_stub.quarantine.evidence import Proof
from server_stub.rounds.join_window import Invited
from server_stub.rounds.lifecycle import joining
from server_stub.secagg.group import GroupRound
from server_stub.secagg.join_phase import JoinPhase
from server_stub.secagg.opening import GroupSum
from server_stub.secagg.refusals import not_in_group, round_closed

PHASES = ("advertise", "shares", "masked", "consistency", "unmask", "leave", "complaint")
"""The messages that devices send; those of the phases first, in order."""
ENDED = (GroupState.DONE, GroupState.ABORTED)
Witness = Callable[[DrawRequest], Witnessed]
"""Asks the witness to sign a draw. Raises PeerError WITNESS_REFUSED where it signed another draw
of the round."""
NO_GROUP = "This device is in no group of this round."


@dataclass(frozen=True)
class RoundEvent:
    """One event: a message of a device (PHASES), or "open", "close", "advance", "drop", "blame",
    "proof".

    The kinds are stored in the aggregator's database: they never change their meaning.
    """

    kind: str
    at: int
    """Seconds since the epoch."""
    device_id: str = ""
    group: int = 0
    body: bytes | None = b""
    """None: a masked input that its device withdrew."""


def opening(crl_pem: str, capacity: int, invited: Invited, now: int) -> RoundEvent:
    """The first event of a round.

    `capacity`: the window closes once this many devices have advertised; `invited`: the devices
    that were ready when it was announced.
    """
    facts = {
        "crl_pem": crl_pem,
        "capacity": capacity,
        "expected": sorted(invited.joining),
        "sitting_out": sorted(invited.sitting_out),
    }
    return RoundEvent("open", now, body=json.dumps(facts).encode())


class ReplayableRound:
    """The round that its stored events describe; the first of them is "open"."""

    def __init__(self, config: RoundConfig, ca_pem: str, events: Iterable[RoundEvent]) -> None:
        """Raises PeerError where the revocation list in the first event is not acceptable."""
        self.config = config
        self.groups: list[GroupRound] | None = None
        """None while the join window is open."""
        self._group_of: dict[str, int] = {}
        self._dropped: set[str] = set()
        history = iter(events)
        opened = next(history)
        facts = json.loads(opened.body or b"")
        revoked = (
            read_revocations(facts["crl_pem"], ca_pem, opened.at).serials
            if facts["crl_pem"]
            else frozenset()
        )
        # Certificates must be valid when the window closes, not when it was announced: a device may
        # enrol in between.
        self._join = JoinPhase(config, ca_pem, joining(config)[1], revoked)
        self._capacity: int = facts["capacity"]
        self.expected: set[str] = set(facts["expected"])
        """The devices that join and were ready when the window was announced, less those that have
        left since."""
        self.sitting_out = frozenset(facts.get("sitting_out", ()))
        """The devices that sit this round out (rule 5 of server_stub.rounds.join_window)."""
        for event in history:
            self._apply(event)

    @property
    def devices(self) -> frozenset[str]:
        """The devices in the window, or in a group and not dropped."""
        return (
            self._join.devices if self.groups is None else frozenset(self._group_of) - self._dropped
        )

    @property
    def is_full(self) -> bool:
        return self._join.size >= self._capacity

    @property
    def is_over(self) -> bool:
        return self.groups is not None and all(group.state in ENDED for group in self.groups)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The devices that advertised and are in no group."""
        return self._join.left_out

    def sums(self) -> list[tuple[int, GroupSum]]:
        """The sums of the finished groups, with the groups' places in `groups`."""
        return [
            (number, group.result)
            for number, group in enumerate(self.groups or [])
            if group.result is not None
        ]

    def receive(self, kind: str, device_id: str, body: bytes, now: int) -> list[RoundEvent]:
        """Accept a message (one of PHASES); no event for one that was accepted before.

        Raises PeerError; then nothing has changed but `fault_of` the sender.
        """
        event = RoundEvent(kind, now, device_id, self._group_of.get(device_id, 0), body)
        # Each `is_new` is read before the call: afterwards the message counts as received.
        if kind == "advertise":
            if device_id in self.sitting_out:
                raise round_closed("This device sits this round out; it may join the next one.")
            is_new = device_id not in self._join.devices
            self._join.advertise(device_id, body)
            return [event] if is_new else []
        if kind == "leave" and self.groups is None:
            is_new = device_id in self._join.devices
            self._join.leave(device_id, body)
            return [event] if is_new else []
        if device_id in self.left_out:
            if kind == "leave":  # it has nothing to leave, but did nothing wrong either
                return []
            raise round_closed(NO_GROUP)
        group = self._group(device_id)
        # A message to a group that has ended changes nothing that a replay would have to know.
        is_new = group.state not in ENDED and not group.has_received(kind, device_id)
        group.receive(kind, device_id, body)
        return [event] if is_new else []

    @property
    def proofs(self) -> dict[str, Proof]:
        """Who is proven to be at fault, by device id."""
        return {
            device_id: proof
            for group in self.groups or []
            for device_id, proof in group.proofs.items()
        }

    def fault_of(self, device_id: str) -> str:
        """The code of a device's fault; "" for none."""
        return (
            self._group(device_id).faults.get(device_id, "") if device_id in self._group_of else ""
        )

    def record_fault(self, device_id: str, now: int) -> RoundEvent:
        """The event that preserves the fault of a device over a restart, with its proof."""
        kind, body = "blame", self.fault_of(device_id).encode()
        if (proof := self._group(device_id).proofs.get(device_id)) is not None:
            kind, body = "proof", json.dumps(proof.to_json()).encode()
        return RoundEvent(kind, now, device_id, self._group_of[device_id], body)

    def drop(self, device_id: str, now: int) -> list[RoundEvent]:
        """Continue without a device that was revoked or erased."""
        if device_id not in self.devices:
            return []
        event = RoundEvent("drop", now, device_id, self._group_of.get(device_id, 0))
        # By the same code as in a replay: the two cannot come to different rounds.
        self._apply(event)
        return [event]

    def is_input_open(self, device_id: str) -> bool:
        """Whether a masked input of this device could still be withdrawn."""
        return device_id in self._group_of and self._group(device_id).state in (
            GroupState.SHARING,
            GroupState.MASKING,
        )

    def close(self, now: int, witness: Witness) -> list[RoundEvent]:
        """End the join window and draw the groups.

        Raises what `witness` raises, except WITNESS_REFUSED: then the round has no group.
        """
        request, signed = self._join.draw_request, {}
        if request is not None:
            try:
                witnessed = witness(request)
            except PeerError as error:
                if error.code != "WITNESS_REFUSED":
                    raise
            else:
                signed = {name: value.hex() for name, value in vars(witnessed).items()}
        # In the event: a replay must come to the same groups, and the witness is asked once.
        event = RoundEvent("close", now, body=json.dumps(signed).encode() if signed else b"")
        self._apply(event)
        return [event]

    def advance(self, now: int) -> list[RoundEvent]:
        """Advance every group as far as it can go."""
        events = []
        for number, group in enumerate(self.groups or []):
            # More than one phase may end: one whose devices have all left has nothing to wait for.
            while group.state not in ENDED and group.advance(now):
                events.append(RoundEvent("advance", now, group=number))
        return events

    def dealing(self, device_id: str, dealer: int) -> bytes | None:
        """What a dealer signed; None while the shares are not passed on.

        Raises PeerError ROUND_CLOSED, NOT_IN_GROUP, BAD_MESSAGE.
        """
        return self._group(device_id).dealing(device_id, dealer)

    def inbox(self, after: str, device_id: str) -> bytes | None:
        """The outcome of a phase for one device; None while it is not known.

        Raises PeerError ROUND_CLOSED, NOT_IN_GROUP, BAD_MESSAGE.
        """
        if self.groups is None:
            if device_id not in self._join.devices:
                raise not_in_group("This device has not advertised.")
            return None
        if device_id in self.left_out:
            raise round_closed(NO_GROUP)
        return self._group(device_id).inbox(after, device_id)

    def record(self) -> dict[str, Any]:
        """What the operator sees of the round for good. It names no device except those with a
        fault.
        """
        groups = [_group_record(group, self.config) for group in self.groups or []]
        return {
            "groups": groups,
            "left_out": len(self.left_out),
            "sitting_out": len(self.sitting_out),
            "dropped": {
                phase: sum(group["dropped"][phase] for group in groups) for phase in PHASES[1:5]
            },
        }

    def _group(self, device_id: str) -> GroupRound:
        if self.groups is None or device_id not in self._group_of:
            raise not_in_group(NO_GROUP)
        return self.groups[self._group_of[device_id]]

    def _apply(self, event: RoundEvent) -> None:
        if event.kind == "advertise":
            self._join.advertise(event.device_id, event.body or b"")
        elif event.kind == "close":
            signed = json.loads(event.body or b"{}")
            witnessed = Witnessed(**{name: bytes.fromhex(value) for name, value in signed.items()})
            self.groups = self._join.close(event.at, witnessed)
            self._group_of = {
                device_id: number
                for number, group in enumerate(self.groups)
                for device_id in group.devices
            }
        elif self.groups is None:  # "leave" and "drop" in the window
            self._join.drop(event.device_id)
            # Otherwise the window would wait for it after a restart.
            self.expected.discard(event.device_id)
        elif event.kind == "advance":
            self.groups[event.group].advance(event.at)
        elif event.kind == "drop":
            self.groups[event.group].drop(event.device_id)
            self._dropped.add(event.device_id)
        elif event.kind == "blame":
            self.groups[event.group].faults[event.device_id] = (event.body or b"").decode()
        elif event.kind == "proof":
            self.groups[event.group].convict(Proof.from_json(json.loads(event.body or b"")))
        elif event.body is not None:
            self.groups[event.group].receive(event.kind, event.device_id, event.body)


def _group_record(group: GroupRound, config: RoundConfig) -> dict[str, Any]:
    counts = group.counts()
    survivors = group.result.count if group.result else 0
    return {
        "size": counts["advertised"],
        "dealers": counts["shared"],
        "survivors": counts["masked"],
        "signed": counts["signed"],
        "unmasked": counts["unmasked"],
        "state": group.state.value,
        "threshold": group.drawn.threshold,
        "m": config.min_sum,
        "c": config.colluders,
        "noise_sd_units_planned": round((survivors * config.noise_var) ** 0.5, 3),
        "dropped": {
            "shares": counts["advertised"] - counts["shared"],
            "masked": counts["shared"] - counts["masked"],
            "consistency": counts["masked"] - counts["signed"],
            # A survivor may return shares without having signed.
            "unmask": max(0, counts["signed"] - counts["unmasked"]),
        },
        "failure": f"{group.failure.phase.value}: {group.failure.reason}" if group.failure else "",
        "blamed": dict(sorted(group.faults.items())),
        "proven": group.proven,
    }
