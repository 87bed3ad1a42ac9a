"""Brings the tests of past rounds to suspicion, and excludes the devices that it names.

It reads what the gate found in opened sums, and which devices were in them.
"""

import math
from typing import Any

from server_stub.quarantine.evidence import Proof
from server_stub.storage.store import Store
from server_stub.validation import suspicion_evidence
from server_stub.validation.suspicion import LEAST_GROUPS, GroupTest, RoundTests


def exclude_suspects(store: Store, round_id: int, now: int) -> list[Proof]:
    """Exclude the devices that are named after this round; returns the proofs."""
    rounds = round_tests(store)
    if not rounds:
        return []
    found = [
        proof
        for proof in suspicion_evidence.proofs(rounds)
        # An alias stands for what a device did before an earlier proof.
        if store.devices.is_known(proof.verdict.device_id)
    ]
    for proof in found:
        store.proofs.add(round_id, proof, now)
    return found


def round_tests(store: Store) -> list[RoundTests]:
    """The tests of the rounds that are kept, oldest first.

    What a device did up to its last exclusion was judged then. It counts against an alias, so that
    a device that has been repaired starts anew. A group in whose sum an erased device was is no
    test: what that device did would fall on the others.
    """
    judged = {
        one.device_id: one.round_id
        for one in store.proofs.all()
        if one.code == suspicion_evidence.CODE
    }
    members = store.memberships.groups()
    if not members:
        return []
    records = {one.round_id: one.record.get("groups", []) for one in store.rounds.all()}
    found = []
    for round_id in sorted({round_id for round_id, _ in members}):
        tests = []
        for number, group in enumerate(records.get(round_id, [])):
            statistic = _statistic(group)
            known = members.get((round_id, number), ())
            if statistic is None or not known or len(known) < group.get("survivors", 0):
                continue
            devices = (
                f"{one}@{judged[one]}" if round_id <= judged.get(one, 0) else one for one in known
            )
            tests.append(GroupTest(tuple(devices), statistic))
        if len(tests) >= LEAST_GROUPS:
            found.append(tuple(tests))
    return found


def _statistic(group: dict[str, Any]) -> float | None:
    """The projection of a group's mean on the root update in standard deviations; where there was
    no root update, how far its energy is from that of noise.
    """
    found = group.get("gate")
    if not found:
        return None
    if found["projection"] is not None:
        return float(found["projection"])
    freedom = float(found["freedom"])
    return (float(found["energy"]) - freedom) / math.sqrt(2 * freedom)
