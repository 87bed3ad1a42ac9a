"""The consent machine, every pair of it, and its chained record."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.consent.gate import Facts, Gate, Permit, Purpose
from agent.consent.record import TRANSITIONS, Act, ConsentStatus, Evidence, Record, add_months
from agent.consent.wording import PURPOSE
from agent.errors import InternalError, UserActionError
from agent.status import ConsentState
from agent.store.database import Database
from tests.fakes.clock import FakeClock

NOTICE = "contribute-1-0123456789abcdef"
SEEN = Evidence(NOTICE, "ab" * 32, "en", "cli")
PATHS = {
    ConsentState.UNASKED: (),
    ConsentState.GRANTED: (Act.GRANT,),
    ConsentState.REFUSED: (Act.REFUSE,),
    ConsentState.WITHDRAWN: (Act.GRANT, Act.WITHDRAW),
    ConsentState.STALE: (Act.GRANT,),
}
"""How a person comes into each state."""


class Desk:
    """A record with its gate, on a real file."""

    def __init__(self, folder, clock):
        self.path = folder / "agent.sqlite3"
        self.clock = clock
        self.facts = Facts(
            NOTICE, 12, "", do_not_track=False, demo_home=False, server_host="fl.example.org"
        )
        self.database = Database(self.path)
        self.record = Record(self.database, clock)
        self.gate = Gate(self.record, lambda: self.facts)

    def act(self, act, evidence=SEEN):
        self.record.act(self.gate.consent_status(), act, evidence, PURPOSE, "")

    def state(self):
        return self.gate.consent_status().state

    def set(self, **changes):
        self.facts = Facts(**{**vars(self.facts), **changes})

    def enter(self, state):
        for act in PATHS[state]:
            self.act(act)
        if state is ConsentState.STALE:
            self.set(notice_id="contribute-2-0123456789abcdef")
        assert self.state() is state

    def reopen(self):
        self.database.close()
        self.database = Database(self.path)
        self.record = Record(self.database, self.clock)
        self.gate = Gate(self.record, lambda: self.facts)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path, FakeClock())
    yield desk
    desk.database.close()


@pytest.mark.parametrize("state", ConsentState)
@pytest.mark.parametrize("act", Act)
def test_p1_every_pair_of_the_machine(desk, state, act):
    desk.enter(state)
    rows = len(desk.record.entries())
    wanted = TRANSITIONS.get((state, act))
    if wanted is None:
        with pytest.raises(UserActionError, match="cannot be") as raised:
            desk.act(act)
        assert raised.value.code == "CONSENT_STATE"
        assert (desk.state(), len(desk.record.entries())) == (state, rows)
    else:
        desk.act(act, Evidence(desk.facts.notice_id, "ab" * 32, "en", "cli"))
        assert (desk.state(), len(desk.record.entries())) == (wanted, rows + 1)


def test_every_state_is_reachable_and_none_is_a_dead_end():
    left = {state for state, _ in TRANSITIONS}
    reached = set(TRANSITIONS.values()) | {ConsentState.STALE}
    assert left == set(ConsentState)
    assert reached == set(ConsentState)


@pytest.mark.parametrize(
    "state", [state for state in ConsentState if state is not ConsentState.GRANTED]
)
def test_p1_only_granted_gives_a_permit(desk, state):
    desk.enter(state)
    with pytest.raises(UserActionError) as raised:
        desk.gate.permit()
    assert raised.value.code == "NO_CONSENT"


def test_p2_a_permit_dies_with_withdrawal(desk):
    desk.act(Act.GRANT)
    permit = desk.gate.permit()
    permit.check()
    desk.act(Act.WITHDRAW)
    assert not permit.is_alive
    with pytest.raises(UserActionError, match="withdrew"):
        permit.check()
    desk.act(Act.GRANT)
    assert desk.state() is ConsentState.GRANTED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"policy_denied": "No."}, "DENIED_BY_POLICY"),
        ({"do_not_track": True}, "NO_CONSENT"),
        ({"notice_id": "contribute-1-ffff"}, "NO_CONSENT"),
    ],
)
def test_p1_a_permit_dies_when_what_it_was_for_changes(desk, change, code):
    desk.act(Act.GRANT)
    permit = desk.gate.permit()
    desk.set(**change)
    with pytest.raises(UserActionError) as raised:
        permit.check()
    assert raised.value.code == code


def test_consent_is_stale_after_twelve_months_and_not_a_second_earlier(desk):
    desk.act(Act.GRANT)
    end = add_months(desk.clock.wall, 12)
    desk.clock.wall = end - 1
    assert desk.state() is ConsentState.GRANTED
    desk.clock.wall = end
    assert desk.state() is ConsentState.STALE


def test_only_the_gate_makes_permits(desk):
    with pytest.raises(InternalError):
        Permit(Purpose.CONTRIBUTE, lambda: None, object())


def test_a_leave_permit_needs_no_consent_and_is_of_its_own_kind(desk):
    permit = desk.gate.leave_permit()
    permit.check()
    assert permit.purpose is Purpose.LEAVE


@pytest.mark.parametrize(
    ("demo_home", "host", "alive"),
    [
        (True, "127.0.0.1", True),
        (True, "fl.example.org", False),
        (False, "127.0.0.1", False),
        (True, "", False),
    ],
)
def test_p1_simulated_consent_counts_only_in_a_demo_home_with_a_loopback_server(
    desk, demo_home, host, alive
):
    desk.act(Act.GRANT, Evidence(NOTICE, "ab" * 32, "en", "demo"))
    desk.set(demo_home=demo_home, server_host=host)
    assert (desk.gate.denial() is None) is alive


def test_the_record_survives_a_restart(desk):
    desk.act(Act.GRANT)
    desk.reopen()
    assert desk.state() is ConsentState.GRANTED
    desk.act(Act.WITHDRAW)
    desk.reopen()
    assert desk.state() is ConsentState.WITHDRAWN


def test_c14_a_row_holds_all_fields_and_no_name_of_person_or_computer(desk):
    desk.act(Act.GRANT)
    (entry,) = desk.record.entries()
    assert vars(entry) == {
        "purpose": "contribute",
        "decision": "granted",
        "state": "GRANTED",
        "notice_id": NOTICE,
        "text_sha256": "ab" * 32,
        "locale": "en",
        "surface": "cli",
        "app_version": entry.app_version,
        "at": desk.clock.wall,
        "policy_origin": "",
    }


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE consent SET body = replace(body, 'withdrawn', 'granted') WHERE seq = 2",
        "UPDATE consent SET hash = '00' || substr(hash, 3) WHERE seq = 1",
        "DELETE FROM consent WHERE seq = 1",
        "INSERT INTO consent VALUES (3, '{}', '00')",
    ],
)
def test_p1_a_broken_chain_means_no(desk, damage):
    desk.act(Act.GRANT)
    desk.act(Act.WITHDRAW)
    desk.database.close()
    with sqlite3.connect(desk.path) as raw:
        for trigger in ("consent_no_update", "consent_no_delete"):
            raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute(damage)
    raw.close()
    desk.reopen()
    with pytest.raises(UserActionError) as raised:
        desk.gate.permit()
    assert raised.value.code == "NO_CONSENT"
    assert "altered" in raised.value.message
    with pytest.raises(UserActionError, match="altered"):
        desk.act(Act.GRANT)


def test_rows_cannot_be_changed_through_the_store(desk):
    desk.act(Act.GRANT)
    for statement in ("UPDATE consent SET body = '{}'", "DELETE FROM consent"):
        with pytest.raises(InternalError), desk.database.transaction():
            desk.database.execute(statement)
    assert desk.state() is ConsentState.GRANTED


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(st.sampled_from(Act), max_size=12), restarts=st.integers(0, 3))
def test_p1_any_sequence_follows_the_table(tmp_path_factory, acts, restarts):
    desk = Desk(tmp_path_factory.mktemp("home"), FakeClock())
    state = ConsentState.UNASKED
    for number, act in enumerate(acts):
        if restarts and number % restarts == 0:
            desk.reopen()
        try:
            desk.act(act)
            state = TRANSITIONS[state, act]
        except UserActionError:
            assert (state, act) not in TRANSITIONS
        assert desk.state() is state
        assert (desk.gate.denial() is None) is (state is ConsentState.GRANTED)
    desk.database.close()


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2028-02-29", 12, "2029-02-28"),
        ("2027-08-31", 6, "2028-02-29"),
        ("2027-12-15", 1, "2028-01-15"),
        ("2027-01-31", 13, "2028-02-29"),
    ],
)
def test_months_end_on_a_day_that_exists(start, months, end):
    from datetime import UTC, datetime

    def seconds(day):
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())

    assert add_months(seconds(start), months) == seconds(end)


def test_a_standing_without_a_record_is_unasked(desk):
    assert desk.gate.consent_status() == ConsentStatus(ConsentState.UNASKED, None, None)
