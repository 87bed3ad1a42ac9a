"""Nothing that a demonstration leaves outlives the next one."""

import os
from pathlib import Path

from server_stub.demo.scratch import PREFIX, scratch_folder, socket_folder, sweep


def test_a_scratch_folder_is_removed_and_the_next_one_sweeps_those_of_killed_runs(tmp_path):
    (left := tmp_path / f"{PREFIX}999999999-abc").mkdir()
    (other := tmp_path / f"{PREFIX}{os.getpid()}-abc").mkdir()
    (alien := tmp_path / f"{PREFIX}notes").mkdir()
    with scratch_folder(tmp_path) as folder:
        (folder / "x").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not left.exists()
    assert not folder.exists()
    assert other.exists()
    assert alien.exists()
    sweep(tmp_path / "no such folder")


def test_sockets_get_a_short_folder_where_the_scratch_folder_has_a_long_name(tmp_path):
    (short := tmp_path / "s").mkdir()
    with socket_folder(Path("/x"), short) as folder:
        assert folder == Path("/x/run")
    with socket_folder(Path("/x" * 60), short) as folder:
        assert folder.is_relative_to(short)
        assert folder.parent.exists()
    assert list(short.iterdir()) == []
