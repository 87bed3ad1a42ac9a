"""A request to suspend outranks the slices of the limit, in every order of the two."""

import time

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.supervisor.suspension import Suspension
from tests.fakes.process_tree import FakeTree


@pytest.fixture
def tree():
    return FakeTree()


def test_slices_stop_and_start_the_worker(tree):
    suspension = Suspension(tree)
    for _ in range(2):
        suspension.end_slice()
        assert tree.is_stopped
        assert suspension.start_slice()
        assert not tree.is_stopped


def test_no_signal_is_sent_to_a_worker_that_is_already_in_that_state(tree):
    suspension = Suspension(tree)
    suspension.start_slice()
    assert tree.calls == []
    suspension.end_slice()
    suspension.end_slice()
    suspension.start_slice()
    suspension.start_slice()
    assert tree.calls == ["suspend", "resume"]


def test_a_request_stops_a_running_slice_and_prevents_the_next(tree):
    suspension = Suspension(tree)
    suspension.request()
    assert tree.is_stopped
    assert not suspension.start_slice()
    assert tree.is_stopped


def test_the_worker_runs_again_with_the_first_slice_after_the_request(tree):
    suspension = Suspension(tree)
    suspension.request()
    suspension.withdraw()
    assert tree.is_stopped
    assert suspension.start_slice()
    assert not tree.is_stopped


def test_a_request_is_in_force_since_it_was_first_made(tree):
    suspension = Suspension(tree)
    assert suspension.since is None
    before = time.monotonic()
    suspension.request()
    since = suspension.since
    assert before <= since <= time.monotonic()
    suspension.request()
    assert suspension.since == since
    suspension.withdraw()
    assert suspension.since is None


def test_a_child_that_joins_a_suspended_tree_is_suspended(tree):
    suspension = Suspension(tree)
    tree.has_unlisted_child = True
    suspension.request()
    assert not tree.child_is_stopped
    tree.discover()
    suspension.include_new()
    assert tree.child_is_stopped


def test_a_child_that_joins_a_running_tree_runs(tree):
    Suspension(tree).include_new()
    assert tree.calls == []


class Orders(RuleBasedStateMachine):
    """Every order of calls: while a request is in force the worker stands still."""

    def __init__(self):
        super().__init__()
        self.tree = FakeTree()
        self.suspension = Suspension(self.tree)
        self.is_requested = False

    @rule(is_requested=st.booleans())
    def request_or_withdraw(self, is_requested):
        self.is_requested = is_requested
        (self.suspension.request if is_requested else self.suspension.withdraw)()

    @rule()
    def start_slice(self):
        assert self.suspension.start_slice() is not self.is_requested
        assert self.tree.is_stopped is self.is_requested

    @rule()
    def end_slice(self):
        self.suspension.end_slice()
        assert self.tree.is_stopped

    @rule()
    def include_new(self):
        before = self.tree.is_stopped
        self.suspension.include_new()
        assert self.tree.is_stopped is before

    @invariant()
    def a_request_is_obeyed(self):
        assert self.tree.is_stopped or not self.is_requested
        assert (self.suspension.since is not None) is self.is_requested


test_p9_a_request_outranks_the_slices_in_every_order = Orders.TestCase
