"""A reading is a value with its unit, or unknown with the reason; a failing probe never raises."""

import pytest

from agent.conditions.readings import Reading, Readings, attempt, unknown


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        (Reading(37.4, "UPower", "%"), "37 %"),
        (Reading(0.0, "Mutter", "s"), "0 s"),
        (Reading(True, "kernel"), "yes"),
        (Reading(False, "kernel", "ignored"), "no"),
        (Reading("word", "a test"), "word"),
        (unknown("no sensor"), "unknown"),
    ],
)
def test_a_reading_as_text(reading, text):
    assert str(reading) == text


def test_an_unknown_reading_says_why():
    assert (unknown("no sensor").value, unknown("no sensor").source) == (None, "no sensor")


def test_the_reading_of_a_probe_that_works_is_returned():
    assert attempt(lambda: Reading(1.0, "a test"), "memory") == Reading(1.0, "a test")


@pytest.mark.parametrize("fault", [OSError("gone"), KeyError("x"), RuntimeError("x" * 500)])
def test_a_probe_that_fails_is_unknown_and_briefly_says_why(fault):
    def probe():
        raise fault

    reading = attempt(probe, "memory")
    assert reading.value is None
    assert reading.source.startswith(f"memory: {type(fault).__name__}")
    assert len(reading.source) <= 160


def test_nothing_is_known_before_the_first_poll_and_every_name_is_in_words():
    named = Readings().named()
    assert {reading.value for _, reading in named} == {None}
    assert ("on mains", Reading(None, "not read yet")) in named
    assert not any("_" in name for name, _ in named)
