"""The attempts find a way out where there is one, harm nothing, and find none in the sandbox."""

import json
import subprocess
import sys

import pytest

from tests.fakes.confined import run
from tests.fakes.timeouts import TIMEOUT_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the attempts are Linux's")

PROGRAM = """
import json
from agent.sandbox.escape import Targets, attempts
print(json.dumps(dict(attempts(Targets({pid}, {home!r}, {database!r})))))
"""


@pytest.fixture
def target():
    """A process to aim at, in place of the agent."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as target:
        yield target
        assert target.poll() is None, "an attempt harmed it"
        target.communicate(b"\n")


@pytest.fixture
def program(tmp_path, target):
    (tmp_path / ".bashrc").write_text("mine")
    database = tmp_path / "agent.sqlite3"
    database.write_text("rows")
    database.chmod(0o640)
    yield PROGRAM.format(pid=target.pid, home=str(tmp_path), database=str(database))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bashrc", "agent.sqlite3"]
    assert (database.read_text(), database.stat().st_mode & 0o777) == ("rows", 0o640)


def found(done):
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("access", ["Access()", "Access(write=('.',))"])
def test_p12_nothing_is_possible_in_the_sandbox(program, tmp_path_factory, access):
    done = found(run(program, access=access, cwd=tmp_path_factory.mktemp("scratch")))
    assert len(done) >= 12
    assert {sort: possible for sort, possible in done.items() if possible} == {}


def test_without_a_sandbox_each_sort_finds_a_way(program):
    done = found(
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    )
    assert all(done.values()), done
    assert "/proc/…/mem" in done["agent's memory"]
    assert "writing" in done["agent's database"]
    assert "kill" in done["signals to the agent"]


def test_an_architecture_without_numbers_is_not_tried(monkeypatch):
    from agent.sandbox import escape

    monkeypatch.setattr(escape.platform, "machine", lambda: "riscv64")
    assert list(escape.attempts(escape.Targets(1, "/", "/"))) == []
