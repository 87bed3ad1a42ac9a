"""Runs `aegis` in the process of the test."""

import pytest

from agent.cli import main


@pytest.fixture
def aegis(tmp_path, monkeypatch, capsys):
    """Runs a command in this process; gives exit code, stdout, stderr."""
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("AEGIS_POLICY", str(tmp_path / "policy.toml"))  # counts in a demo's home
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        capsys.readouterr()
        code = main.main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run
