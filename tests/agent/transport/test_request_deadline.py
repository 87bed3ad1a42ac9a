"""A deadline fires once, only while a request is under way, and from one thread."""

import threading

import pytest

from agent.transport.request_deadline import RequestDeadline
from tests.fakes.timeouts import TIMEOUT_S


@pytest.fixture
def deadline():
    """`deadline(limit_s)`: a deadline, and the event that it sets."""
    opened = []

    def build(limit_s):
        expired = threading.Event()
        opened.append(RequestDeadline(limit_s, expired.set))
        return opened[-1], expired

    yield build
    for one in opened:
        one.close()


def test_a_request_that_takes_too_long_is_ended_and_so_is_the_next(deadline):
    limit, expired = deadline(0.02)
    for _ in range(2):
        expired.clear()
        limit.start()
        assert expired.wait(TIMEOUT_S)
        limit.stop()


def test_a_request_that_ended_in_time_is_left_alone(deadline):
    early, fired = deadline(0.02)
    early.start()
    early.stop()
    later, expired = deadline(0.2)
    later.start()
    assert expired.wait(TIMEOUT_S)
    assert not fired.is_set()


def test_one_thread_serves_all_requests_and_ends_with_the_session(deadline):
    limit, _ = deadline(60)
    before = set(threading.enumerate())
    for _ in range(3):
        limit.start()
        limit.stop()
    (thread,) = set(threading.enumerate()) - before
    limit.close()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_a_closed_session_starts_no_thread(deadline):
    limit, _ = deadline(60)
    limit.close()
    before = set(threading.enumerate())
    limit.start()
    assert set(threading.enumerate()) <= before
