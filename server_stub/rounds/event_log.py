"""A round of secure aggregation as it runs: the join window, then its groups. Sans-IO and
deterministic: what happened is a list of entries, and the same entries played into a new object
make the same round. Every method that changes something returns the entries to be stored in the
transaction that carries the change; when that fails, throw the object away and replay.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agent.protocol.messages import RoundConfig
from agent.protocol.revocations import read_revocations
from agent.protocol.states import GroupState
from server_stub.rounds.lifecycle import joining
from server_stub.secagg.group import GroupRound
from server_stub.secagg.join_phase import JoinPhase
from server_stub.secagg.opening import GroupSum
from server_stub.secagg.refusals import not_in_group, round_closed

PHASES = ("advertise", "shares", "masked", "consistency", "unmask", "leave")
"""What devices say."""
ENDED = (GroupState.DONE, GroupState.ABORTED)


@dataclass(frozen=True)
class RoundEvent:
    """One thing that happened: a message (PHASES), or "open", "close", "advance", "drop",
    "blame".
    """

    kind: str
    at: int
    device_id: str = ""
    group: int = 0
    body: bytes | None = b""
    """None: a masked input whose device took it back."""


def opening(crl_pem: str, capacity: int, expected: list[str], now: int) -> RoundEvent:
    """The first entry.

    `capacity`: the window closes when so many devices are in; `expected`: who was ready when it was
    announced.
    """
    return RoundEvent(
        "open",
        now,
        body=json.dumps({"crl_pem": crl_pem, "capacity": capacity, "expected": expected}).encode(),
    )


class ReplayableRound:
    """Made of its stored entries, "open" first."""

    def __init__(self, config: RoundConfig, ca_pem: str, entries: Iterable[RoundEvent]) -> None:
        self.config = config
        self.groups: list[GroupRound] | None = None
        """None while the join window is open."""
        self._group_of: dict[str, int] = {}
        self._dropped: set[str] = set()
        self._history = iter(entries)
        opened = next(self._history)
        facts = json.loads(opened.body or b"")
        revoked = (
            read_revocations(facts["crl_pem"], ca_pem, opened.at).serials
            if facts["crl_pem"]
            else frozenset()
        )
        # Certificates are to be good when the window closes: a device may have enrolled since it
        # was announced.
        self._join = JoinPhase(config, ca_pem, joining(config)[1], revoked)
        self._capacity: int = facts["capacity"]
        self.expected: set[str] = set(facts["expected"])
        """Who was ready when the window was announced and has not gone since."""
        for entry in self._history:
            self._play(entry)

    @property
    def devices(self) -> frozenset[str]:
        """Who is in the window, or in a group and was not dropped."""
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
        """Who advertised and is in no group."""
        return self._join.left_out

    def sums(self) -> list[tuple[int, GroupSum]]:
        """What the finished groups gave, with their numbers in `groups`."""
        return [
            (at, group.result)
            for at, group in enumerate(self.groups or [])
            if group.result is not None
        ]

    def receive(self, kind: str, device_id: str, body: bytes, now: int) -> list[RoundEvent]:
        """Take a message (one of PHASES); no entry for one that was taken before.

        Raises PeerError; then nothing has changed but `blamed`.
        """
        entry = RoundEvent(kind, now, device_id, self._group_of.get(device_id, 0), body)
        if kind == "advertise":
            is_new = device_id not in self._join.devices
            self._join.advertise(device_id, body)
            return [entry] if is_new else []
        if kind == "leave" and self.groups is None:
            is_new = device_id in self._join.devices
            self._join.leave(device_id, body)
            return [entry] if is_new else []
        if device_id in self.left_out:
            if kind == "leave":
                return []
            raise round_closed("This device is in no group.")
        group = self._group(device_id)
        is_new = group.state not in ENDED and not group.has_received(kind, device_id)
        group.receive(kind, device_id, body)
        return [entry] if is_new else []

    def blamed(self, device_id: str) -> str:
        """What a device was refused for; "" for nothing."""
        return (
            self._group(device_id).blamed.get(device_id, "") if device_id in self._group_of else ""
        )

    def blame(self, device_id: str, now: int) -> RoundEvent:
        """The entry that keeps `blamed` over a restart."""
        return RoundEvent(
            "blame", now, device_id, self._group_of[device_id], self.blamed(device_id).encode()
        )

    def drop(self, device_id: str, now: int) -> list[RoundEvent]:
        """Go on without a device that was revoked or erased."""
        if device_id not in self.devices:
            return []
        entry = RoundEvent("drop", now, device_id, self._group_of.get(device_id, 0))
        self._play(entry)
        return [entry]

    def is_input_open(self, device_id: str) -> bool:
        """Whether a masked input of this device could still be taken back."""
        return device_id in self._group_of and self._group(device_id).state in (
            GroupState.SHARING,
            GroupState.MASKING,
        )

    def close(self, now: int) -> list[RoundEvent]:
        """End the join window and draw the groups."""
        entry = RoundEvent("close", now)
        self._play(entry)
        return [entry]

    def advance(self, now: int) -> list[RoundEvent]:
        """Let every group go on as far as it can."""
        made = []
        for number, group in enumerate(self.groups or []):
            while group.state not in ENDED and group.advance(now):
                made.append(RoundEvent("advance", now, group=number))
        return made

    def inbox(self, after: str, device_id: str) -> bytes | None:
        """What came of a phase for one device; None: not yet.

        Raises PeerError ROUND_CLOSED, NOT_IN_GROUP, BAD_MESSAGE.
        """
        if self.groups is None:
            if device_id not in self._join.devices:
                raise not_in_group("This device has not advertised.")
            return None
        if device_id in self.left_out:
            raise round_closed("This device is in no group.")
        return self._group(device_id).inbox(after, device_id)

    def record(self) -> dict[str, Any]:
        """What the operator sees of the round for good: nothing in it is about one device but whom
        the protocol blames.
        """
        groups = [_group_record(group, self.config) for group in self.groups or []]
        return {
            "groups": groups,
            "left_out": len(self.left_out),
            "dropped": {
                phase: sum(group["dropped"][phase] for group in groups) for phase in PHASES[1:5]
            },
        }

    def _group(self, device_id: str) -> GroupRound:
        if self.groups is None or device_id not in self._group_of:
            raise not_in_group("This device is in no group of this round.")
        return self.groups[self._group_of[device_id]]

    def _play(self, entry: RoundEvent) -> None:
        if entry.kind == "advertise":
            self._join.advertise(entry.device_id, entry.body or b"")
        elif entry.kind == "close":
            self.groups = self._join.close(entry.at)
            self._group_of = {
                device_id: number
                for number, group in enumerate(self.groups)
                for device_id in group.devices
            }
        elif self.groups is None:
            self._join.drop(entry.device_id)
            self.expected.discard(entry.device_id)
        elif entry.kind == "advance":
            self.groups[entry.group].advance(entry.at)
        elif entry.kind == "drop":
            self.groups[entry.group].drop(entry.device_id)
            self._dropped.add(entry.device_id)
        elif entry.kind == "blame":
            self.groups[entry.group].blamed[entry.device_id] = (entry.body or b"").decode()
        elif entry.body is not None:
            self.groups[entry.group].receive(entry.kind, entry.device_id, entry.body)


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
            "unmask": max(0, counts["signed"] - counts["unmasked"]),
        },
        "failure": f"{group.failure.phase.value}: {group.failure.reason}" if group.failure else "",
        "blamed": dict(sorted(group.blamed.items())),
    }
