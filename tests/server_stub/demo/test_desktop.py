"""`make run` twice: the second leaves the first alone."""

import pytest

from agent.errors import UserActionError
from server_stub.demo import desktop


def test_a_second_demonstration_in_the_same_folder_is_refused_and_removes_nothing(tmp_path):
    folder = tmp_path / "run" / "desk"
    with desktop.only_one(folder):
        folder.mkdir()
        (folder / "kept").touch()
        with pytest.raises(UserActionError) as refused:
            desktop.run(folder)
        assert refused.value.code == "RUNNING_ALREADY"
        assert (folder / "kept").exists()
    with desktop.only_one(folder):
        pass
