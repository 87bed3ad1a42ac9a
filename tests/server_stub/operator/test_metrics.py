"""The metrics are what Prometheus reads: each with help and type, once, with the figures given."""

import re

import pytest

from server_stub.operator.metrics import COUNTERS, GAUGES, exposition

FIGURES = {
    **{name: number for number, name in enumerate([*GAUGES, *COUNTERS], 1)},
    "round": {"updates": 17},
}
SAMPLE = re.compile(r'(?P<name>aegisai_\w+)(\{code="(?P<code>\w+)"\})? (?P<value>\d+)')


def samples(text):
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    found = [SAMPLE.fullmatch(line) for line in lines]
    return {(match["name"], match["code"]): int(match["value"]) for match in found}


def test_every_figure_is_there_under_its_name():
    found = samples(exposition(FIGURES, {}, 99))
    for name in GAUGES:
        assert found[f"aegisai_{name}", None] == FIGURES[name]
    for name in COUNTERS:
        assert found[f"aegisai_{name}_total", None] == FIGURES[name]
    assert found["aegisai_requests_total", None] == 99


def test_refusals_are_counted_by_code_in_a_fixed_order():
    text = exposition(FIGURES, {"TOO_MANY": 5, "NO_IDENTITY": 2}, 99)
    found = samples(text)
    assert found["aegisai_refusals_total", "TOO_MANY"] == 5
    assert found["aegisai_refusals_total", "NO_IDENTITY"] == 2
    assert text.index("NO_IDENTITY") < text.index("TOO_MANY")


@pytest.mark.parametrize(("current", "updates"), [({"updates": 17}, 17), (None, 0)])
def test_without_a_round_there_are_no_updates(current, updates):
    found = samples(exposition({**FIGURES, "round": current}, {}, 0))
    assert found["aegisai_round_updates", None] == updates


def test_every_metric_has_its_help_and_its_type_once():
    text = exposition(FIGURES, {"TOO_MANY": 5}, 99)
    names = [name for name, _ in samples(text)]
    helped = re.findall(r"^# HELP (\w+) \S.*\.$", text, re.M)
    typed = re.findall(r"^# TYPE (\w+) (?:gauge|counter)$", text, re.M)
    assert sorted(helped) == sorted(typed) == sorted(set(names))
    assert text.endswith("\n")
