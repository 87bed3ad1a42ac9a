"""A ledger that AegisAI did not write, or that lacks something, counts as spent."""

import json
import sqlite3
from contextlib import closing

import pytest

from agent.errors import InternalError, UserActionError
from agent.store.chain import FIRST, link
from agent.store.database import Database
from agent.store.head import LedgerHead
from agent.store.ledger_key import LedgerKey, Origin
from agent.store.sealed_chain import SealedChain, SealState

KEY, OTHER_KEY = LedgerKey(bytes(32)), LedgerKey(bytes([1]) * 32)
NOW = 1000


class Home:
    """A database with its head file; `chain` is the ledger of a new process."""

    def __init__(self, folder):
        self.path, self.head = folder / "agent.sqlite3", folder / "ledger-head"
        self.database = Database(self.path)

    def chain(self):
        return SealedChain(self.database, LedgerHead(self.head))

    def opened(self, *, was_sealed=True, key=KEY):
        chain = self.chain()
        chain.open(key, NOW, was_sealed=was_sealed)
        return chain

    def chain_hash(self):
        """The hash of the newest charge."""
        return self.database.row("SELECT hash FROM charge ORDER BY seq DESC LIMIT 1")[0]

    def tamper(self, *statements):
        """What somebody with the files and without the key could do."""
        self.database.close()
        with closing(sqlite3.connect(self.path)) as raw:
            raw.execute("DROP TRIGGER charge_no_update")
            raw.execute("DROP TRIGGER charge_no_delete")
            for statement in statements:
                raw.execute(*statement)
            raw.commit()
        self.database = Database(self.path)


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    yield home
    home.database.close()


@pytest.fixture
def sealed(home):
    """A ledger with two charges."""
    chain = home.opened(was_sealed=False)
    add(chain, 1)
    add(chain, 2)
    return home


def add(chain, price, head=None):
    with chain.appending({"rho_units": price}, head) as seq:
        return seq


def code_of(call, **options):
    with pytest.raises(UserActionError) as raised:
        call(**options)
    return raised.value.code


def test_charges_are_sealed_one_after_the_other(sealed):
    chain = sealed.opened()
    assert chain.bodies() == [{"rho_units": 1}, {"rho_units": 2}]
    assert chain.state() == SealState(is_verified=True, sealed_at=NOW, unsealed=0)
    assert chain.shown(0).count == 2
    step = chain.step(2)
    assert (step.before, step.after) == chain.shown(1).heads


def test_p4_without_the_key_a_ledger_is_read_and_not_charged(sealed):
    chain = sealed.chain()
    assert chain.bodies() == [{"rho_units": 1}, {"rho_units": 2}]
    assert not chain.state().is_verified
    with pytest.raises(InternalError, match="needs the ledger's key"):
        add(chain, 3)
    assert len(chain.bodies()) == 2


def test_a_process_remembers_what_it_verified_after_the_key_is_gone(sealed):
    chain = sealed.opened()
    chain.close()
    assert chain.state().is_verified
    sealed.opened()
    add(sealed.opened(), 3)
    assert not chain.state().is_verified


def test_a_charge_follows_the_head_that_the_server_admitted(sealed):
    chain = sealed.opened()
    head = chain.shown(2).head
    assert add(chain, 3, head) == 3
    with pytest.raises(InternalError, match="has changed"):
        add(chain, 4, head)
    assert len(chain.bodies()) == 3


def rewritten(prices):
    """The statements that write a chain of these charges, right by itself."""
    statements, previous = [("DELETE FROM charge",)], FIRST
    for seq, price in enumerate(prices, start=1):
        body = json.dumps({"rho_units": price}, separators=(",", ":"))
        previous = link(previous, body.encode())
        statements.append(("INSERT INTO charge VALUES (?, ?, ?)", (seq, body, previous)))
    return statements


NO_SEALS = ("DELETE FROM charge_seal",)
NO_STATE = ("DELETE FROM value",)
LAST_SEAL = ("DELETE FROM charge_seal WHERE seq = 2",)


def forged_seals(prices):
    """Seals under a key of the attacker's."""
    bodies = [json.dumps({"rho_units": p}, separators=(",", ":")).encode() for p in prices]
    seals = OTHER_KEY.seals(Origin(NOW, 0), bodies)
    return [
        NO_SEALS,
        *(("INSERT INTO charge_seal VALUES (?, ?)", pair) for pair in enumerate(seals)),
    ]


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        (rewritten([0, 0]), "LEDGER_ALTERED"),
        (rewritten([1, 0]), "LEDGER_ALTERED"),
        (rewritten([1, 2, 3]), "LEDGER_ALTERED"),
        ([*rewritten([0, 0]), *forged_seals([0, 0])], "LEDGER_ALTERED"),
        (rewritten([1]), "LEDGER_SET_BACK"),
        ([*rewritten([1]), LAST_SEAL], "LEDGER_SET_BACK"),
        ([NO_SEALS], "LEDGER_MISSING"),
        ([*rewritten([]), NO_SEALS, NO_STATE], "LEDGER_MISSING"),
        ([*rewritten([0, 0]), NO_SEALS, NO_STATE], "LEDGER_MISSING"),
        ([("UPDATE value SET json = '[]' WHERE key = 'ledger_origin'",)], "LEDGER_ALTERED"),
        (
            [("UPDATE value SET json = replace(json, '1000', '2') WHERE key = 'ledger_origin'",)],
            "LEDGER_ALTERED",
        ),
        ([("UPDATE charge_seal SET seal = 'x' WHERE seq = 1",)], "LEDGER_ALTERED"),
        ([("UPDATE charge SET body = '{}' WHERE seq = 1",)], "CHAIN_BROKEN"),
    ],
    ids=range(13),
)
def test_p5_a_forged_ledger_counts_as_spent(sealed, statements, code):
    sealed.tamper(*statements)
    chain = sealed.chain()
    assert code_of(lambda: chain.open(KEY, NOW, was_sealed=True)) == code
    # What was found holds for later reads, and nothing can be charged.
    assert code_of(chain.bodies) == code
    with pytest.raises(InternalError):
        add(chain, 1)


def test_p5_another_key_does_not_open_a_ledger(sealed):
    for was_sealed in (False, True):
        chain = sealed.chain()
        assert code_of(
            lambda chain=chain, was=was_sealed: chain.open(OTHER_KEY, NOW, was_sealed=was)
        ) == ("LEDGER_ALTERED")


def test_a_ledger_from_before_the_seals_is_sealed_once_and_says_so(home):
    home.tamper(*rewritten([5, 6]))
    home.head.write_text(json.dumps({"charges": 2, "hash": home.chain_hash()}))
    assert home.chain().bodies() == [{"rho_units": 5}, {"rho_units": 6}]
    assert home.chain().state() == SealState(is_verified=False, sealed_at=None, unsealed=2)
    chain = home.opened(was_sealed=False)
    assert chain.state() == SealState(is_verified=True, sealed_at=NOW, unsealed=2)
    add(chain, 7)
    assert home.opened().state().unsealed == 2


def test_p5_a_ledger_from_before_the_seals_that_was_set_back_is_not_sealed(home):
    home.tamper(*rewritten([5]))
    home.head.write_text(json.dumps({"charges": 2, "hash": home.chain_hash()}))
    chain = home.chain()
    assert code_of(lambda: chain.open(KEY, NOW, was_sealed=False)) == "LEDGER_SET_BACK"
    assert chain.state().sealed_at is None


def test_p10_a_crash_while_sealing_leaves_a_ledger_that_is_sealed_again(home, monkeypatch):
    home.tamper(*rewritten([5]))
    with monkeypatch.context() as broken:
        broken.setattr(home.database, "transaction", _crash)
        with pytest.raises(KeyboardInterrupt):
            home.opened(was_sealed=False)
    assert home.chain().bodies() == [{"rho_units": 5}]
    home.opened(was_sealed=False)
    assert home.opened().state().unsealed == 1


def test_p10_a_crash_before_the_key_store_heard_of_the_seals_changes_nothing(home):
    add(home.opened(was_sealed=False), 1)
    assert home.opened(was_sealed=False).bodies() == [{"rho_units": 1}]


def test_p5_a_forked_ledger_counts_as_spent_until_it_is_carried_over(sealed):
    chain = sealed.opened()
    assert chain.mark_forked(NOW).code == "LEDGER_FORKED"
    fresh = sealed.chain()
    assert fresh.is_forked
    assert code_of(fresh.bodies) == "LEDGER_FORKED"
    assert code_of(lambda: fresh.open(KEY, NOW, was_sealed=True)) == "LEDGER_FORKED"
    assert fresh.bodies(as_found=True) == [{"rho_units": 1}, {"rho_units": 2}]

    with fresh.carrying_over({"rho_units": 99}):
        pass
    again = sealed.opened(was_sealed=False, key=OTHER_KEY)
    assert again.bodies()[-1] == {"rho_units": 99}
    assert again.state() == SealState(is_verified=True, sealed_at=NOW, unsealed=3)


def _crash():
    raise KeyboardInterrupt
