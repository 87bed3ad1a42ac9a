"""A sealed update names its round and attempt, is different every time, and never holds the update
itself.
"""

import numpy as np
import pytest

from agent.privacy.codec import clip, decode_sum, noise_sd, read_update
from agent.privacy.plan import plan_local, plan_secagg
from agent.privacy.seal import seal
from agent.protocol.envelope import decode
from agent.protocol.messages import Mode, Task
from tests.fakes.rounds import round_identity

TASK = Task("t", "s", "logistic", 116, Mode.LOCAL, 10, 100, 1000, 1)
CONFIG = plan_local(TASK, round_identity(), rho_units_per_round=2**38)


def test_it_is_bound_to_round_and_attempt():
    envelope = decode(seal(np.ones(116), CONFIG, "ab" * 16))
    assert envelope.header == {
        "kind": "local-update",
        "task_id": "t",
        "round_id": 1,
        "config_digest": CONFIG.digest,
        "attempt": "ab" * 16,
        "d": 116,
        "bits": CONFIG.bits,
    }
    values = read_update(envelope.payload, CONFIG)
    error = decode_sum(values, CONFIG, 1) - clip(np.ones(116), 1.0)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(noise_sd(CONFIG, 1), rel=0.4)


def test_p7_each_seal_has_fresh_noise():
    one, two = (
        read_update(decode(seal(np.ones(116), CONFIG, "00")).payload, CONFIG) for _ in range(2)
    )
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.9
    assert (one != two).mean() > 0.9


def test_words_for_a_sum_are_of_another_kind():
    task = Task("t", "s", "logistic", 116, Mode.SECAGG, 10, 100, 1000, 1)
    config = plan_secagg(task, round_identity(), rho_units_per_round=2**32, g_max=40, min_sum=20)
    assert decode(seal(np.ones(116), config, "00")).header["kind"] == "sealed-words"
