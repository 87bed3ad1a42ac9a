"""Small values by name, each of the form in which it was written."""

import pytest

from agent.errors import UserActionError
from agent.store.database import Database
from agent.store.values import UNREADABLE, Values


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    yield database
    database.close()


def test_a_value_comes_back_as_it_was_put_and_none_removes_it(database):
    values = Values(database, "value")
    values.put("a", {"until": 5})
    assert values.get("a", {"until": int}) == {"until": 5}
    values.put("a", None)
    assert values.get("a") is None


@pytest.mark.parametrize("text", ["not json", "[" * 5000, b"\xff", '"x"'])
def test_p11_a_value_of_another_form_is_one_clear_error(database, text):
    with database.transaction():
        database.execute("INSERT INTO value VALUES ('a', ?)", text)
    values = Values(database, "value")
    with pytest.raises(UserActionError) as raised:
        values.get("a", {"until": int})
    assert raised.value.code == "STORE_DAMAGED"


def test_all_values_are_listed_even_if_one_cannot_be_read(database):
    values = Values(database, "setting")
    values.put("a", 1)
    with database.transaction():
        database.execute("INSERT INTO setting VALUES ('b', 'not json')")
    assert values.all() == {"a": 1, "b": UNREADABLE}
