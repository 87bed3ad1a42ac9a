"""Settings: one list of definitions; policy only ever tightens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.definitions import DEFINITIONS, Kind, Tighter
from agent.config.hours_text import format_hours, minutes_of
from agent.config.settings import Settings, parse
from agent.errors import UserActionError

HOURS = st.one_of(
    st.sampled_from(["always", "never"]),
    st.frozensets(st.integers(0, 1439), max_size=60).map(format_hours),
)


def values_of(definition):
    match definition.kind:
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.INTEGER:
            return st.integers(int(definition.minimum), int(definition.maximum))
        case Kind.NUMBER:
            return st.floats(definition.minimum, definition.maximum)
        case Kind.CHOICE:
            return st.sampled_from(definition.choices)
        case Kind.HOURS:
            return HOURS
        case Kind.PROXY:
            return st.sampled_from(["", "http://proxy.example:3128", "http://[2001:db8::1]:8080"])


def is_as_strict(definition, value, bound):
    match definition.tighter:
        case Tighter.LOWER:
            return value <= bound
        case Tighter.HIGHER:
            return value >= bound
        case Tighter.FIRST:
            return definition.choices.index(value) <= definition.choices.index(bound)
        case Tighter.OFF:
            return not value or bound
        case Tighter.ON:
            return value or not bound
        case Tighter.FEWER:
            return bound == "always" or minutes_of(value) <= minutes_of(bound)
        case Tighter.SET | Tighter.NOT:  # no value is stricter than another
            return True


@given(st.data())
def test_p3_policy_can_only_tighten(data):
    definition = data.draw(st.sampled_from(DEFINITIONS))
    chosen, bound = data.draw(values_of(definition)), data.draw(values_of(definition))
    value = Settings({definition.key: chosen}, {definition.key: bound}).value(definition.key)
    assert is_as_strict(definition, value, bound)
    assert is_as_strict(definition, value, chosen)


@pytest.mark.parametrize("bound", ["", "http://it.example:3128"])
def test_a_policy_sets_the_proxy(bound):
    settings = Settings({"network.proxy": "http://mine.example:1"}, {"network.proxy": bound})
    assert (settings.text("network.proxy"), settings.entry("network.proxy").origin) == (
        bound,
        "policy",
    )
    assert settings.check_change("network.proxy", bound) == bound
    with pytest.raises(UserActionError) as refused:
        settings.check_change("network.proxy", "http://mine.example:1")
    assert refused.value.code == "MANAGED"


@pytest.mark.parametrize(
    "text",
    [
        "proxy.example:3128",
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://proxy.example",
        "http://proxy.example:0",
        "http://proxy.example:65536",
        "http://ada:secret@proxy.example:3128",
        "http://proxy.example:3128/",
        "http://proxy.example:3128\n",
        "http://proxy example:3128",
        "http://prxy.ex\u0430mple:3128",
        "http://:3128",
        "x" * 100_000,
        None,
    ],
)
def test_what_is_no_proxy_is_refused(text):
    with pytest.raises(UserActionError) as refused:
        parse("network.proxy", text)
    assert refused.value.code == "BAD_VALUE"


def test_hours_may_list_every_second_minute_of_a_day():
    text = format_hours(frozenset(range(0, 24 * 60, 2)))
    assert parse("hours.friday", text) == text


@given(st.data())
def test_what_holds_is_always_valid(data):
    definition = data.draw(st.sampled_from(DEFINITIONS))
    chosen, bound = data.draw(values_of(definition)), data.draw(values_of(definition))
    value = Settings({definition.key: chosen}, {definition.key: bound}).value(definition.key)
    assert parse(definition.key, value) == value


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("cpu.share_idle", "0"),
        ("cpu.share_idle", "101"),
        ("cpu.share_idle", "ten"),
        ("cpu.share_idle", True),
        ("cpu.share_idle", "9" * 5000),
        ("cpu.share_idle", None),
        ("budget.epsilon", "nan"),
        ("budget.epsilon", "inf"),
        ("budget.epsilon", "-1"),
        ("budget.epsilon", {}),
        ("battery.rule", "sometimes"),
        ("idle.only", "maybe"),
        ("idle.only", 1),
        ("hours.monday", "25:00-26:00"),
        ("hours.monday", "9-17"),
        ("hours.monday", "09:00-09:00"),
        ("hours.monday", "09:60-10:00"),
        ("hours.monday", ""),
        ("hours.monday", "-" * 10_000),
    ],
)
def test_p11_bad_values_are_refused_with_what_was_expected(key, raw):
    with pytest.raises(UserActionError) as raised:
        parse(key, raw)
    assert raised.value.code == "BAD_VALUE"
    assert "expected" in raised.value.message
    assert len(raised.value.message) < 300


def test_a_looser_value_than_the_policy_is_refused_by_name():
    managed = Settings({}, {"cpu.share_idle": 25})
    assert (managed.entry("cpu.share_idle").value, managed.entry("cpu.share_idle").origin) == (
        25,
        "policy",
    )
    assert managed.check_change("cpu.share_idle", "20") == 20
    with pytest.raises(UserActionError) as raised:
        managed.check_change("cpu.share_idle", "30")
    assert raised.value.code == "MANAGED"


def test_each_setting_names_its_origin():
    settings = Settings(
        {"budget.period_days": 400}, {}, {"budget.epsilon": 2.0, "budget.period_days": 100}
    )
    assert [
        settings.entry(key).origin
        for key in ("budget.epsilon", "budget.period_days", "budget.delta")
    ] == ["invitation", "you", "default"]
    assert settings.number("budget.epsilon") == 2.0
    assert settings.integer("budget.period_days") == 400


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("09:00-17:00", "09:00-17:00"),
        ("9:00-12:00, 11:00-17:00", "09:00-17:00"),
        ("22:00-06:00", "22:00-06:00"),
        ("00:00-24:00", "always"),
        ("Always", "always"),
        ("13:00-14:00,08:00-09:00", "08:00-09:00,13:00-14:00"),
    ],
)
def test_hours_are_read_and_written_alike(text, shown):
    assert parse("hours.friday", text) == shown
    assert parse("hours.friday", shown) == shown
