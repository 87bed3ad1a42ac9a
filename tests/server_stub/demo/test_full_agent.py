"""The full agent learns from real programs; what it does with them is in tests/e2e/test_demo.py."""

from server_stub.demo.full_agent import MAX_FILES, programs_here


def test_the_environment_holds_real_programs():
    assert any(path.name == "cli-64.exe" for path in programs_here())


def test_only_windows_programs_are_taken_and_not_too_many(tmp_path):
    for number in range(MAX_FILES + 5):
        (tmp_path / f"{number:04d}.EXE").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.dll").mkdir()
    found = programs_here(tmp_path)
    assert len(found) == MAX_FILES
    assert {path.suffix for path in found} == {".EXE"}
