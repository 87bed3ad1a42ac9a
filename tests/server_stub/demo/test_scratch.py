"""Nothing that a demonstration leaves outlives the next one."""

import os

from server_stub.demo.scratch import PREFIX, scratch_folder, sweep


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
