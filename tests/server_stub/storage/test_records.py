"""A round says whether a proof explains why it made no model."""

import pytest

from server_stub.rounds.lifecycle import Event, State
from server_stub.storage.records import Round
from tests.fakes.stored_rows import NOW, round_config

PROVEN = {"groups": [{"proven": {}}, {"proven": {"urn:liar": "SECRET_FALSE"}}]}
UNPROVEN = {"groups": [{"proven": {}}, {}]}


@pytest.mark.parametrize(
    ("state", "record", "expected"),
    [
        (State.ABANDONED, {**UNPROVEN, "ended": Event.TOO_FEW}, True),
        (State.ABANDONED, {**UNPROVEN, "ended": Event.UNUSABLE}, True),
        (State.ABANDONED, {**UNPROVEN, "ended": Event.REPLACED}, False),
        (State.ABANDONED, {**PROVEN, "ended": Event.TOO_FEW}, False),
        (State.ABANDONED, UNPROVEN, False),
        (State.DONE, UNPROVEN, False),
        (State.OPEN, {}, False),
    ],
)
def test_a_failure_without_a_proof_is_told_from_all_other_ends(state, record, expected):
    ended = Round(1, state, round_config(), 3, 0, NOW, None, "", record)
    assert ended.failed_without_proof is expected


def test_the_proven_faults_of_all_groups_are_listed():
    ended = Round(1, State.DONE, round_config(), 3, 0, NOW, None, "", PROVEN)
    assert ended.proven == {"urn:liar": "SECRET_FALSE"}
