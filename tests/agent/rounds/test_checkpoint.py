"""A training is continued only for the same model and rows, and only its checkpoint stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rounds.checkpoint import CheckpointStore, name_of
from agent.store.database import Database
from agent.store.values import Values


class Identity:
    """Derives keys as an identity file does: by name."""

    def derived_key(self, name):
        return name.encode().ljust(32)[:32]


class Home:
    """A scratch folder with its store, which can be opened anew."""

    def __init__(self, folder):
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.database = Database(folder / "agent.sqlite3")

    @property
    def checkpoints(self):
        values = Values(self.database, "value")
        return CheckpointStore(self.scratch, values, Identity)

    def files(self):
        return sorted(path.name for path in self.scratch.iterdir())


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    yield home
    home.database.close()


def test_a_training_is_found_again_after_a_restart(home):
    begun = home.checkpoints.begin("model/rows")
    assert home.checkpoints.find("model/rows") == begun
    assert home.checkpoints.find("model/other rows") is None
    assert begun.parent == home.scratch


def test_a_new_training_takes_the_place_of_the_old_one(home):
    first = home.checkpoints.begin("one")
    second = home.checkpoints.begin("two")
    assert home.checkpoints.find("one") is None
    assert home.checkpoints.find("two") == second != first


def test_p12_the_key_belongs_to_the_file_and_is_written_nowhere(home):
    first, second = home.checkpoints.begin("one"), home.checkpoints.begin("two")
    keys = home.checkpoints.job_key(first), home.checkpoints.job_key(second)
    assert keys[0] != keys[1]
    assert all(len(key) == 32 for key in keys)
    stored = b"".join(path.read_bytes() for path in home.database.files() if path.exists())
    assert not any(key in stored for key in keys)


def test_p10_only_the_checkpoint_that_can_be_continued_stays(home):
    begun = home.checkpoints.begin("one")
    for name in (begun.name, f"{begun.name}.checkpoint", "stray", "stray.checkpoint"):
        (home.scratch / name).touch()
    home.checkpoints.tidy()
    assert home.files() == [f"{begun.name}.checkpoint"]


def test_p2_clearing_leaves_nothing_to_continue(home):
    begun = home.checkpoints.begin("one")
    (home.scratch / f"{begun.name}.checkpoint").touch()
    home.checkpoints.clear()
    home.checkpoints.clear()
    assert home.files() == []
    assert home.checkpoints.find("one") is None


def test_a_file_that_cannot_be_removed_is_logged_and_the_rest_goes(home, caplog):
    (home.scratch / "a folder").mkdir()
    (home.scratch / "stray").touch()
    home.checkpoints.tidy()
    assert home.files() == ["a folder"]
    assert "scratch.kept" in caplog.text


@given(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9))
def test_a_name_tells_models_and_rows_apart(rows, labels, other_rows, other_labels):
    assert name_of("aa", rows, labels) != name_of("bb", rows, labels)
    is_same = rows + labels == other_rows + other_labels
    assert (name_of("aa", rows, labels) == name_of("aa", other_rows, other_labels)) == is_same
