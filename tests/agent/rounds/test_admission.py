"""An admission ends by whichever clock says so first."""

import pytest

from agent.errors import PeerError
from agent.rounds.admission import Admission
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize(
    ("wall", "ticks", "holds"),
    [
        (0, 0, True),
        (59, 59, True),
        (60, 60, False),
        (60, 0, False),
        (0, 60, False),
        (-2, 1, False),
    ],
)
def test_it_holds_while_both_clocks_are_within_the_lease(wall, ticks, holds):
    clock = FakeClock()
    admission = Admission("head", 60, clock.now(), clock.monotonic())
    clock.wall += wall
    clock.ticks += ticks
    assert admission.holds(clock) is holds
    if holds:
        admission.check(clock)
    else:
        with pytest.raises(PeerError) as raised:
            admission.check(clock)
        assert raised.value.code == "ADMISSION_OVER"


def test_without_a_lease_nothing_may_be_charged():
    clock = FakeClock()
    assert not Admission("head", 0, clock.now(), clock.monotonic()).holds(clock)
