"""The authority's process, and what it does once a day."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.errors import OperatorActionError, PeerError
from server_stub.ca.authority import Authority
from server_stub.ca.process import DAY_S, READY_LINE, Daily, running_authority
from server_stub.ca.rpc import AuthorityServer, is_listening
from tests.fakes.clock import FakeClock
from tests.fakes.live_server import make_home
from tests.fakes.timeouts import TIMEOUT_S, until


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "server", int(time.time()))[0]


def connected(home):
    return running_authority(home.folder, home.authority, home.ca_pem)


def processes_of(home):
    """The processes that run this home's authority."""
    needle = f"ca\0run\0--home\0{home.folder}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if needle in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # It ended meanwhile.
    return found


@pytest.mark.parametrize("failure", [None, OSError("disk full")], ids=["works", "fails"])
def test_a_daily_action_runs_once_a_day_whether_it_works_or_fails(failure, caplog):
    clock, runs = FakeClock(), []

    def act():
        runs.append(clock.now())
        if failure:
            raise failure

    daily = Daily(clock, act)
    for _ in range(3):
        daily()
    clock.advance(DAY_S - 1)
    daily()
    assert len(runs) == 1
    clock.advance(1)
    daily()
    assert len(runs) == 2
    assert caplog.text.count("daily_action.failed error=disk full") == (2 if failure else 0)


def test_a_clock_that_was_set_back_does_not_stop_a_daily_action():
    clock, runs = FakeClock(), []
    daily = Daily(clock, lambda: runs.append(clock.now()))
    daily()
    clock.advance(-3 * DAY_S)
    daily()
    assert len(runs) == 2


def test_a_programming_error_in_a_daily_action_is_not_hidden():
    def act():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Daily(FakeClock(), act)()


@pytest.mark.slow
def test_a_child_serves_as_long_as_it_is_needed(home):
    with connected(home) as authority:
        (child,) = processes_of(home)
        assert "BEGIN X509 CRL" in authority.revocations()
        assert authority.log_head()["size"] == 0
    until(lambda: not processes_of(home), what=f"the end of process {child}")
    assert not is_listening(home.authority)


@pytest.mark.slow
def test_a_child_that_was_killed_is_started_again(home):
    with connected(home) as authority:
        (child,) = processes_of(home)
        os.kill(child, signal.SIGKILL)
        with pytest.raises(PeerError) as refused:
            authority.enrol("unknown", "no request")
        assert refused.value.code == "BAD_CSR"
        assert processes_of(home) not in ([], [child])


@pytest.mark.slow
def test_a_running_authority_is_used_and_left_alone(home):
    command = [sys.executable, "-m", "server_stub.cli.main", "ca", "run", "--home"]
    started = subprocess.Popen([*command, str(home.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout.readline().strip() == READY_LINE
        with connected(home) as authority:
            assert processes_of(home) == [started.pid]
            assert authority.log_head()["size"] == 0
        assert started.poll() is None
        started.send_signal(signal.SIGTERM)
        assert started.wait(TIMEOUT_S) == 0
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def test_a_second_authority_of_a_folder_is_refused(home):
    authority = Authority(home.authority, FakeClock())
    with AuthorityServer(home.authority, authority):
        with pytest.raises(OperatorActionError) as refused:
            AuthorityServer(home.authority, authority)
        assert refused.value.code == "CA_RUNNING"
    authority.close()


@pytest.mark.slow
def test_an_authority_that_cannot_start_is_an_error_for_the_operator(home, capfd):
    (home.authority / "ca.key").unlink()
    with pytest.raises(OperatorActionError) as refused, connected(home):
        pass
    assert refused.value.code == "CA_START"
    assert capfd.readouterr().err.startswith("CA_KEY: ")
