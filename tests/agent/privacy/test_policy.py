"""Every bound that a device holds against a server, and the code with which it refuses."""

from dataclasses import replace

import pytest

from agent.errors import PeerError
from agent.privacy.plan import plan_local, plan_secagg
from agent.privacy.policy import DeviceLimits, check_config
from agent.protocol.messages import Mode, Task
from tests.fakes.rounds import round_identity

GROUP = Task("t", "s", "logistic", 116, Mode.SECAGG, 10, 100, 1000, 1)
LOCAL = replace(GROUP, mode=Mode.LOCAL)
SECAGG_CONFIG = plan_secagg(
    GROUP, round_identity(), rho_units_per_round=2**40 // 500, g_max=100, min_sum=60
)
LOCAL_CONFIG = plan_local(LOCAL, round_identity(), rho_units_per_round=2**40 // 500)

BREACHES = {
    "ROUND_OTHER_TASK": {"task_id": "other"},
    "ROUND_MODE": {"mode": Mode.LOCAL},
    "ROUND_PROTOCOL": {"protocol": "GroupSecAgg/0"},
    "ROUND_CLIP": {"clip_num": 2},
    "ROUND_TOO_LONG": {"closes_at": 10**9},
    "NOISE_TOO_SMALL": {"noise_var": 8},
    "NOISE_TOO_LARGE": {"noise_var": 8193**2},
    "GROUP_TOO_SMALL": {"min_group": 31},
    "SUM_TOO_SMALL": {"min_sum": 19, "colluders": 18},
    "COLLUDERS_TOO_FEW": {"colluders": 19},
}


@pytest.mark.parametrize("code", BREACHES)
def test_p3_each_bound_has_its_refusal(code):
    with pytest.raises(PeerError) as raised:
        check_config(
            replace(SECAGG_CONFIG, **BREACHES[code]), GROUP, DeviceLimits(max_rho_units=2**60)
        )
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"d": 117}, "ROUND_SHAPE"),
        ({"d_padded": 256}, "ROUND_SHAPE"),
        ({"subset_k": 5}, "ROUND_SHAPE"),
        ({"phase_s": 0}, "ROUND_SHAPE"),
        ({"sensitivity_sq": SECAGG_CONFIG.sensitivity_sq - 1}, "ROUND_SENSITIVITY"),
        ({"sensitivity_sq": SECAGG_CONFIG.sensitivity_sq * 4}, "ROUND_SENSITIVITY"),
        ({"grid_den": SECAGG_CONFIG.grid_den * 2}, "ROUND_SENSITIVITY"),
        ({"noise_var": SECAGG_CONFIG.noise_var // 200}, "ROUND_TOO_EXPENSIVE"),
    ],
)
def test_p3_shape_sensitivity_and_price(change, code):
    with pytest.raises(PeerError) as raised:
        check_config(replace(SECAGG_CONFIG, **change), GROUP, DeviceLimits())
    assert raised.value.code == code


def test_p3_what_was_planned_is_accepted():
    identity = round_identity(subset_k=50, subset_seed="ab" * 32)
    subset = plan_local(LOCAL, identity, rho_units_per_round=2**34)
    for config, task in ((SECAGG_CONFIG, GROUP), (LOCAL_CONFIG, LOCAL), (subset, LOCAL)):
        assert check_config(config, task, DeviceLimits()) is None  # a refusal would be raised


def test_p3_lower_bounds_of_a_test_say_so():
    assert not DeviceLimits().are_for_tests
    assert not DeviceLimits(min_group=64).are_for_tests
    assert DeviceLimits(min_group=3).are_for_tests
    assert DeviceLimits(gamma_milli=0).are_for_tests
