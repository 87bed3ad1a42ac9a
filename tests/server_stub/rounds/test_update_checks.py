import numpy as np
import pytest

from agent.errors import PeerError
from agent.privacy.seal import seal
from agent.protocol.envelope import Envelope, decode
from agent.protocol.messages import Mode
from server_stub.config.settings import default_task
from server_stub.rounds.lifecycle import RoundPlan, local_config
from server_stub.rounds.update_checks import check_update, max_update_bytes, named_round
from tests.fakes.rounds import round_identity


@pytest.fixture(scope="module")
def config():
    plan = RoundPlan(epsilon_milli=8000, planned=10)
    return local_config(default_task(Mode.LOCAL), plan, round_identity(round_id=7))


def test_an_honest_update_passes_within_the_largest_size(config):
    body = seal(np.full(config.d, 5.0), config, "ab" * 8)
    check_update(decode(body), config)
    assert named_round(decode(body).header) == 7
    assert len(body) <= max_update_bytes(config)


@pytest.mark.parametrize(
    "change",
    [{"round_id": 0}, {"round_id": "7"}, {"round_id": True}, {"extra": 1}, {"round_id": 2**53}],
)
def test_a_header_that_names_no_round_is_refused(config, change):
    good = decode(seal(np.zeros(config.d), config, "ab" * 8))
    with pytest.raises(PeerError) as caught:
        named_round({**good.header, **change})
    assert caught.value.code == "BAD_ENVELOPE"


@pytest.mark.parametrize(
    "change",
    [
        {"round_id": 8},
        {"d": True},
        {"bits": 20},
        {"attempt": ""},
        {"attempt": 3},
        {"attempt": "a" * 65},
    ],
)
def test_an_update_for_anything_else_is_refused(config, change):
    good = decode(seal(np.zeros(config.d), config, "ab" * 8))
    with pytest.raises(PeerError) as caught:
        check_update(Envelope({**good.header, **change}, good.payload), config)
    assert caught.value.code == "WRONG_SHAPE"


def test_values_that_no_honest_update_has_are_refused(config):
    good = decode(seal(np.zeros(config.d), config, "ab" * 8))
    far = b"\x00" * (len(good.payload) // 2) + b"\x7f" * (
        len(good.payload) - len(good.payload) // 2
    )
    with pytest.raises(PeerError) as caught:
        check_update(Envelope(good.header, far), config)
    assert caught.value.code == "SUM_OUT_OF_RANGE"
