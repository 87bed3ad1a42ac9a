"""Homes on file systems without locks or without shared maps, with real processes.

A library that is loaded before the C library stands in for such a file system; FUSE is a real one
without shared maps.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.installation import PROGRAMS
from tests.fakes.server_commands import COMMAND, INIT
from tests.fakes.server_process import ServerProcess
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = pytest.mark.system
CASES = Path(__file__).parents[3] / "shared" / "cases" / "sqlite"
SHIM = Path(__file__).with_name("file_system_shim.c")
ONE_UPDATE = ("--mode", "local", "--rounds-target", "1", "--rounds-minimum", "1")
CHANGE = ("settings", "set", "cpu.share_idle", "15")
NEVER = ("DISK_FULL", "HOME_IN_USE", "HOME_READ_ONLY", "Traceback")


def compiled(source, folder):
    library = folder / "shim.so"
    command = ["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
    return library


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return compiled(SHIM, tmp_path_factory.mktemp("shim"))


def without(what, folder, shim):
    """The variables under which a folder's file system lacks something."""
    return {"SHIM_LACKS": what, "SHIM_FOLDER": str(folder), "LD_PRELOAD": str(shim)}


def run(command, environ):
    return subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "XDG_RUNTIME_DIR": "/nonexistent", **environ},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def aegis(home, environ, *words):
    """Run a command on a home. Returns its JSON, or that of its error."""
    command = (sys.executable, "-m", "agent", *words, "--json")
    done = run(command, {"AEGIS_HOME": str(home), **environ})
    assert not any(word in done.stderr + done.stdout for word in NEVER), done.stderr
    answer = json.loads(done.stdout)
    return answer.get("error", answer)


@pytest.mark.parametrize("what", ["range locks", "file locks"])
def test_an_agents_home_without_locks_is_named_and_nothing_is_written(tmp_path, shim, what):
    answer = aegis(tmp_path / "a", without(what, tmp_path, shim), *CHANGE)
    assert answer["code"] == "NO_FILE_LOCKS"
    assert "has no file locks" in answer["message"]
    assert "--home" in answer["remedy"]
    assert not list(tmp_path.glob("**/.probe.*"))


@pytest.mark.parametrize("what", ["range locks", "file locks"])
def test_a_servers_folder_without_locks_is_named(tmp_path, shim, what):
    environ = {"AEGIS_SERVER_HOME": str(tmp_path / "s"), **without(what, tmp_path, shim)}
    done = run((*COMMAND, *INIT, "--port", "0", "--operator-port", "0"), environ)
    assert done.returncode == 1
    assert done.stderr.startswith("NO_FILE_LOCKS: ")
    assert "Traceback" not in done.stderr


def live(home, environ):
    """What a person does with a home; ends with rows and consent in it."""
    notice = aegis(home, environ, "consent", "show")["notice_id"]
    aegis(home, environ, "consent", "grant", "--accept", notice)
    added = aegis(home, environ, "samples", "add", PROGRAMS[0], "--label", "benign")
    assert added["added"] == 1
    assert aegis(home, environ, "ledger", "--verify")["verified"]


def is_alive(home, environ):
    """Whether what `live` did is there."""
    assert aegis(home, environ, "status")["consent"]["state"] == "GRANTED"
    return aegis(home, environ, "samples", "list")["total"] == 1


def test_an_agents_home_without_shared_maps_works_and_moves_both_ways(tmp_path, shim):
    lacking = without("shared maps", tmp_path, shim)
    live(tmp_path / "a", lacking)
    assert is_alive(tmp_path / "a", lacking)
    assert is_alive(tmp_path / "a", {})
    live(tmp_path / "b", {})
    assert is_alive(tmp_path / "b", lacking)


def test_another_process_is_still_called_that_and_killing_it_loses_nothing(tmp_path, shim):
    home, environ = tmp_path / "a", without("shared maps", tmp_path, shim)
    live(home, environ)
    hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
    hold += " c.execute('PRAGMA locking_mode=EXCLUSIVE'); c.execute('BEGIN EXCLUSIVE');"
    hold += " c.execute('DELETE FROM sample'); print('on', flush=True); sys.stdin.read()"
    command = (sys.executable, "-c", hold, str(home / "agent.sqlite3"))
    with subprocess.Popen(
        command,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "on\n"
        done = run(
            (sys.executable, "-m", "agent", "status", "--json"),
            {"AEGIS_HOME": str(home), **environ},
        )
        assert json.loads(done.stdout)["error"]["code"] == "HOME_IN_USE"
        other.send_signal(signal.SIGKILL)
    assert is_alive(home, environ)


def complete_round(server):
    device = server.enrol()
    offer = until(
        lambda: one if (one := device.client.offer()).round is not None else None, what="a round"
    )
    device.client.send_update(device.update(config=offer.round))
    until(lambda: device.client.offer().model_version > offer.model_version, what="the next model")


def test_a_server_without_shared_maps_completes_rounds_also_after_a_move(tmp_path, shim):
    with ServerProcess(tmp_path, *ONE_UPDATE) as server:
        complete_round(server)
        assert journal(server) == "wal"
        server.kill()
    with server.moved(environ=without("shared maps", tmp_path, shim)):
        complete_round(server)
        assert journal(server) == "truncate"
        server.kill()
        server.start()
        assert server.view.models.newest_version() == 3


def journal(server):
    """The journal mode that the server's database is in, as its file says."""
    with (server.home.folder / "aggregator.sqlite3").open("rb") as file:
        return {1: "truncate", 2: "wal"}[file.read(20)[18]]


@contextmanager
def fuse(folder):
    """Yield a folder on a file system without shared maps."""
    below, mounted = folder / "below", folder / "mounted"
    below.mkdir()
    mounted.mkdir()
    done = run(("bindfs", "-o", "direct_io", below, mounted), {})
    assert done.returncode == 0, done.stderr
    try:
        yield mounted
    finally:
        until(lambda: run(("fusermount", "-u", mounted), {}).returncode == 0, what="unmounting")


needs_fuse = pytest.mark.skipif(
    not (Path("/dev/fuse").exists() and shutil.which("bindfs")),
    reason="this machine has no FUSE: no /dev/fuse or no bindfs",
)


@needs_fuse
def test_an_agent_and_a_server_work_on_fuse_without_shared_maps(tmp_path):
    with fuse(tmp_path) as folder:
        live(folder / "a", {})
        assert is_alive(folder / "a", {})
        with ServerProcess(folder, *ONE_UPDATE) as server:
            complete_round(server)


@pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/cases, which is not here")
@pytest.mark.parametrize(
    ("variable", "code"),
    [("NOFCNTL", "NO_FILE_LOCKS"), ("NOFLOCK", "NO_FILE_LOCKS"), ("NOSHM", "")],
)
def test_the_shared_cases_have_the_right_value(tmp_path, variable, code):
    shim = compiled(CASES / "enolck.c", tmp_path)
    environ = {variable: "1", "NOLOCK_DIR": str(tmp_path), "LD_PRELOAD": str(shim)}
    assert "state" in aegis(tmp_path / "a", environ, "status")
    assert aegis(tmp_path / "a", environ, *CHANGE).get("code", "") == code
