"""The `aegis` command: what it prints is what docs/schemas says, and its exit codes are those of
docs/CONTRACT.md.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.cli import backend, render
from agent.config.device_limits import mark_demo
from agent.daemon.instance_lock import HomeLock
from agent.ipc.places import socket_of
from agent.paths import Home
from tests.fakes.aggregator import FakeAggregator
from tests.fakes.clock import FakeClock
from tests.fakes.command_line import check, grant
from tests.fakes.device import Device
from tests.fakes.timeouts import TIMEOUT_S


@pytest.mark.parametrize(
    ("words", "schema"),
    [
        (["status"], "status"),
        (["consent", "show"], "notice"),
        (["consent", "withdraw"], "status"),
        (["settings", "get"], "settings"),
        (["settings", "get", "cpu.share_idle"], "settings"),
        (["settings", "set", "cpu.share_idle", "20"], "setting"),
        (["samples", "list"], "samples-list"),
        (["samples", "clear"], "samples-cleared"),
        (["sources", "show"], "sources"),
        (["ledger", "--verify"], "ledger"),
        (["pause", "15m"], "status"),
        (["pause", "tomorrow"], "status"),
        (["resume"], "status"),
        (["discard"], "status"),
        (["erase"], "erased"),
        (["doctor"], "doctor"),
        (["quit"], "quit"),
    ],
)
def test_every_answer_fits_its_schema_and_has_a_text(aegis, words, schema):
    code, out, err = aegis(*words, "--json")
    assert (code, err) == (0, "")
    check(schema, json.loads(out))
    assert out.count("\n") == 1
    code, out, err = aegis(*words)
    assert (code, err) == (0, "")
    assert out.strip()


def test_the_ledger_the_export_and_the_upload_of_a_real_pass_fit_their_schemas(tmp_path):
    device = Device(tmp_path)

    async def scene():
        await device.join()
        check("run-once", (await device.run_cycle()).to_json())
        page = check("ledger", await device.call("ledger", verify=True))
        check("status", await device.call("status"))
        shown = check("sent", await device.call("sent.show", attempt=page["charges"][0]["attempt"]))
        assert Path(shown["path"]).read_bytes() == next(iter(device.server.updates.values()))
        check("exported", await device.call("export", path=str(tmp_path / "all.json")))
        check("export", json.loads((tmp_path / "all.json").read_text()))
        check(
            "samples-added",
            await device.call("samples.add", paths=["/x/a.exe", "/x/b.txt"], label="malicious"),
        )

    asyncio.run(scene())
    device.close()


def test_consent_is_given_only_to_the_notice_that_was_read(aegis):
    code, out, err = aegis("consent", "grant")
    assert code == 1
    assert "NOTICE_NOT_ACCEPTED" in err
    assert "withdraw" in out
    code, _, err = aegis("consent", "grant", "--accept", "contribute-1-0000000000000000")
    assert code == 1
    status = json.loads(aegis("status", "--json")[1])
    assert status["consent"]["state"] == "UNASKED"
    assert grant(aegis)["consent"]["state"] == "GRANTED"
    code, out, _ = aegis("consent", "withdraw")
    assert (code, "WITHDRAWN" in out) == (0, True)


def test_p1_run_once_names_what_is_missing(aegis):
    code, out, err = aegis("run", "--once", "--json")
    assert code == 1
    assert err.startswith("aegis: NO_CONSENT: ")
    assert check("error", json.loads(out))["error"]["code"] == "NO_CONSENT"
    grant(aegis)
    code, _, err = aegis("run", "--once")
    assert (code, "NOT_ENROLLED" in err) == (1, True)


def test_run_once_names_a_policy_that_denies(aegis, tmp_path):
    grant(aegis)
    mark_demo(Home(tmp_path / "home"), None)
    (tmp_path / "policy.toml").write_text("contribute = false\n")
    code, _, err = aegis("run", "--once")
    assert (code, "DENIED_BY_POLICY" in err) == (1, True)


def test_p3_the_environment_does_not_move_the_policy_of_an_ordinary_home(aegis, tmp_path):
    (tmp_path / "policy.toml").write_text('contribute = false\n[settings]\n"idle.only" = true\n')
    status = json.loads(aegis("status", "--json")[1])
    assert (status["policy"], aegis("settings", "get", "idle.only")[1][:15]) == (
        None,
        "idle.only = off",
    )


def test_what_becomes_of_each_line_of_the_policy_is_shown_everywhere(aegis, tmp_path):
    Home(tmp_path / "home").prepare()
    mark_demo(Home(tmp_path / "home"), None)
    (tmp_path / "policy.toml").write_text(
        '[settings]\n"budget.epsilon" = 5\n"cpu.share_idle" = 20\n"no.such" = 1\n'
    )
    wanted = {"budget.epsilon": "looser", "cpu.share_idle": "applied", "no.such": "unknown"}
    status = check("status", json.loads(aegis("status", "--json")[1]))
    settings = check("settings", json.loads(aegis("settings", "get", "--json")[1]))
    for policy in (status["policy"], settings["policy"]):
        assert {line["key"]: line["verdict"] for line in policy["lines"]} == wanted
    checks = check("doctor", json.loads(aegis("doctor", "--json")[1]))["checks"]
    seen = {c["name"]: c["ok"] for c in checks if c["name"].startswith("policy")}
    assert seen == {
        "policy": False,
        "policy budget.epsilon": None,
        "policy cpu.share_idle": True,
        "policy no.such": False,
    }
    assert "budget.epsilon = 5: looser" in aegis("status")[1]
    assert "refused as looser" in aegis("settings", "get", "budget.epsilon")[1]


def test_a_policy_can_be_tried_before_it_is_rolled_out(aegis, tmp_path):
    path = tmp_path / "mine.toml"
    for content, code in (
        ('[settings]\n"cpu.share_idle" = 20\n', 0),
        ("contribute = false\n", 0),
        ("", 0),
        ('[settings]\n"budget.epsilon" = 5\n', 1),
        ("contribute = maybe\n", 1),
        ("consent = true\n", 1),
    ):
        path.write_text(content)
        assert aegis("doctor", "--policy", str(path))[0] == code
        document = json.loads(aegis("doctor", "--policy", str(path), "--json")[1])
        assert check("doctor", document)["policy_counts"] is (code == 0)
    assert "CANNOT_READ" in aegis("doctor", "--policy", str(tmp_path / "none"))[2]
    assert json.loads(aegis("status", "--json")[1])["policy"] is None


def test_enrolling_stores_the_invitation_and_contacts_nobody(aegis, tmp_path):
    invitation = FakeAggregator(FakeClock()).invitation()
    code, out, _ = aegis("enroll", invitation, "--json")
    assert code == 0
    check("enrolled", json.loads(out))
    (tmp_path / "invitation.txt").write_text(invitation + "\n")
    assert aegis("enroll", str(tmp_path / "invitation.txt"))[0] == 0
    status = check("status", json.loads(aegis("status", "--json")[1]))
    assert (status["operator"]["name"], status["enrolled"]) == ("Test operator", False)


def test_enrolling_without_an_invitation_takes_that_of_the_policy(aegis, tmp_path):
    invitation = FakeAggregator(FakeClock()).invitation()
    Home(tmp_path / "home").prepare()
    mark_demo(Home(tmp_path / "home"), None)
    (tmp_path / "policy.toml").write_text(f'[enrolment]\ninvitation = "{invitation}"\n')
    code, out, _ = aegis("enroll")
    assert (code, "Test operator" in out) == (0, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["enroll", "aegis1.nonsense.00000000"], "INVITATION_BAD"),
        (["enroll"], "BAD_PARAMS"),
        (["enroll", "--server", "https://x", "--token", "12345678"], "BAD_SERVER"),
        (["enroll", "/no/such/file"], "CANNOT_READ"),
        (["settings", "set", "no.such", "1"], "UNKNOWN_SETTING"),
        (["settings", "set", "cpu.share_idle", "0"], "BAD_VALUE"),
        (["settings", "get", "no.such"], "UNKNOWN_SETTING"),
        (["pause", "soon"], "BAD_VALUE"),
        (["pause", "0"], "BAD_VALUE"),
        (["pause", "99999d"], "BAD_VALUE"),
        (["sent", "ffff"], "NOT_FOUND"),
        (["run-now"], "NO_AGENT"),
        (["status", "--watch"], "NO_AGENT"),
        (["samples", "add", "/bin/ls", "--label", "benign"], "NO_CONSENT"),
        (["samples", "import", "/no/such.npz"], "NO_CONSENT"),
        (["export", "/no/such/folder/file"], "CANNOT_WRITE"),
    ],
)
def test_p11_bad_input_is_one_clear_line_and_exit_1(aegis, words, code):
    exit_code, out, err = aegis(*words)
    assert (exit_code, out) == (1, "")
    assert err.startswith(f"aegis: {code}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["samples"],
        ["samples", "add", "x"],
        ["samples", "add", "x", "--label", "bad"],
        ["scan"],
    ],
)
def test_a_command_line_that_cannot_be_understood_exits_2(aegis, words):
    with pytest.raises(SystemExit) as raised:
        aegis(*words)
    assert raised.value.code == 2


def test_two_agents_on_one_home_the_second_says_so(aegis, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "LOCK_WAIT_S", 0.1)
    (tmp_path / "home").mkdir()
    with HomeLock(tmp_path / "home" / "lock"):
        code, _, err = aegis("run")
        assert (code, "AGENT_RUNNING" in err) == (1, True)
        code, _, err = aegis("status")
        assert (code, "HOME_IN_USE" in err) == (1, True)
    assert aegis("status")[0] == 0


def test_a_home_of_another_user_is_left_alone(aegis, tmp_path, monkeypatch):
    aegis("pause")
    before = sorted((tmp_path / "home").rglob("*"))
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    for words in (["status"], ["consent", "withdraw"], ["run"]):
        code, _, err = aegis(*words)
        assert (code, "HOME_FOREIGN" in err) == (1, True), err
    assert sorted((tmp_path / "home").rglob("*")) == before


def test_a_whole_program_says_its_version_and_a_broken_one_does_not(aegis, monkeypatch):
    assert aegis("--version", "--whole", "run")[:2] == (0, "aegis 0.1.0\n")

    def broken(name):
        raise SyntaxError(name)

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(SyntaxError):
        aegis("--version", "--whole", "run")


def test_a_home_that_cannot_be_made_is_named(aegis, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = aegis("pause", "--home", str(tmp_path / "file"))
    assert (code, "HOME_UNUSABLE" in err) == (1, True)


def test_commands_ask_a_running_agent(aegis, tmp_path):
    device = Device(tmp_path)
    loop_ready, ended = threading.Event(), threading.Event()

    def serve():
        async def scene():
            task = asyncio.create_task(device.loop().run())
            while not socket_of(Home(device.home)).exists():
                await asyncio.sleep(0.005)
            loop_ready.set()
            await task

        device.start()
        asyncio.run(scene())
        device.close()
        ended.set()

    device.close()
    thread = threading.Thread(target=serve)
    thread.start()
    assert loop_ready.wait(TIMEOUT_S)
    code, out, _ = aegis("pause", "15m", "--json")
    assert (code, json.loads(out)["paused_until"]) == (0, device.clock.wall + 900)
    assert aegis("run-now")[2].startswith("aegis: NO_CONSENT")
    assert json.loads(aegis("quit", "--json")[1]) == {"was_running": True}
    assert ended.wait(TIMEOUT_S)
    thread.join()


def test_a_missing_part_is_named(aegis, monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    code, _, err = aegis("tray")
    assert (code, "PART_MISSING" in err) == (1, True)
    assert aegis()[0] == 1


def test_status_imports_nothing_heavy(tmp_path):
    script = (
        "import sys; from agent.cli.main import main; main(['status', '--json']);heavy = {'numpy',"
        " 'sklearn', 'scipy', 'requests', 'cryptography', 'keyring', 'rich', 'tuf', 'psutil',"
        " 'PySide6', 'argon2'};print(sorted(heavy & {name.split('.')[0] for name in sys.modules}),"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            "AEGIS_HOME": str(tmp_path / "home"),
            "XDG_RUNTIME_DIR": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.system
def test_p1_without_consent_no_connection_is_opened(tmp_path):
    strace = shutil.which("strace")
    assert strace, "make test-system installs strace"
    home = tmp_path / "home"
    environ = {
        "AEGIS_HOME": str(home),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "PATH": "/usr/bin:/bin",
    }
    aegis = [sys.executable, "-m", "agent"]
    subprocess.run(
        [*aegis, "enroll", FakeAggregator(FakeClock()).invitation()],
        env=environ,
        check=True,
        timeout=TIMEOUT_S,
        capture_output=True,
    )
    trace = tmp_path / "trace"
    done = subprocess.run(
        [strace, "-f", "-e", "trace=network", "-o", str(trace), *aegis, "run", "--once"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, "NO_CONSENT" in done.stderr) == (1, True)
    calls = [line for line in trace.read_text().splitlines() if "(" in line and "+++" not in line]
    assert all("AF_UNIX" in line or "AF_" not in line for line in calls), calls
    assert not any("keyring" in line or "dbus" in line or "bus" in line for line in calls), calls
    assert not (home / "identity.aead").exists()
    assert list((home / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("pending", "registered", "server_cannot_be_told", "expected"),
    [
        (False, True, False, "gone, here and at the server"),
        (False, False, False, "gone; no server knew this device"),
        (True, True, False, "The server has not confirmed yet"),
        (True, False, False, "a key in the keyring that opens nothing"),
        (True, True, True, "The server's data stays"),
    ],
)
def test_erase_claims_only_what_was_erased(pending, registered, server_cannot_be_told, expected):
    text = render.erased_text(
        {
            "pending": pending,
            "registered": registered,
            "server_cannot_be_told": server_cannot_be_told,
        }
    )
    assert expected in text
    assert "The lifetime ε starts at 0 again" in text
    assert ("at the server" in text) is (expected == "gone, here and at the server")


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 update was received before"), (2, "2 updates were received before")],
    ids=["one", "two"],
)
def test_c12_a_withdrawal_says_what_cannot_be_taken_back(count, said):
    ledger = {
        "outbox": [{"charge_seq": number, "state": "acknowledged"} for number in range(count)],
        "charges": [{"seq": number, "model_version": number} for number in range(count)],
    }
    text = render.withdrawn_text({"consent": {"state": "WITHDRAWN"}}, ledger)
    assert said in text


def test_a_withdrawal_on_a_full_disk_does_not_claim_that_bytes_are_deleted():
    ledger = {"outbox": [{"charge_seq": 1, "state": "unsent"}], "charges": []}
    text = render.withdrawn_text({"consent": {"state": "WITHDRAWN"}}, ledger)
    assert "not deleted yet" in text
    assert "were deleted" not in text


@pytest.mark.parametrize(("states", "claims"), [((), False), (("withdrawn",), True)])
def test_a_withdrawal_claims_to_have_deleted_only_what_waited(states, claims):
    outbox = [{"charge_seq": 1, "state": state} for state in states]
    text = render.withdrawn_text(
        {"consent": {"state": "WITHDRAWN"}}, {"outbox": outbox, "charges": []}
    )
    assert ("were deleted" in text) is claims
    assert ("nothing more is sent" in text) is not claims
