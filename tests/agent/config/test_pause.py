"""A pause ends at its time, or when a person ends it."""

import pytest

from agent.config.pause import UNTIL_RESUMED, Pause
from agent.store.database import Database
from agent.store.values import Values
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def pause(tmp_path, clock):
    database = Database(tmp_path / "agent.sqlite3")
    yield Pause(Values(database, "value"), clock)
    database.close()


def test_without_a_pause_there_is_no_end(pause):
    assert pause.until() is None


def test_a_pause_with_an_end_is_over_at_that_second(pause, clock):
    pause.begin(clock.now() + 60)
    clock.advance(59)
    assert pause.until() == clock.now() + 1
    clock.advance(1)
    assert pause.until() is None


def test_a_pause_without_an_end_lasts_until_it_is_ended(pause, clock):
    pause.begin(None)
    clock.advance(10**9)
    assert pause.until() == UNTIL_RESUMED
    pause.end()
    assert pause.until() is None


def test_the_last_pause_counts(pause, clock):
    pause.begin(None)
    pause.begin(clock.now() + 5)
    assert pause.until() == clock.now() + 5
