"""Evidence from suspicion, and its judge: the tests of all rounds, with numbers in place of the
other devices' names. Whoever has it can infer the same again.

It is a statistic and no proof of one message: `suspicion` says how sure it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from server_stub.quarantine.evidence import Evidence, Proof, Verdict, no_proof
from server_stub.validation.suspicion import GroupTest, RoundTests, named, suspicion

JUDGE = "suspicion"
CODE = "SUSPECTED"


def proofs(rounds: Sequence[RoundTests]) -> list[Proof]:
    """A proof against each device that is named after the last of these rounds, oldest first."""
    now = suspicion(rounds)
    if not now.suspects:
        return []  # the rounds before would take as long again
    found = named(suspicion(rounds[:-1]), now)
    numbers = {
        device: number
        for number, device in enumerate(
            sorted({member for one in rounds for test in one for member in test.members})
        )
    }
    tests = [
        [[test.statistic, [numbers[member] for member in test.members]] for test in one]
        for one in rounds
    ]
    return [
        Proof(
            Verdict(device, CODE),
            Evidence(JUDGE, {"device_id": device, "number": numbers[device], "rounds": tests}),
        )
        for device in sorted(found)
    ]


def judge(facts: Mapping[str, Any], ca_pem: str) -> Verdict:  # noqa: ARG001  (no certificate in it)
    """Infer again who is named. Raises PeerError NO_PROOF."""
    try:
        device_id, number = str(facts["device_id"]), str(int(facts["number"]))
        rounds = [
            tuple(
                GroupTest(tuple(str(int(member)) for member in members), float(statistic))
                for statistic, members in one
            )
            for one in facts["rounds"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise no_proof("its tests cannot be read") from error
    if number not in named(suspicion(rounds[:-1]), suspicion(rounds)):
        raise no_proof("the tests name another device or none")
    return Verdict(device_id, CODE)
