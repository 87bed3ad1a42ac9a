"""The real programs answer bad input and faults with one clear line and exit code 1, and lose
nothing (P11).
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from tests.fakes.ca import TestAuthority
from tests.fakes.https_server import HttpsServer
from tests.fakes.installation import PROGRAMS, Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, free_port

pytestmark = pytest.mark.system


class Desk:
    """`aegis` as a person types it, in a home of its own."""

    def __init__(self, folder, **extra):
        self.home = folder / "home"
        self.environ = {
            "PATH": os.environ["PATH"],
            "AEGIS_HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            **extra,
        }

    def run(self, *words, before=(), **options):
        command = [*before, sys.executable, "-m", "agent", *map(str, words)]
        return subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=CYCLE_TIMEOUT_S,
            check=False,
            **options,
        )

    def json(self, *words):
        done = self.run(*words, "--json")
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
        return json.loads(done.stdout)

    def refusal(self, *words, **options):
        """Return the code in the one line that a refused command prints."""
        done = self.run(*words, **options)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        program, code, text = done.stderr.split(": ", 2)
        assert program == "aegis"
        assert text.strip().endswith(".")
        return code


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_scan_of_three_hundred_programs_and_bad_files_is_one_document(desk, tmp_path):
    folder = tmp_path / "programs"
    (folder / "deeper").mkdir(parents=True)
    for number in range(300):
        shutil.copy(
            PROGRAMS[number % len(PROGRAMS)],
            folder / ("deeper" if number % 2 else ".") / f"{number}.exe",
        )
    os.mkfifo(folder / "pipe")
    (folder / "cut.exe").write_bytes(PROGRAMS[0].read_bytes()[:400])
    with (folder / "sparse.bin").open("wb") as file:
        file.truncate(4 * 2**30)
    shown = desk.json("scan", folder, "/bin/ls", tmp_path / "missing")
    by_code = {}
    for result in shown["results"]:
        by_code[result["code"]] = by_code.get(result["code"], 0) + 1
    assert by_code == {"": 300, "NOT_A_FILE": 1, "TRUNCATED_PE": 1, "NOT_PE": 2, "NOT_FOUND": 1}
    assert shown["demonstration"] is True
    text = desk.run("scan", "/bin/ls")
    assert (text.returncode, "Not a Windows executable" in text.stdout) == (0, True)


def test_p1_without_consent_no_connection_is_opened_and_nothing_is_stored(desk, tmp_path):
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-e", "trace=network,keyctl,add_key,request_key", "-o", str(trace))
    bus = tmp_path / "bus"
    desk.environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={bus}"
    assert desk.refusal("run", "--once", before=strace) == "NO_CONSENT"
    calls = [line for line in trace.read_text().splitlines() if "(" in line and "+++" not in line]
    connections = [line for line in calls if "connect(" in line]
    assert all(f"{tmp_path}/run/aegisai/" in line or "/nscd/" in line for line in connections), (
        connections
    )  # nscd: libc looks up the user
    assert not any(
        "AF_INET" in line or "_key(" in line or "keyctl(" in line or str(bus) in line
        for line in calls
    )
    left = sorted(
        str(path.relative_to(desk.home)) for path in desk.home.rglob("*") if path.is_file()
    )
    assert not [name for name in left if not name.startswith(("agent.sqlite3", "lock", "logs/"))]
    with sqlite3.connect(desk.home / "agent.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM sample").fetchone() == (0,)


def test_a_second_agent_on_the_same_home_is_refused_and_leaves_the_first_alone(desk):
    first = subprocess.Popen(
        [sys.executable, "-m", "agent", "run"], env=desk.environ, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in first.stderr:
            if "ready" in line or "listen" in line or "agent." in line:
                break
        assert desk.refusal("run") == "AGENT_RUNNING"
        assert desk.refusal("run", "--once") == "AGENT_RUNNING"
        assert desk.json("status")["state"] == "off"
        assert desk.json("quit") == {"was_running": True}
        assert first.wait(TIMEOUT_S) == 0
    finally:
        first.kill()
        first.stderr.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("installation"))
    yield installation
    installation.close()


def joined(folder, invitation):
    """Return a desk that has enrolled with this invitation and granted consent."""
    (folder / "keys").mkdir()
    (folder / "keys" / "aegisai-key").write_text("0123456789abcdef" * 2)
    desk = Desk(folder, CREDENTIALS_DIRECTORY=str(folder / "keys"))
    desk.json("settings", "set", "key_store", "credential")
    desk.json("settings", "set", "cpu.share_in_use", "100")
    desk.json("enroll", invitation)
    desk.json("consent", "grant", "--accept", desk.json("consent", "show")["notice_id"])
    desk.json("samples", "add", PROGRAMS[0].parent, "--label", "benign")
    return desk


def invitation(installation, url=None):
    url = url or f"https://127.0.0.1:{installation.port}"
    return json.loads(installation.server("token", "create", "--server", url, "--json"))[
        "invitation"
    ]


def test_a_used_token_a_dead_server_and_an_untrusted_certificate_have_codes_of_their_own(
    installation, tmp_path
):
    used = invitation(installation)
    (tmp_path / "one").mkdir()
    first = joined(tmp_path / "one", used)
    assert first.json("run", "--once")["outcome"] in ("sent", "no_round")
    (tmp_path / "two").mkdir()
    second = joined(tmp_path / "two", used)
    assert second.refusal("run", "--once") in ("TOKEN_USED", "TOKEN_REFUSED")

    (tmp_path / "three").mkdir()
    offline = joined(
        tmp_path / "three", invitation(installation, f"https://127.0.0.1:{free_port()}")
    )
    assert offline.refusal("run", "--once") == "OFFLINE"

    authority = TestAuthority()
    (tmp_path / "four").mkdir()
    with HttpsServer(tmp_path, *authority.issue_server(), authority.pem) as stranger:
        deceived = joined(
            tmp_path / "four",
            invitation(installation, stranger.url.replace("localhost", "127.0.0.1")),
        )
        assert deceived.refusal("run", "--once") == "SERVER_CERTIFICATE"
    for desk in (second, offline, deceived):
        ledger = desk.json("ledger", "--verify")
        assert (ledger["verified"], ledger["totals"]["charges"]) == (True, 0)
        assert desk.json("status")["samples_benign"] >= 4
