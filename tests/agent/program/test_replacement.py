"""What happens when the program's files change: a new one takes over if it works."""

import pytest

from agent.program.replacement import (
    FIRST_RETRY_S,
    GONE_S,
    LONGEST_RETRY_S,
    SETTLE_S,
    Act,
    Replacement,
    Step,
)

OLD, NEW, NEWER = (1, 1, 10, 0), (1, 2, 10, 0), (1, 3, 10, 0)


@pytest.fixture
def replacement():
    return Replacement(OLD)


def test_files_that_stay_need_nothing(replacement):
    assert replacement.next_step(OLD, 0) == Step(Act.REST)
    assert replacement.next_step(OLD, 10**6) == Step(Act.REST)


def test_a_new_program_is_asked_once_its_files_rest(replacement):
    assert replacement.next_step(NEW, 100) == Step(Act.WAIT, SETTLE_S)
    assert replacement.next_step(NEWER, 101) == Step(Act.WAIT, SETTLE_S)
    assert replacement.next_step(NEWER, 102) == Step(Act.WAIT, SETTLE_S - 1)
    assert replacement.next_step(NEWER, 101 + SETTLE_S) == Step(Act.ASK)
    assert replacement.answered(is_whole=True, now=105) == Step(Act.RESTART)


def test_a_program_that_does_not_answer_is_never_started_and_asked_less_and_less(replacement):
    now, waits = 100.0, []
    replacement.next_step(NEW, now)
    now += SETTLE_S
    for _ in range(10):
        assert replacement.next_step(NEW, now) == Step(Act.ASK)
        step = replacement.answered(is_whole=False, now=now)
        assert step.act is Act.WAIT
        waits.append(step.wait_s)
        assert replacement.next_step(NEW, now + step.wait_s / 2) == Step(Act.WAIT, step.wait_s / 2)
        now += step.wait_s
    assert waits[:3] == [FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S]
    assert waits[-1] == LONGEST_RETRY_S


def test_a_mended_program_is_asked_as_soon_as_its_files_rest(replacement):
    replacement.next_step(NEW, 0)
    for now in range(100, 500, 100):
        replacement.next_step(NEW, now)
        replacement.answered(is_whole=False, now=now)
    assert replacement.next_step(NEWER, 500) == Step(Act.WAIT, SETTLE_S)
    assert replacement.next_step(NEWER, 500 + SETTLE_S) == Step(Act.ASK)


def test_files_that_come_back_unchanged_need_nothing(replacement):
    assert replacement.next_step(None, 0).act is Act.WAIT
    assert replacement.next_step(OLD, 1) == Step(Act.REST)
    # A later removal starts its own time.
    assert replacement.next_step(None, 1000).act is Act.WAIT
    assert replacement.next_step(None, 1000 + SETTLE_S).act is Act.ASK
    assert replacement.answered(is_whole=False, now=1001).act is Act.WAIT


def test_p9_files_that_stay_away_end_the_process_within_a_minute(replacement):
    now, ended_at = 0.0, None
    while ended_at is None and now < 100:
        step = replacement.next_step(None, now)
        if step.act is Act.ASK:
            step = replacement.answered(is_whole=False, now=now)
        if step.act is Act.END:
            ended_at = now
        now += step.wait_s
    assert ended_at is not None
    assert GONE_S <= ended_at <= 45


def test_an_upgrade_that_removes_first_is_waited_for(replacement):
    replacement.next_step(None, 0)
    replacement.next_step(None, SETTLE_S)
    replacement.answered(is_whole=False, now=SETTLE_S)
    assert replacement.next_step(NEW, 10) == Step(Act.WAIT, SETTLE_S)
    assert replacement.next_step(NEW, 10 + SETTLE_S) == Step(Act.ASK)
    assert replacement.answered(is_whole=False, now=60).act is Act.WAIT


def test_a_program_that_moved_takes_over_although_the_old_file_is_gone(replacement):
    """As when the distribution's Python, and with it the folder of the libraries, is a new one."""
    replacement.next_step(None, 0)
    assert replacement.next_step(None, SETTLE_S) == Step(Act.ASK)
    assert replacement.answered(is_whole=True, now=SETTLE_S) == Step(Act.RESTART)


def test_a_signal_asks_at_once_whatever_the_files_look_like(replacement):
    replacement.force()
    assert replacement.next_step(OLD, 0) == Step(Act.ASK)
    assert replacement.answered(is_whole=False, now=1).act is Act.WAIT
    assert replacement.next_step(OLD, 2) == Step(Act.REST)
    replacement.next_step(NEW, 3)
    replacement.force()
    assert replacement.next_step(NEW, 3) == Step(Act.ASK)
