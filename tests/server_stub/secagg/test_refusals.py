"""A refusal says what the device can expect, under the code that decides the answer's status."""

import pytest

from agent.errors import PeerError
from server_stub.api.problems import status_of
from server_stub.secagg.refusals import not_in_group, round_closed


@pytest.mark.parametrize(
    ("refusal", "code", "status"),
    [(round_closed, "ROUND_CLOSED", 410), (not_in_group, "NOT_IN_GROUP", 403)],
)
def test_a_refusal_has_the_message_of_its_caller_and_a_code_with_a_status(refusal, code, status):
    error = refusal("The window is over.")
    assert isinstance(error, PeerError)
    assert (error.code, error.message) == (code, "The window is over.")
    assert error.remedy
    assert status_of(code) == status
