"""The list of settings is whole: unique keys, valid defaults, a sentence of help for each."""

import pytest

from agent.config.definitions import BY_KEY, DEFINITIONS, HOURS_KEYS, Kind, Tighter, definition
from agent.config.settings import parse
from agent.errors import UserActionError


def test_every_definition_is_complete_and_its_default_is_valid():
    assert len(BY_KEY) == len(DEFINITIONS)
    for each in DEFINITIONS:
        assert parse(each.key, each.default) == each.default
        assert each.help[0].isupper() or each.help[0] == "δ"
        assert each.help.endswith(".")
        assert (each.minimum is None) == (each.kind not in (Kind.INTEGER, Kind.NUMBER))
        assert bool(each.choices) == (each.kind is Kind.CHOICE)


def test_a_policy_can_narrow_the_hours_of_all_seven_days():
    assert [key.removeprefix("hours.") for key in HOURS_KEYS] == [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ]
    assert {BY_KEY[key].tighter for key in HOURS_KEYS} == {Tighter.FEWER}


def test_p3_a_policy_cannot_manage_the_key_store_nor_the_icon():
    unmanaged = {each.key for each in DEFINITIONS if each.tighter is Tighter.NOT}
    assert unmanaged == {"key_store", "tray.keep_icon"}


@pytest.mark.parametrize("key", ["", "no.such", "CPU.SHARE_IDLE", "x" * 5000])
def test_p11_an_unknown_key_is_refused_and_cut_short(key):
    with pytest.raises(UserActionError) as raised:
        definition(key)
    assert raised.value.code == "UNKNOWN_SETTING"
    assert len(raised.value.message) < 200
