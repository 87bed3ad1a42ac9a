"""A chained table shows every change of its past: altered, removed, inserted or renumbered rows."""

import hashlib
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.store.chain import FIRST, Chain, link
from agent.store.database import Database

BODIES = [{"at": 1, "act": "grant"}, {"at": 2, "act": "withdraw"}, {"at": 3, "act": "grant"}]


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    yield database
    database.close()


@pytest.fixture
def chain(database):
    chain = Chain(database, "consent")
    for body in BODIES:
        with database.transaction():
            chain.append(body)
    return chain


def tamper(tmp_path, *statements):
    """What somebody with the file and SQLite could do."""
    with closing(sqlite3.connect(tmp_path / "agent.sqlite3")) as raw:
        raw.execute("DROP TRIGGER consent_no_update")
        raw.execute("DROP TRIGGER consent_no_delete")
        for statement in statements:
            raw.execute(*statement)
        raw.commit()


def broken_at(chain):
    with pytest.raises(AegisError) as raised:
        chain.verified()
    assert raised.value.code == "CHAIN_BROKEN"
    return int(raised.value.message.partition("entry ")[2].partition(".")[0])


def test_rows_are_numbered_linked_and_read_in_order(chain):
    assert chain.verified() == BODIES
    assert chain.last() == BODIES[-1]
    expected = FIRST
    for stored, body in zip(
        chain.hashes(),
        (b'{"act":"grant","at":1}', b'{"act":"withdraw","at":2}', b'{"act":"grant","at":3}'),
        strict=True,
    ):
        expected = hashlib.sha256(bytes.fromhex(expected) + body).hexdigest()
        assert stored == expected


def test_an_empty_table_is_whole(database):
    chain = Chain(database, "charge")
    assert (chain.verified(), chain.last(), chain.hashes()) == ([], None, [])


def test_the_two_tables_are_chains_of_their_own(database, chain):
    other = Chain(database, "charge")
    with database.transaction():
        assert other.append({"rho": 1}) == 1
    assert (len(chain.verified()), other.verified()) == (3, [{"rho": 1}])


def test_a_row_belongs_to_the_callers_transaction(database, chain):
    def failing():
        with database.transaction():
            chain.append({"at": 4})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert chain.verified() == BODIES


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        (("UPDATE consent SET body = replace(body, 'withdraw', 'grant') WHERE seq = 2",), 2),
        (('UPDATE consent SET body = \'{"act": "grant","at":1}\' WHERE seq = 1',), 1),
        (("UPDATE consent SET hash = ? WHERE seq = 3", ("00" * 32,)), 3),
        (("DELETE FROM consent WHERE seq = 1",), 1),
        (("DELETE FROM consent WHERE seq = 2",), 2),
        (("UPDATE consent SET seq = 9 WHERE seq = 3",), 3),
        (("INSERT INTO consent SELECT 4, body, hash FROM consent WHERE seq = 1",), 4),
    ],
    ids=[
        "other body",
        "other spelling",
        "other hash",
        "first removed",
        "middle removed",
        "renumbered",
        "slipped in",
    ],
)
def test_p4_a_change_from_outside_is_named_by_its_entry(tmp_path, chain, statement, entry):
    tamper(tmp_path, statement)
    assert broken_at(chain) == entry


def test_p4_a_row_with_a_recomputed_hash_breaks_at_the_next_one(tmp_path, chain):
    body = b'{"act":"grant","at":2}'
    forged = link(chain.hashes()[0], body)
    tamper(
        tmp_path, ("UPDATE consent SET body = ?, hash = ? WHERE seq = 2", (body.decode(), forged))
    )
    assert broken_at(chain) == 3


@pytest.mark.parametrize("statement", ["UPDATE consent SET body = '{}'", "DELETE FROM consent"])
def test_p4_the_program_itself_cannot_change_the_past(database, chain, statement):
    with pytest.raises(AegisError), database.transaction():
        database.execute(statement)
    assert chain.verified() == BODIES


def test_p11_what_has_no_canonical_form_is_not_appended(database, chain):
    with pytest.raises(TypeError), database.transaction():
        chain.append({"share": 0.5})
    assert chain.verified() == BODIES


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_link_binds_the_past_and_the_body(one, other):
    assert (link(FIRST, one) == link(FIRST, other)) == (one == other)
    assert link(link(FIRST, one), other) != link(FIRST, other)
