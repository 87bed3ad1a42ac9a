"""Tasks and round configurations are read strictly: every field, its type and its range, and
nothing else.
"""

from dataclasses import fields, replace
from fractions import Fraction

import pytest

from agent.errors import AegisError
from agent.protocol.canonical import digest
from agent.protocol.limits import MAX_DIMENSION, MAX_GROUP
from agent.protocol.messages import Mode, RoundConfig, Task, TrainingRows

TASK = Task("task", "pehdr29/fixed-v1", "logistic", 116, Mode.SECAGG, 20, 100, 1000, 1)
WITH_BASE = replace(
    TASK,
    model="base+head/1",
    d=1024,
    base_sha256="5a" * 32,
    rows=TrainingRows.BENIGN,
    rounds=20,
    mean_weight_milli=1000,
    base_weight_milli=500,
)
CONFIG = RoundConfig(
    protocol="GroupSecAgg/2",
    task_id="task",
    round_id=7,
    mode=Mode.SECAGG,
    model_version=3,
    model_digest="ab" * 32,
    d=116,
    d_padded=128,
    bits=24,
    clip_num=3,
    clip_den=2,
    grid_num=1,
    grid_den=1000,
    sensitivity_sq=2**40,
    noise_var=9,
    g_max=100,
    min_group=32,
    min_sum=20,
    colluders=19,
    rotation_seed="cd" * 32,
    subset_seed="",
    subset_k=0,
    opens_at=1000,
    closes_at=2000,
    phase_s=60,
)


def refusal(kind, value):
    with pytest.raises(AegisError) as raised:
        kind.from_json(value)
    assert raised.value.code == "BAD_MESSAGE"
    return raised.value.detail


@pytest.mark.parametrize(
    "message",
    [TASK, WITH_BASE, CONFIG, replace(CONFIG, subset_seed="ef" * 32, subset_k=128, phase_s=0)],
)
def test_there_and_back(message):
    assert type(message).from_json(message.to_json()) == message
    assert message.digest == digest(message.to_json())


def test_a_task_without_a_base_reads_as_before_there_were_bases():
    fields_before = {
        "task_id": "task",
        "schema": "pehdr29/fixed-v1",
        "model": "logistic",
        "d": 116,
        "mode": "secagg",
        "train_steps": 20,
        "train_rate_milli": 100,
        "clip_milli": 1000,
        "min_rows": 1,
        "weight_cap": 0,
        "witness": "",
    }
    assert TASK.to_json() == fields_before
    assert Task.from_json(fields_before) == TASK


@pytest.mark.parametrize(
    "changes",
    [
        {"base_sha256": ""},
        {"base_sha256": "5A" * 32},
        {"rows": "some"},
        {"rounds": 0},
        {"d": 5001},
        {"base_weight_milli": 10_001},
        {"mean_weight_milli": -1},
        {"signing_authorities": "11" * 31},
        {"signing_authorities": f"{'22' * 32} {'11' * 32}"},
        {"signing_authorities": " ".join(f"{number:064x}" for number in range(17))},
    ],
    ids=str,
)
def test_p11_a_task_with_a_base_lies_within_its_bounds(changes):
    assert refusal(Task, {**WITH_BASE.to_json(), **changes})


def test_p11_a_task_names_all_of_its_base_or_nothing():
    short = WITH_BASE.to_json()
    del short["rounds"]
    assert "fields differ: ['rounds']" in refusal(Task, short)


def test_a_task_may_list_signing_authorities():
    listed = replace(TASK, signing_authorities=f"{'11' * 32} {'ab' * 32}")
    assert Task.from_json(listed.to_json()) == listed
    assert "signing_authorities" not in TASK.to_json()


def test_every_field_is_in_the_digest():
    changed = {
        "mode": Mode.LOCAL,
        **{field.name: "00" * 32 for field in fields(CONFIG) if field.type is str},
    }
    digests = {
        replace(CONFIG, **{field.name: changed.get(field.name, 10**6)}).digest
        for field in fields(CONFIG)
    }
    assert len(digests | {CONFIG.digest}) == len(fields(CONFIG)) + 1


def test_rationals_and_the_width_of_an_update():
    assert (CONFIG.clip, CONFIG.grid) == (Fraction(3, 2), Fraction(1, 1000))
    assert (TASK.width, replace(TASK, weight_cap=50).width) == (116, 117)


@pytest.mark.parametrize(
    "value", [None, [], "text", {}, {**TASK.to_json(), "more": 1}, {"task_id": "task"}]
)
def test_p11_another_set_of_fields_is_refused(value):
    assert "expected an object" in refusal(Task, value) or "fields differ" in refusal(Task, value)


def other_types(name):
    own = type(getattr(CONFIG, name))
    return [value for value in (None, 1.0, True, [], "7", 7) if not issubclass(own, type(value))]


@pytest.mark.parametrize(
    ("name", "value"),
    [(field.name, value) for field in fields(RoundConfig) for value in other_types(field.name)],
)
def test_p11_another_type_is_refused(name, value):
    assert refusal(RoundConfig, {**CONFIG.to_json(), name: value}).startswith(f"{name}: expected")


BOUNDS = {
    "round_id": (1, 2**53),
    "model_version": (0, 2**53),
    "d": (1, MAX_DIMENSION),
    "d_padded": (1, 2 * MAX_DIMENSION),
    "clip_num": (1, 2**80),
    "clip_den": (1, 2**80),
    "grid_num": (1, 2**80),
    "grid_den": (1, 2**80),
    "sensitivity_sq": (1, 2**80),
    "noise_var": (1, 2**80),
    "g_max": (CONFIG.min_group, MAX_GROUP),
    "min_group": (CONFIG.min_sum, CONFIG.g_max),
    "min_sum": (CONFIG.colluders + 1, CONFIG.min_group),
    "colluders": (0, CONFIG.min_sum - 1),
    "phase_s": (0, 3600),
}


@pytest.mark.parametrize(("name", "bounds"), BOUNDS.items(), ids=list(BOUNDS))
def test_p11_a_number_lies_within_its_bounds(name, bounds):
    low, high = bounds
    for inside in (low, high):
        assert getattr(RoundConfig.from_json({**CONFIG.to_json(), name: inside}), name) == inside
    for outside in (low - 1, high + 1):
        assert refusal(RoundConfig, {**CONFIG.to_json(), name: outside})


@pytest.mark.parametrize(
    "changes",
    [
        {"bits": 8},
        {"bits": 33},
        {"mode": "plain"},
        {"model_digest": "AB" * 32},
        {"model_digest": "ab" * 31},
        {"rotation_seed": "no hex" + "0" * 58},
        {"subset_seed": "ab"},
        {"subset_k": 5},
        {"subset_k": 129, "subset_seed": "ab" * 32},
        {"closes_at": 1000},
    ],
    ids=str,
)
def test_p11_what_does_not_fit_together_is_refused(changes):
    assert refusal(RoundConfig, {**CONFIG.to_json(), **changes})


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("d", 1, MAX_DIMENSION),
        ("train_steps", 1, 1000),
        ("train_rate_milli", 1, 1_000_000),
        ("clip_milli", 1, 1_000_000),
        ("min_rows", 1, 1_000_000),
        ("weight_cap", 0, 1_000_000),
    ],
)
def test_p11_a_task_lies_within_its_bounds(name, low, high):
    assert Task.from_json({**TASK.to_json(), name: low}) == replace(TASK, **{name: low})
    for outside in (low - 1, high + 1):
        assert refusal(Task, {**TASK.to_json(), name: outside}).startswith(
            f"{name}: expected {low} to {high}"
        )


def test_a_task_that_asks_no_age_of_its_devices_has_the_form_of_before():
    assert "peer_days" not in TASK.to_json()
    asking = replace(TASK, peer_days=7)
    assert Task.from_json(asking.to_json()) == asking
    assert asking.digest != TASK.digest
    for outside in (-1, 91):
        refused = refusal(Task, {**TASK.to_json(), "peer_days": outside})
        assert refused.startswith("peer_days: expected 0 to 90")
