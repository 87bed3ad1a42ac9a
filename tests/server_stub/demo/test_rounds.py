"""What a round's record and configuration say about a group."""

import pytest

from server_stub.demo.rounds import GROUP_FIELDS, group_result, noise_of_sum
from tests.fakes.secagg import plan


def test_the_noise_of_a_sum_is_that_of_independent_devices_in_clipping_norms():
    config = plan(10)
    one = noise_of_sum(config, 1)
    assert one == pytest.approx(config.noise_var**0.5 * float(config.grid) / float(config.clip))
    assert noise_of_sum(config, 9) == pytest.approx(3 * one)
    assert noise_of_sum(config, 0) == 0


def test_a_group_of_the_record_keeps_its_fields_and_gets_its_noise():
    record = dict.fromkeys(GROUP_FIELDS, 4) | {"state": "done", "failure": "", "blamed": {}}
    config = plan(10)
    result = group_result(record, config)
    assert (result.size, result.state, result.m) == (4, "done", 4)
    assert result.noise_sd == noise_of_sum(config, 4)
