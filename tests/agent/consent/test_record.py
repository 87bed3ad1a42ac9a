"""The consent machine, every pair of it, and its chained record."""

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import utc
from agent.consent.record import TRANSITIONS, Act, ConsentStatus, Evidence, add_months
from agent.errors import InternalError, UserActionError
from agent.status import ConsentState
from tests.fakes.clock import FakeClock
from tests.fakes.consent import NOTICE, RecordedConsent


@pytest.mark.parametrize("state", ConsentState)
@pytest.mark.parametrize("act", Act)
def test_p1_every_pair_of_the_machine(consent, state, act):
    consent.enter(state)
    rows = len(consent.record.entries())
    wanted = TRANSITIONS.get((state, act))
    if wanted is None:
        with pytest.raises(UserActionError, match="cannot be") as raised:
            consent.act(act)
        assert raised.value.code == "CONSENT_STATE"
        assert (consent.state(), len(consent.record.entries())) == (state, rows)
    else:
        consent.act(act, Evidence(consent.facts.notice_id, "ab" * 32, "en", "cli"))
        assert (consent.state(), len(consent.record.entries())) == (wanted, rows + 1)


def test_every_state_is_reachable_and_none_is_a_dead_end():
    left = {state for state, _ in TRANSITIONS}
    reached = set(TRANSITIONS.values()) | {ConsentState.STALE}
    assert left == set(ConsentState)
    assert reached == set(ConsentState)


def test_consent_is_stale_after_twelve_months_and_not_a_second_earlier(consent):
    consent.act(Act.GRANT)
    end = add_months(consent.clock.wall, 12)
    consent.clock.wall = end - 1
    assert consent.state() is ConsentState.GRANTED
    consent.clock.wall = end
    assert consent.state() is ConsentState.STALE


def test_the_record_survives_a_restart(consent):
    consent.act(Act.GRANT)
    consent.reopen()
    assert consent.state() is ConsentState.GRANTED
    consent.act(Act.WITHDRAW)
    consent.reopen()
    assert consent.state() is ConsentState.WITHDRAWN


def test_c14_a_row_holds_all_fields_and_no_name_of_person_or_computer(consent):
    consent.act(Act.GRANT)
    (entry,) = consent.record.entries()
    assert vars(entry) == {
        "purpose": "contribute",
        "decision": "granted",
        "state": "GRANTED",
        "notice_id": NOTICE,
        "text_sha256": "ab" * 32,
        "locale": "en",
        "surface": "cli",
        "app_version": entry.app_version,
        "at": consent.clock.wall,
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
def test_p1_a_broken_chain_means_no(consent, damage):
    consent.act(Act.GRANT)
    consent.act(Act.WITHDRAW)
    consent.database.close()
    with sqlite3.connect(consent.path) as raw:
        for trigger in ("consent_no_update", "consent_no_delete"):
            raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute(damage)
    raw.close()
    consent.reopen()
    with pytest.raises(UserActionError) as raised:
        consent.gate.permit()
    assert raised.value.code == "NO_CONSENT"
    assert "altered" in raised.value.message
    with pytest.raises(UserActionError, match="altered"):
        consent.act(Act.GRANT)


def test_rows_cannot_be_changed_through_the_store(consent):
    consent.act(Act.GRANT)
    for statement in ("UPDATE consent SET body = '{}'", "DELETE FROM consent"):
        with pytest.raises(InternalError), consent.database.transaction():
            consent.database.execute(statement)
    assert consent.state() is ConsentState.GRANTED


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(st.sampled_from(Act), max_size=12), restarts=st.integers(0, 3))
def test_p1_any_sequence_follows_the_table(tmp_path_factory, acts, restarts):
    consent = RecordedConsent(tmp_path_factory.mktemp("home"), FakeClock())
    state = ConsentState.UNASKED
    for number, act in enumerate(acts):
        if restarts and number % restarts == 0:
            consent.reopen()
        try:
            consent.act(act)
            state = TRANSITIONS[state, act]
        except UserActionError:
            assert (state, act) not in TRANSITIONS
        assert consent.state() is state
        assert (consent.gate.denial() is None) is (state is ConsentState.GRANTED)
    consent.database.close()


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
    def seconds(day):
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())

    assert add_months(seconds(start), months) == seconds(end)


def test_without_an_entry_consent_is_unasked(consent):
    assert consent.gate.consent_status() == ConsentStatus(ConsentState.UNASKED, None, None)


# Withdrawing without the database: the switch, the mark, and the record that catches up


def broken(consent, monkeypatch):
    """Make every further write into the database fail, as on a full disk."""

    @contextmanager
    def transaction():
        raise UserActionError("DISK_FULL", "full", "")
        yield

    monkeypatch.setattr(consent.database, "transaction", transaction)


def test_p2_a_withdrawal_that_the_record_cannot_take_holds_at_once_and_after_a_restart(
    consent, monkeypatch
):
    consent.enter(ConsentState.GRANTED)
    broken(consent, monkeypatch)
    assert consent.record.withdraw("tray")
    assert consent.state() is ConsentState.WITHDRAWN
    assert consent.gate.consent_status().state is not ConsentState.GRANTED
    with pytest.raises(UserActionError):
        consent.record.catch_up()
    monkeypatch.undo()
    consent.reopen()
    assert consent.state() is ConsentState.WITHDRAWN
    assert consent.record.is_behind
    assert consent.record.catch_up()
    assert not consent.record.is_behind
    last = consent.record.entries()[-1]
    assert (last.decision, last.surface, last.at) == ("withdrawn", "tray", consent.clock.now())
    assert not consent.record.catch_up()


def test_p2_where_nothing_can_be_written_it_holds_in_memory_and_says_so(consent, monkeypatch):
    consent.enter(ConsentState.GRANTED)
    broken(consent, monkeypatch)

    def fails(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("agent.files.atomic_file.overwrite", fails)
    monkeypatch.setattr("agent.files.atomic_file.remove", fails)
    monkeypatch.setattr("agent.files.atomic_file.touch", fails)
    assert not consent.record.withdraw("cli")
    assert consent.state() is ConsentState.WITHDRAWN
    assert consent.record.is_behind
    monkeypatch.undo()
    assert consent.record.withdraw("cli")
    consent.reopen()
    assert consent.state() is ConsentState.WITHDRAWN


def test_p1_a_yes_without_its_switch_is_none_and_can_be_given_again(consent):
    consent.enter(ConsentState.GRANTED)
    consent.path.with_name("consent-switch").unlink()
    assert consent.state() is ConsentState.WITHDRAWN
    assert not consent.record.is_behind  # nobody withdrew, so the record does not claim it
    consent.act(Act.GRANT)
    assert consent.state() is ConsentState.GRANTED


def test_p1_a_yes_whose_row_cannot_be_written_leaves_everything_as_it_was(consent, monkeypatch):
    consent.enter(ConsentState.STALE)
    before = consent.path.with_name("consent-switch").read_bytes()
    broken(consent, monkeypatch)
    with pytest.raises(UserActionError):
        consent.act(Act.GRANT)
    assert consent.state() is ConsentState.STALE
    assert consent.path.with_name("consent-switch").read_bytes() == before


def test_p2_a_mark_means_withdrawn_until_the_record_says_so_and_a_new_yes_removes_it(consent):
    consent.enter(ConsentState.GRANTED)
    mark = consent.path.with_name("withdrawn")
    mark.touch()
    assert consent.state() is ConsentState.WITHDRAWN
    consent.act(Act.GRANT)
    assert consent.state() is ConsentState.GRANTED
    assert not mark.exists()
    decisions = [entry.decision for entry in consent.record.entries()]
    assert decisions == ["granted", "withdrawn", "granted"]


def test_consent_that_expired_says_by_which_time(consent):
    consent.enter(ConsentState.GRANTED)
    consent.clock.advance(13 * 31 * 86_400)
    denial = consent.gate.denial()
    assert utc(consent.clock.now()) in denial.message
    assert "clock" in denial.remedy
