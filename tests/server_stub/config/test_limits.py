"""Limits of the device port are read strictly: known names, and numbers within their bounds."""

from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.config.limits import MAX_LIMIT, DevicePortLimits, Rate, Rates

DEFAULT = DevicePortLimits()
POSITIVE = st.integers(1, MAX_LIMIT)


def test_what_was_written_is_read_again():
    assert DevicePortLimits.from_json(asdict(DEFAULT)) == DEFAULT


def test_a_missing_value_keeps_its_default():
    found = DevicePortLimits.from_json(
        {"connections": 7, "rates": {"token": {"burst": 1, "per_s": 2}}}
    )
    assert (found.connections, found.head_s) == (7, DEFAULT.head_s)
    assert (found.rates.token, found.rates.address) == (Rate(1, 2), DEFAULT.rates.address)


@given(POSITIVE, POSITIVE, st.floats(1e-3, MAX_LIMIT))
def test_any_number_within_the_bounds_is_taken(connections, burst, per_s):
    rates = {"failure": {"burst": burst, "per_s": per_s}}
    found = DevicePortLimits.from_json({"connections": connections, "rates": rates})
    assert (found.connections, found.rates.failure) == (connections, Rate(burst, per_s))


NAMES = ["connections", "head_s", "body_s", "body_bytes_per_s"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, MAX_LIMIT + 1, "5", None, True, float("nan")])
def test_p11_a_value_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=rf"limits\.{name}: expected"):
        DevicePortLimits.from_json({name: value})


@pytest.mark.parametrize("kind", [field.name for field in fields(Rates)])
@pytest.mark.parametrize("part", ["burst", "per_s"])
def test_p11_a_rate_out_of_range_is_named(kind, part):
    rate = {"burst": 1, "per_s": 1.0, part: 0}
    with pytest.raises(ValueError, match=rf"limits\.rates\.{kind}\.{part}: expected"):
        DevicePortLimits.from_json({"rates": {kind: rate}})


@pytest.mark.parametrize(
    "value", [{"connections": 1.5}, {"rates": {"token": {"burst": 1.5, "per_s": 1}}}]
)
def test_p11_what_is_counted_is_a_whole_number(value):
    with pytest.raises(ValueError, match="whole number"):
        DevicePortLimits.from_json(value)


@pytest.mark.parametrize("value", [[], None, {"rates": []}, {"rates": 5}])
def test_p11_another_form_is_refused(value):
    with pytest.raises(ValueError, match="names with values"):
        DevicePortLimits.from_json(value)


@pytest.mark.parametrize("value", [{"more": 1}, {"rates": {"more": {"burst": 1, "per_s": 1}}}])
def test_p11_an_unknown_name_is_refused(value):
    with pytest.raises(TypeError):
        DevicePortLimits.from_json(value)
