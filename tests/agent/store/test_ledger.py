"""Charges and outbox: one transaction, never twice, never changed."""

import hashlib
import sqlite3
from dataclasses import asdict, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.errors import InternalError, UserActionError
from agent.store.database import Database
from agent.store.ledger import CARRIED_OVER, Charge, Ledger, OutboxState, carried_over
from agent.store.ledger_key import LedgerKey


def charge_for(body, round_id=1, at=1000, rho=7):
    return Charge(
        at=at,
        task_id="task",
        round_id=round_id,
        attempt=hashlib.sha256(body + bytes([round_id % 256])).hexdigest()[:32],
        mode="local",
        model_version=1,
        model_digest="aa" * 32,
        config_digest="bb" * 32,
        rho_units=rho,
        rho_local_units=rho,
        body_sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
    )


def receipt_for(charge):
    return {
        "receipt": {"body_sha256": charge.body_sha256, "round_id": charge.round_id},
        "signature": "00",
    }


def opened(database):
    """The ledger with its key, as in a cycle."""
    ledger = Ledger(database)
    was_sealed = ledger.sealed.state().sealed_at is not None
    ledger.sealed.open(LedgerKey(bytes(32)), 1000, was_sealed=was_sealed)
    return ledger


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    yield database
    database.close()


@pytest.fixture
def ledger(database):
    return opened(database)


def test_p4_charge_and_outbox_are_one_transaction(ledger):
    charge = charge_for(b"sealed")
    ledger.record(charge, b"sealed", closes_at=2000)
    (entry,) = ledger.unsent()
    assert ledger.charges() == [charge]
    assert ledger.body(entry.attempt) == b"sealed"
    assert ledger.has_charged("task", 1)
    assert ledger.problems() == []


def test_p4_neither_is_written_when_one_fails(ledger):
    charge = charge_for(b"sealed")
    ledger.record(charge, b"sealed", 2000)
    with pytest.raises(
        InternalError
    ):  # the attempt exists already, so the outbox row cannot be made
        ledger.record(charge, b"sealed", 2000)
    assert len(ledger.charges()) == 1
    assert ledger.problems() == []


def test_p4_a_charge_names_the_bytes_it_is_for(ledger):
    with pytest.raises(InternalError, match="do not match"):
        ledger.record(charge_for(b"sealed"), b"other", 2000)
    assert ledger.charges() == []


def test_p2_withdrawal_empties_the_outbox_and_keeps_the_charge(ledger):
    ledger.record(charge_for(b"one", 1), b"one", 2000)
    ledger.record(charge_for(b"two", 2), b"two", 2000)
    first = ledger.unsent()[0]
    ledger.settle(first.attempt, OutboxState.ACKNOWLEDGED, 1500, receipt_for(charge_for(b"one", 1)))
    assert ledger.withdraw(1600) == 1
    assert ledger.unsent() == []
    assert [entry.state for entry in ledger.entries()] == [
        OutboxState.ACKNOWLEDGED,
        OutboxState.WITHDRAWN,
    ]
    assert ledger.body(ledger.entries()[1].attempt) is None
    assert ledger.body(first.attempt) == b"one"
    assert len(ledger.charges()) == 2
    assert ledger.problems() == []


def test_a_settled_entry_is_not_settled_again(ledger):
    charge = charge_for(b"one")
    ledger.record(charge, b"one", 2000)
    ledger.settle(charge.attempt, OutboxState.ACKNOWLEDGED, 1500, receipt_for(charge))
    ledger.settle(charge.attempt, OutboxState.CLOSED, 1600)
    assert ledger.entry(charge.attempt).state is OutboxState.ACKNOWLEDGED
    assert ledger.entry(charge.attempt).settled_at == 1500


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            "UPDATE charge SET body = replace(body, '\"rho_units\":7', '\"rho_units\":1')",
            "altered the charge record",
        ),
        ("DELETE FROM charge WHERE seq = 1", "altered the charge record"),
        ("UPDATE outbox SET body = x'00' WHERE charge_seq = 1", "bytes of entry 1 were altered"),
        ("UPDATE outbox SET body = NULL WHERE charge_seq = 1", "bytes of entry 1 are missing"),
        ("UPDATE outbox SET sha256 = 'ff' WHERE charge_seq = 2", "differ"),
        ("DELETE FROM outbox WHERE charge_seq = 2", "no outbox entry"),
        (
            (
                "UPDATE outbox SET state = 'acknowledged', receipt = '{\"receipt\": {}}' WHERE"
                " charge_seq = 2"
            ),
            "other bytes",
        ),
    ],
)
def test_verify_finds_every_kind_of_damage(tmp_path, damage, problem):
    path = tmp_path / "agent.sqlite3"
    database = Database(path)
    ledger = opened(database)
    for number, body in enumerate((b"one", b"two"), 1):
        ledger.record(charge_for(body, number), body, 2000)
    database.close()
    raw = sqlite3.connect(path)
    for trigger in ("charge_no_update", "charge_no_delete"):
        raw.execute(f"DROP TRIGGER {trigger}")
    raw.execute("PRAGMA foreign_keys = OFF")
    raw.execute(damage)
    raw.commit()
    raw.close()
    database = Database(path)
    assert any(problem in found for found in Ledger(database).problems())
    database.close()


def test_p4_altered_bytes_are_never_handed_out(tmp_path):
    path = tmp_path / "agent.sqlite3"
    database = Database(path)
    opened(database).record(charge_for(b"one"), b"one", 2000)
    with database.transaction():
        database.execute("UPDATE outbox SET body = x'00'")
    with pytest.raises(UserActionError, match="will not send it"):
        Ledger(database).body(charge_for(b"one").attempt)
    database.close()


def test_p5_a_charge_that_was_carried_over_counts_and_pays_for_no_bytes(ledger):
    ledger.record(charge_for(b"one"), b"one", 2000)
    with ledger.sealed.carrying_over(asdict(carried_over(100, 1500))):
        pass
    assert [(charge.mode, charge.rho_units) for charge in ledger.charges()] == [
        ("local", 7),
        (CARRIED_OVER, 100),
    ]
    assert ledger.problems() == []


def test_a_receipt_that_names_another_ledger_is_a_problem(database, ledger):
    charge = charge_for(b"one")
    ledger.record(charge, b"one", 2000)
    step = ledger.head_step(charge.attempt)
    for head, problems in (
        (step.after, []),
        (step.before, ["The receipt of entry 1 is for another ledger."]),
    ):
        receipt = receipt_for(charge)
        receipt["receipt"]["ledger_head"] = head
        with database.transaction():
            database.execute("UPDATE outbox SET state = 'unsent'")
        ledger.settle(charge.attempt, OutboxState.ACKNOWLEDGED, 1500, receipt)
        assert ledger.problems() == problems


def test_the_heads_shown_begin_at_the_last_update_that_the_server_confirmed(ledger):
    for number in (1, 2, 3):
        body = b"%d" % number
        ledger.record(charge_for(body, number), body, 2000)
    assert (ledger.shown_heads().first, ledger.shown_heads().count) == (0, 3)
    second = charge_for(b"2", 2)
    ledger.settle(second.attempt, OutboxState.ACKNOWLEDGED, 1500, receipt_for(second))
    shown = ledger.shown_heads()
    assert (shown.first, len(shown.heads)) == (2, 2)
    assert shown.heads == ledger.shown_heads(every=True).heads[2:]
    assert ledger.head_step(second.attempt).after == shown.heads[0]


class LedgerMachine(RuleBasedStateMachine):
    """Any sequence of charges, answers, withdrawals and restarts."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "agent.sqlite3"
        self.database = Database(self.path)
        self.ledger = opened(self.database)
        self.model: list[tuple[Charge, OutboxState]] = []

    @rule(body=st.binary(min_size=1, max_size=40), rho=st.integers(1, 2**60))
    def charge(self, body, rho):
        made = charge_for(body, len(self.model) + 1, 1000 + len(self.model), rho)
        self.ledger.record(made, body, 5000)
        self.model.append((made, OutboxState.UNSENT))

    @precondition(lambda self: self.model)
    @rule(
        pick=st.integers(0, 100),
        state=st.sampled_from([OutboxState.ACKNOWLEDGED, OutboxState.CLOSED, OutboxState.REFUSED]),
    )
    def settle(self, pick, state):
        place = pick % len(self.model)
        charge, before = self.model[place]
        self.ledger.settle(
            charge.attempt,
            state,
            2000,
            receipt_for(charge) if state is OutboxState.ACKNOWLEDGED else None,
        )
        if before is OutboxState.UNSENT:
            self.model[place] = (charge, state)

    @rule()
    def withdraw(self):
        self.ledger.withdraw(3000)
        self.model = [
            (charge, OutboxState.WITHDRAWN if state is OutboxState.UNSENT else state)
            for charge, state in self.model
        ]

    @rule()
    def restart(self):
        self.database.close()
        self.database = Database(self.path)
        self.ledger = opened(self.database)

    @invariant()
    def agrees(self):
        assert self.ledger.charges() == [charge for charge, _ in self.model]
        assert [entry.state for entry in self.ledger.entries()] == [
            state for _, state in self.model
        ]
        assert self.ledger.problems() == []

    def teardown(self):
        self.database.close()
        self.folder.cleanup()


LedgerMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
test_p10_any_history_of_the_ledger_adds_up = LedgerMachine.TestCase


def test_totals_count_what_was_acknowledged(ledger):
    charge = charge_for(b"12345")
    ledger.record(charge, b"12345", 2000)
    assert ledger.totals().sent == 0
    ledger.settle(charge.attempt, OutboxState.ACKNOWLEDGED, 1500, receipt_for(charge))
    assert (ledger.totals().sent, ledger.totals().bytes_up, ledger.totals().last_at) == (1, 5, 1500)
    assert ledger.newest_round("task") == 1
    assert ledger.newest_round("other") == 0
    assert replace(charge, at=1) != charge
