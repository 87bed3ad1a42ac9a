"""Reading the device port's limits from `server.json`."""

from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.config.limits import MAX_LIMIT, DevicePortLimits, Rate, Rates

POSITIVE = st.integers(1, MAX_LIMIT)


def test_limits_are_read_as_they_were_written():
    assert DevicePortLimits.from_json(asdict(DevicePortLimits())) == DevicePortLimits()


@given(POSITIVE, POSITIVE, st.floats(1e-3, MAX_LIMIT))
def test_any_number_in_range_is_accepted(connections, burst, per_s):
    rates = {"failure": {"burst": burst, "per_s": per_s}}
    limits = DevicePortLimits.from_json({"connections": connections, "rates": rates})
    assert (limits.connections, limits.rates.failure) == (connections, Rate(burst, per_s))


def test_a_missing_limit_keeps_its_default():
    assert DevicePortLimits.from_json({}) == DevicePortLimits()
    limits = DevicePortLimits.from_json(
        {"connections": 7, "rates": {"failure": {"burst": 2, "per_s": 0.01}}}
    )
    assert limits == DevicePortLimits(Rates(failure=Rate(2, 0.01)), connections=7)


def test_reading_leaves_the_document_as_it_was():
    document = {"rates": {"token": {"burst": 1, "per_s": 1}}, "head_s": 1}
    DevicePortLimits.from_json(document)
    assert document == {"rates": {"token": {"burst": 1, "per_s": 1}}, "head_s": 1}


@pytest.mark.parametrize("number", [0, -1, MAX_LIMIT + 1, float("nan"), float("inf"), True, "1"])
@pytest.mark.parametrize("name", ["connections", "head_s", "body_s", "body_bytes_per_s"])
def test_p11_a_number_out_of_range_is_refused_by_its_full_name(name, number):
    with pytest.raises(ValueError, match=f"limits.{name}: expected a number above 0"):
        DevicePortLimits.from_json({name: number})


@pytest.mark.parametrize("kind", [field.name for field in fields(Rates)])
@pytest.mark.parametrize("part", ["burst", "per_s"])
def test_p11_a_rate_out_of_range_is_refused_by_its_full_name(kind, part):
    rate = {"burst": 1, "per_s": 1.0, part: 0}
    with pytest.raises(ValueError, match=rf"limits\.rates\.{kind}\.{part}: expected"):
        DevicePortLimits.from_json({"rates": {kind: rate}})


def test_p11_counts_are_whole_numbers():
    with pytest.raises(ValueError, match=r"limits.connections: expected a whole number"):
        DevicePortLimits.from_json({"connections": 1.5})
    with pytest.raises(ValueError, match=r"limits.rates.address.burst: expected a whole number"):
        DevicePortLimits.from_json({"rates": {"address": {"burst": 0.5, "per_s": 1}}})


@pytest.mark.parametrize(
    "document",
    [
        [],
        7,
        None,
        {"rates": []},
        {"unknown": 1},
        {"rates": {"unknown": {"burst": 1, "per_s": 1}}},
        {"rates": {"address": 7}},
        {"rates": {"address": {"burst": 1}}},
        {"rates": {"address": {"burst": 1, "per_s": 1, "more": 1}}},
        {"rates": {"address": {"burst": 1, "per_s": None}}},
    ],
    ids=str,
)
def test_p11_a_document_of_another_shape_is_refused(document):
    with pytest.raises((ValueError, TypeError)):
        DevicePortLimits.from_json(document)
