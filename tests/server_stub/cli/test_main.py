"""The commands of `aegis-server`, in processes of their own where that matters."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
from cryptography import x509
from safetensors.numpy import save

import agent
from agent.consent.notice import OperatorFacts
from agent.consent.wording import Figures, compose
from agent.detector.families.logistic import Logistic
from agent.detector.model import LogisticModel, from_safetensors, to_safetensors
from agent.detector.synthetic import generate
from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.privacy.seal import seal
from agent.protocol.invitation import parse_invitation
from agent.transport.client import AggregatorClient
from server_stub.cli.main import main
from server_stub.config.home import ServerHome
from server_stub.publishing.calibration import Calibration, write_calibration
from server_stub.publishing.models import start_model
from server_stub.publishing.public_rows import PublicRows, write_public_rows
from server_stub.storage.store import Store
from tests.fakes.live_server import public_stats
from tests.fakes.server_commands import INIT
from tests.fakes.stored_rows import add_device, round_config, send_update
from tests.fakes.timeouts import TIMEOUT_S, until


def command(*words):
    return [sys.executable, "-m", "server_stub.cli.main", *words]


def answer(capsys, *words):
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def home(tmp_path, capsys):
    created = answer(
        capsys,
        *INIT,
        "--mode",
        "local",
        "--home",
        str(tmp_path / "server"),
        "--epsilon",
        "8",
    )
    assert created["model_version"] == 1
    return tmp_path / "server"


@pytest.mark.parametrize("option", ["--epsilon", "--lifetime-epsilon"])
@pytest.mark.parametrize("number", ["nan", "inf", "1e308", "x"])
def test_an_option_that_is_no_number_is_refused(tmp_path, capsys, option, number):
    with pytest.raises(SystemExit) as refused:
        main([*INIT, "--home", str(tmp_path / "server"), option, number])
    assert refused.value.code == 2
    assert option in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "server").exists()


def test_init_works_once(home, capsys):
    assert main([*INIT, "--home", str(home)]) == 1
    assert "HOME_EXISTS" in capsys.readouterr().err


def test_host_names_of_init_are_in_the_certificate(tmp_path, capsys):
    home = tmp_path / "server"
    words = ("--host-name", "müller.example", "--host-name", "192.0.2.7")
    answer(capsys, *INIT, "--mode", "local", "--home", str(home), *words)
    tls = (home / "keys" / "tls.pem").read_bytes()
    certificate = x509.load_pem_x509_certificate(tls[tls.index(b"-----BEGIN CERTIFICATE") :])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "xn--mller-kva.example" in names.get_values_for_type(x509.DNSName)


def test_no_key_is_in_a_database(home):
    keys = [
        path.read_bytes()
        for path in [
            *(home / "keys").iterdir(),
            *(home / "ca").glob("*.key"),
            *(home / "repository" / "keys").rglob("*.pem"),
        ]
    ]
    for database in home.rglob("*.sqlite3*"):
        content = database.read_bytes()
        for key in keys:
            assert key[:32] not in content


def test_an_invitation_names_the_operator_and_the_privacy_budget(home, capsys):
    created = answer(
        capsys,
        "token",
        "create",
        "--home",
        str(home),
        "--uses",
        "5",
        "--ttl",
        "7d",
        "--server",
        "https://example.org:8443",
    )
    invitation = parse_invitation(created["invitation"])
    assert (invitation.operator.name, invitation.server, invitation.token) == (
        "Example",
        "https://example.org:8443",
        created["token"],
    )
    assert (invitation.privacy.epsilon_milli, invitation.privacy.delta_inverse) == (8000, 100_000)
    assert len(invitation.root_sha256) == 64


def test_the_notice_reads_well_with_the_default_texts(tmp_path, capsys):
    home = str(tmp_path / "server")
    answer(capsys, *INIT, "--home", home)
    created = answer(capsys, "token", "create", "--home", home, "--server", "https://example.org")
    invitation = parse_invitation(created["invitation"])
    figures = Figures("secagg", 1000, 100_000, 365, 3000, 12)
    notice = compose(
        "en", OperatorFacts(**asdict(invitation.operator), server=invitation.server), figures
    )
    details = dict(notice.details)
    assert notice.first_layer[0].startswith("Example asks your computer")
    assert details["Who is responsible"] == (
        "Example. Contact, also for data protection: a@example.org."
    )
    assert details["Recipients"] == "The operator only."
    assert details["Kept how long"] == (
        "Updates are deleted when their round has ended. On this computer: what a source found by"
        " itself, 90 days unless you change that, and no longer than its switch is on; the rest"
        " until you erase it."
    )


def test_a_rollback_by_the_canary_keeps_a_model_that_passes(home, capsys, tmp_path):
    words = ("model", "rollback", "--canary", "--home", str(home))
    code, _, line = run(home, capsys, *words[:3])
    assert (code, line.split(":")[0]) == (1, "NO_ROWS")
    made = generate(np.random.default_rng(3), 600)
    rows = PublicRows(made.rows, made.labels, np.zeros(600))
    write_public_rows(ServerHome(home).rows_file, rows)
    assert answer(capsys, *words)["version"] == 1
    ruined = tmp_path / "ruined.safetensors"
    weights = from_safetensors(start_model()).weights
    ruined.write_bytes(to_safetensors(LogisticModel(-weights)))
    assert answer(capsys, "model", "publish", str(ruined), "--home", str(home))["version"] == 2
    restored = answer(capsys, *words)
    assert (restored["version"], restored["origin"]) == (3, "version 1")
    assert answer(capsys, *words)["version"] == 3


def test_a_rollback_to_before_a_calibration_keeps_its_thresholds(home, capsys):
    made = generate(np.random.default_rng(3), 400)
    kept = Calibration(made.rows, made.labels, 0.1, 0.3)
    write_calibration(ServerHome(home).calibration_file, kept)
    assert answer(capsys, "model", "rollback", "--to", "1", "--home", str(home))["version"] == 2
    with closing(Store(ServerHome(home).database_url)) as store:
        head = Logistic().read_head(store.models.newest().content, 116)
    assert head.bounds.false_positive_rate == 0.1


def test_a_rollback_publishes_a_new_version(home, capsys):
    shown = answer(capsys, "model", "show", "--home", str(home))["models"]
    model = home.parent / "model.safetensors"
    model.write_bytes(save({"weights": np.linspace(-1, 1, 116)}))
    assert answer(capsys, "model", "publish", str(model), "--home", str(home))["version"] == 2
    restored = answer(capsys, "model", "rollback", "--home", str(home))
    assert (restored["version"], restored["sha256"]) == (3, shown[0]["sha256"])
    model.write_bytes(save({"weights": np.zeros(3)}))
    assert main(["model", "publish", str(model), "--home", str(home)]) == 1
    assert "BAD_MODEL" in capsys.readouterr().err


def test_no_model_replaces_one_that_devices_have_paid_for_unless_the_operator_says_so(home, capsys):
    with closing(Store(ServerHome(home).database_url)) as store:
        for name in ("a", "b"):
            add_device(store, name)
        store.rounds.open(round_config(), target=3)
    code, _, _ = run(home, capsys, "model", "rollback", "--to", "1")
    assert code == 0, "no device has paid yet"
    with closing(Store(ServerHome(home).database_url)) as store:
        store.rounds.open(replace(round_config(), round_id=2), target=3)
        for name in ("a", "b"):
            send_update(store, name, 2)
    code, output, line = run(home, capsys, "model", "rollback", "--to", "1", "--json")
    assert code == 1
    assert json.loads(output)["error"]["code"] == "ROUND_IN_PROGRESS"
    assert "Round 2 is in progress, and 2 devices have paid" in line
    assert "--end-round" in line
    code, _, _ = run(home, capsys, "model", "rollback", "--to", "1", "--end-round")
    assert code == 0


def test_a_server_that_only_this_computer_reaches_is_created_with_a_warning(tmp_path, capsys):
    code, output, _ = run(tmp_path / "a", capsys, *INIT)
    assert code == 0
    assert "Warning: Invitations will point at 127.0.0.1" in output
    code, output, _ = run(
        tmp_path / "b", capsys, *INIT, "--url", "https://aegis.example.org", "--host", "0.0.0.0"
    )
    assert code == 0
    assert "Warning" not in output


def test_who_asks_and_how_to_reach_them_must_be_said(tmp_path, capsys):
    with pytest.raises(SystemExit) as refused:
        main(["init", "--home", str(tmp_path / "server")])
    assert refused.value.code == 2
    assert "--operator-name, --contact" in capsys.readouterr().err


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"aegis-server {agent.__version__}\n"


def test_with_json_an_error_is_a_document_too(tmp_path, capsys):
    code, output, line = run(tmp_path / "nowhere", capsys, "stats", "--json")
    error = json.loads(output)["error"]
    assert (code, error["code"]) == (1, "NO_SERVER")
    assert line.startswith("NO_SERVER: ")
    assert error["remedy"]


def test_evaluate_scores_the_newest_model(home, capsys):
    table = home.parent / "rows.npz"
    np.savez(table, X=np.zeros((4, 29), np.uint64), y=np.array([0, 1, 0, 1]))
    score = answer(capsys, "evaluate", "--data", str(table), "--home", str(home))
    assert (score["model_version"], score["rows"]) == (1, 4)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["stats"], "NO_SERVER"),
        (["run"], "NO_SERVER"),
        (["token", "create"], "NO_SERVER"),
        (["devices", "revoke", "urn:uuid:x"], "NO_SERVER"),
    ],
)
def test_a_missing_server_is_reported_in_one_line(tmp_path, capsys, words, code):
    assert main([*words, "--home", str(tmp_path / "none")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(code)
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["rounds", "show", "9"], "NO_ROUND"),
        (["devices", "revoke", "urn:uuid:x"], "NO_DEVICE"),
        (["model", "rollback", "--to", "7"], "NO_MODEL"),
        (["model", "publish", "/nowhere/model"], "FILE"),
        (["run", "--workers", "2"], "WORKERS"),
        (["evaluate", "--data", "/nowhere/rows.npz"], "BAD_TABLE"),
        (
            ["run", "--database", "postgresql://x/y", "--port", "0", "--operator-port", "0"],
            "DATABASE",
        ),
        (["run", "--epsilon", "-1"], "BAD_SETTING"),
    ],
)
def test_a_refused_command_is_reported_in_one_line(home, capsys, words, code):
    assert main([*words, "--home", str(home)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(code)
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"operator": {}}', "\0"])
def test_unreadable_settings_are_reported_in_one_line(home, capsys, text):
    (home / "server.json").write_text(text)
    assert main(["stats", "--home", str(home)]) == 1
    assert capsys.readouterr().err.startswith("BAD_SETTING")


@pytest.mark.parametrize("words", [("model", "show"), ("model", "show", "--json"), ("run",)])
def test_a_closed_output_ends_the_command_without_a_traceback(home, words):
    reader, writer = os.pipe()
    os.close(reader)
    ports = ("--port", "0", "--operator-port", "0") if words == ("run",) else ()
    process = subprocess.Popen(
        command(*words, *ports, "--home", str(home)),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (1, "")


def test_a_usage_error_exits_with_two():
    with pytest.raises(SystemExit) as caught:
        main(["nonsense"])
    assert caught.value.code == 2


@contextmanager
def running(home, *options):
    """Run `aegis-server run`; yields the process and the addresses it listens on."""
    ready = home.parent / f"ready-{os.urandom(4).hex()}.json"
    process = subprocess.Popen(
        command(
            "run",
            "--home",
            str(home),
            "--port",
            "0",
            "--operator-port",
            "0",
            "--ready-file",
            str(ready),
            *options,
        ),
        stdout=subprocess.PIPE,
    )
    try:
        assert b"ready" in process.stdout.readline()
        yield process, json.loads(ready.read_text())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def enrol(folder, text):
    """Enrol a device with an invitation. Returns the invitation and its identity."""
    folder.mkdir()
    invitation = parse_invitation(text)
    file = IdentityFile(folder, MemoryKeyStore())
    file.create()
    client = AggregatorClient(invitation.server, invitation.ca_pem, invitation.signing_key)
    enrolled = client.register(invitation.token, file.csr_pem())
    client.close()
    file.set_certificate(
        enrolled.device_id,
        enrolled.certificate_pem,
        enrolled.ca_pem,
        enrolled.erase_secret,
        enrolled.signing_key,
    )
    return invitation, file.load()


@pytest.mark.system
def test_p10_a_killed_server_loses_no_update_and_counts_none_twice(home, tmp_path, capsys):
    with running(home, "--rounds-target", "2") as (process, addresses):
        created = answer(capsys, "token", "create", "--home", str(home), "--uses", "2")
        assert created["server"] == addresses["url"]
        devices = [enrol(tmp_path / name, created["invitation"]) for name in ("one", "two")]
        invitation, identity = devices[0]
        client = AggregatorClient(
            addresses["url"], invitation.ca_pem, invitation.signing_key, identity
        )
        config = client.offer().round
        body = seal(np.full(config.d, 0.01), config, "ab" * 8)
        receipt = client.send_update(body)
        process.send_signal(signal.SIGKILL)
        process.wait()
        client.close()
    with running(home, "--rounds-target", "2") as (process, addresses):
        client = AggregatorClient(
            addresses["url"], invitation.ca_pem, invitation.signing_key, identity
        )
        assert client.send_update(body) == receipt
        other = AggregatorClient(
            addresses["url"], invitation.ca_pem, invitation.signing_key, devices[1][1]
        )
        other.send_update(seal(np.full(config.d, 0.01), other.offer().round, "cd" * 8))
        until(lambda: public_stats(other)["model_version"] >= 2, what="the new model")
        stats = public_stats(other)
        assert (stats["updates"], stats["rounds_done"]) == (2, 1)
        client.close()
        other.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    rounds = answer(capsys, "rounds", "list", "--home", str(home))["rounds"]
    assert [(one["state"], one["updates"], one["model_version"]) for one in rounds][:1] == [
        ("done", 2, 2)
    ]


def run(home, capsys, *words):
    """Exit code, stdout and stderr of a command on this home."""
    code = main([*words, "--home", str(home)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_yearly_ceremony_renews_with_keys_from_elsewhere(home, capsys, tmp_path):
    code, shown, _ = run(home, capsys, "keys", "show")
    assert code == 0
    assert "The offline keys are on this machine" in shown
    offline = shutil.move(home / "repository" / "keys" / "offline", tmp_path / "safe")
    assert "offline keys" not in run(home, capsys, "keys", "show")[1]
    code, _, line = run(home, capsys, "keys", "renew")
    assert (code, line.startswith("OFFLINE_KEYS: ")) == (1, True)
    options = ("--offline", str(offline), "--replace-online-key", "--json")
    code, output, _ = run(home, capsys, "keys", "renew", *options)
    assert code == 0
    assert json.loads(output)["offline_keys_here"] == []
    assert (home / "repository" / "metadata" / "2.root.json").exists()
