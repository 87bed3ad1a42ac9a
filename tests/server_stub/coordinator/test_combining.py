"""What was opened passes the gate or is left out alone; the rule that fits combines the rest."""

import os

import numpy as np
import pytest

from agent.errors import PeerError
from agent.privacy.codec import clip, encode_update, noise_sd, rotate
from agent.privacy.seal import seal
from agent.protocol.messages import Mode
from server_stub.aggregation.mean import mean_update
from server_stub.config.settings import default_task
from server_stub.coordinator.combining import (
    judge,
    judge_updates,
    opened_sums,
    opened_updates,
)
from server_stub.rounds.lifecycle import RoundPlan, local_config
from server_stub.validation.situation import Situation
from tests.fakes.rounds import round_identity
from tests.fakes.secagg import plan

CONFIG = plan(40, min_sum=20, gamma_milli=200, d=50)
ROOT = np.eye(50)[0]
FAR = (np.full(CONFIG.d_padded, 2 ** (CONFIG.bits - 1), np.uint32), 20)


def summed(count=32, signal=0.5, seed=0, excess=0.0):
    """An opened sum; one of its devices adds `excess` clipping norms along the root update."""
    draw = np.random.default_rng(seed)
    total = np.zeros(CONFIG.d_padded, np.uint32)
    for _ in range(count):
        vector = clip(signal * ROOT + draw.normal(0, 0.02, 50), float(CONFIG.clip))
        total += encode_update(vector, CONFIG, os.urandom(32))
    if excess:
        units = codec_units(excess * ROOT)
        total += units.astype(np.uint32)
    return total & np.uint32(2**CONFIG.bits - 1), count


def codec_units(vector):
    return np.rint(rotate(vector, CONFIG) / float(CONFIG.grid)).astype(np.int64)


def test_a_sum_that_does_not_decode_is_left_out_alone():
    opened = opened_sums([FAR, summed(), summed(seed=1)], CONFIG)
    assert (opened.places, opened.unreadable) == ((1, 2), (0,))
    judged = judge(opened, CONFIG, None, Situation(0, 2))
    assert judged.devices == 64
    assert judged.to_json()["refused"] == {"SUM_OUT_OF_RANGE": 1}
    assert judged.group_json(0) == {"gate": None, "weight": 0.0, "refusal": "SUM_OUT_OF_RANGE"}


def test_where_nothing_decodes_the_round_cannot_be_used():
    with pytest.raises(PeerError) as raised:
        opened_sums([FAR], CONFIG)
    assert raised.value.code == "SUM_OUT_OF_RANGE"


def test_a_device_that_moves_a_mean_by_many_clips_is_refused_with_its_group():
    sums = [summed(seed=1), summed(seed=2, excess=-200.0)]
    opened = opened_sums(sums, CONFIG)
    judged = judge(opened, CONFIG, ROOT, Situation(500, 2))
    assert judged.defence.rule == "anchored-mean"
    assert judged.reasons[1] in ("ENERGY", "PROJECTION")
    assert set(judged.weights) == {0}
    assert judged.update[0] > 0
    stored = judged.group_json(1)
    assert (stored["weight"], stored["refusal"]) == (0.0, judged.reasons[1])
    assert stored["gate"]["energy"] > 0


def test_without_operator_rows_only_energies_are_judged_and_the_sentence_says_so():
    judged = judge(opened_sums([summed(), summed(seed=1)], CONFIG), CONFIG, ROOT, Situation(0, 2))
    stored = judged.to_json()
    assert (stored["rule"], stored["uses_root"]) == ("mean", False)
    assert "one device can bend this model" in stored["sentence"]
    assert judged.results[0].projection is None


def test_a_root_update_without_length_is_none():
    opened = opened_sums([summed(), summed(seed=1)], CONFIG)
    assert judge(opened, CONFIG, np.zeros(50), Situation(500, 2)).defence.rule == "mean"


def test_where_no_group_passes_there_is_no_update():
    opened = opened_sums([summed(excess=300.0)], CONFIG)
    judged = judge(opened, CONFIG, ROOT, Situation(500, 1))
    assert (judged.update, judged.devices) == (None, 0)


def test_local_updates_are_judged_one_by_one_and_their_mean_is_exact():
    config = local_config(
        default_task(Mode.LOCAL),
        RoundPlan(epsilon_milli=8000, planned=10),
        round_identity(round_id=7),
    )
    bodies = [seal(np.full(config.d, 0.01), config, os.urandom(8).hex()) for _ in range(5)]
    opened = opened_updates([b"no envelope", *bodies], config)
    assert opened.unreadable == (0,)
    judged = judge(opened, config, None, Situation(0, 5))
    assert judged.devices == 5
    assert np.array_equal(judged.update, mean_update(bodies, config)[0])
    backwards = judge(opened_updates(bodies[::-1], config), config, None, Situation(0, 5))
    assert np.array_equal(judged.update, backwards.update)


def test_honest_groups_give_what_their_devices_sent():
    opened = opened_sums([summed(seed=seed) for seed in range(8)], CONFIG)
    for rows in (0, 500):
        judged = judge(opened, CONFIG, ROOT, Situation(rows, 8))
        assert np.abs(judged.update - 0.5 * ROOT).max() < 6 * noise_sd(CONFIG, 100)


def test_more_local_updates_than_fit_into_memory_are_combined_in_pieces():
    config = local_config(
        default_task(Mode.LOCAL),
        RoundPlan(epsilon_milli=8000, planned=10),
        round_identity(round_id=7),
    )
    bodies = [seal(np.full(config.d, 0.01), config, os.urandom(8).hex()) for _ in range(9)]
    bodies.insert(4, b"no envelope")
    whole = judge_updates(iter(bodies), 10, config, None, Situation(0, 0))
    # 10 updates of which two fit: 5 pieces of 2, each with the rule of its own size.
    pieces = judge_updates(iter(bodies), 10, config, None, Situation(0, 0), 2 * config.d_padded)
    assert (whole.defence.rule, pieces.defence.rule) == ("multi-krum", "mean")
    assert (whole.devices, pieces.devices) == (9, 9)
    assert pieces.reasons == {4: "SUM_OUT_OF_RANGE"}
    assert set(pieces.results) == set(range(10)) - {4}
    assert sum(pieces.weights.values()) == pytest.approx(1)
    assert pieces.update == pytest.approx(mean_update([*bodies[:4], *bodies[5:]], config)[0])


def test_a_piece_of_which_nothing_decodes_costs_the_others_nothing():
    config = local_config(
        default_task(Mode.LOCAL), RoundPlan(epsilon_milli=8000), round_identity(round_id=7)
    )
    good = seal(np.full(config.d, 0.01), config, os.urandom(8).hex())
    pieces = judge_updates([b"", b"", good], 3, config, None, Situation(0, 0), config.d_padded)
    assert (pieces.devices, set(pieces.reasons)) == (1, {0, 1})
    with pytest.raises(PeerError):
        judge_updates([b"", b""], 2, config, None, Situation(0, 0), config.d_padded)
    with pytest.raises(PeerError):
        judge_updates([], 0, config, None, Situation(0, 0))
