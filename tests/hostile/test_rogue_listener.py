"""Another user of this computer listens where a person's programs look for their agent, and leaves
traps where they write. Real processes under three user ids.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.fakes import other_user
from tests.fakes.other_user import NEIGHBOUR, PERSON, needs_users
from tests.fakes.timeouts import TIMEOUT_S

pytestmark = [pytest.mark.system, needs_users]

ROGUE = """
import json, os, select, socket, sys
folder, target, *names = sys.argv[1:]
if not os.path.isdir(folder):
    os.mkdir(folder)
    os.chmod(folder, 0o777)
def frame(message):
    body = json.dumps(message).encode()
    return len(body).to_bytes(4, "big") + body
listeners = []
for name in names:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, name))
    os.chmod(os.path.join(folder, name), 0o777)
    listener.listen()
    listeners.append(listener)
print("listening", flush=True)
while True:
    for listener in select.select(listeners, [], [])[0]:
        peer, _ = listener.accept()
        try:
            for protocol in (PROTOCOL,):
                hello = {"event": "hello", "protocol": protocol, "app_version": "0.1.0"}
                peer.sendall(frame(hello))
            received = peer.recv(65536)
            print("received", received[4:].decode(errors="replace"), flush=True)
            peer.sendall(frame({"id": 1, "result": {}, "file": target}))
        except OSError as error:
            print("received", flush=True)
        peer.close()
"""
"""Greets as an agent, prints what it is sent, and answers with the name of a file."""


@pytest.fixture
def place():
    """A folder of the person in a folder that everybody can enter."""
    with tempfile.TemporaryDirectory(prefix="aegisai-rogue-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "person").mkdir()
        os.chown(folder / "person", PERSON, PERSON)
        yield folder / "person"


def aegis(place, *words, **environ):
    return other_user.run(
        PERSON,
        *("-P", "-m", "agent", *words),
        environ={"HOME": str(place), "AEGIS_HOME": str(place / "home"), **environ},
        timeout=TIMEOUT_S,
    )


def belongs_to_the_person(path, content):
    path.write_text(content)
    os.chown(path, PERSON, PERSON)
    path.chmod(0o600)


@pytest.fixture
def rogue():
    """Starts a rogue of another user; returns its process."""
    started, made = [], []

    def start(folder, target, *names):
        made.append(folder)
        script = f"from agent.ipc.client import PROTOCOL\n{ROGUE}"
        process = other_user.start(NEIGHBOUR, "-P", "-c", script, str(folder), str(target), *names)
        started.append(process)
        assert process.stdout.readline() == "listening\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.stdout.close()
        process.wait()
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


def said(process):
    """Everything that the rogue was sent."""
    process.terminate()
    return process.stdout.read()


def old_names(place):
    """The names that a socket of this home has in a runtime folder."""
    code = (
        "import sys; from pathlib import Path; from agent.paths import Home;"
        "print(Home(Path(sys.argv[1])).name)"
    )
    _, out, _ = other_user.run(PERSON, "-c", code, str(place / "home"), timeout=TIMEOUT_S)
    name = out.strip()
    return [f"{name}.sock", f"{name}-agent.sock", f"{name}-tray.sock", f"{name}-window.sock"]


def test_a_listener_in_the_temporary_folder_gets_no_token_and_no_file(place, rogue):
    diary = place / "diary.json"
    belongs_to_the_person(diary, '{"secret": 1}')
    folder = Path(tempfile.gettempdir()) / f"aegisai-{PERSON}"
    process = rogue(folder, diary, *old_names(place))
    # No agent runs, so the command answers by itself: it cannot join without a certificate.
    code, _, err = aegis(place, "enroll", "--server", "https://a.example", "--token", "T1")
    assert (code, "BAD_SERVER" in err) == (1, True), err
    assert aegis(place, "status", "--json")[0] == 0
    assert "T1" not in said(process)
    assert diary.read_text() == '{"secret": 1}'


def test_a_listener_in_the_home_itself_is_no_agent(place, rogue):
    """As where somebody else may write to the home's folder, or listened before it was private."""
    diary, run = place / "diary.json", place / "home" / "run"
    belongs_to_the_person(diary, '{"secret": 1}')
    assert aegis(place, "resume")[0] == 0
    run.mkdir(exist_ok=True)
    os.chown(run, PERSON, PERSON)
    run.chmod(0o777)
    (place / "home").chmod(0o755)
    process = rogue(run, diary, "agent.sock")
    run.chmod(0o700)
    (place / "home").chmod(0o700)
    # The folder is private again, and the rogue's socket is still in it.
    code, _, err = aegis(place, "enroll", "--server", "https://a.example", "--token", "T1")
    assert (code, "CHANNEL_FOREIGN" in err) == (1, True), err
    run.chmod(0o777)
    code, _, err = aegis(place, "enroll", "--server", "https://a.example", "--token", "T1")
    assert (code, "CHANNEL_UNSAFE" in err) == (1, True), err
    code, out, _ = aegis(place, "consent", "withdraw", "--json")
    assert (code, json.loads(out)["state"]) == (0, "WITHDRAWN")
    assert "T1" not in said(process)
    assert diary.read_text() == '{"secret": 1}'


def test_a_home_that_another_user_made_first_is_refused(place):
    trap = place.parent / "trap"
    trap.mkdir()
    trap.chmod(0o777)
    os.chown(trap, NEIGHBOUR, NEIGHBOUR)
    for words in (("status",), ("consent", "withdraw"), ("run",)):
        code, _, err = aegis(place, *words, "--home", str(trap))
        assert (code, "HOME_FOREIGN" in err) == (1, True), (words, err)
    assert list(trap.iterdir()) == []


def test_root_does_not_leave_files_in_a_persons_home(place):
    assert aegis(place, "resume")[0] == 0
    code, _, err = other_user.run(
        0,
        *("-P", "-m", "agent", "consent", "withdraw"),
        environ={"HOME": "/", "AEGIS_HOME": str(place / "home")},
        timeout=TIMEOUT_S,
    )
    assert (code, "HOME_FOREIGN" in err) == (1, True), err
    assert all(path.lstat().st_uid == PERSON for path in (place / "home").rglob("*"))


HOMES = {
    "lock": ("lock",),
    "store": ("agent.sqlite3",),
    "journal": ("agent.sqlite3-wal",),
    "others": (
        "demo",
        "erase.pending",
        "identity.aead",
        "ledger-head",
        "logs/agent.log",
        "model-seen-at",
        "run/agent.sock",
        "run/sockets-in",
        "withdrawn",
    ),
}
"""Files that the program opens in its home, by the homes in which traps take their places."""


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_trap_in_the_place_of_a_file_changes_nothing_else_and_delays_nobody(place, kind):
    """Each command ends, and the target of the links is whole."""
    target = place / "precious"
    belongs_to_the_person(target, "precious")
    target.chmod(0o640)
    assert aegis(place, "resume")[0] == 0
    (place / "home" / "run").mkdir(mode=0o700)
    for name, files in HOMES.items():
        home = place / name
        _copy(place / "home", home)
        for trap in (home / file for file in files):
            trap.unlink(missing_ok=True)
            if kind == "link":
                trap.symlink_to(target)
            else:
                os.mkfifo(trap)
            os.chown(trap, PERSON, PERSON, follow_symlinks=False)
        for words in (("run", "--once"), ("consent", "withdraw")):
            code, _, err = aegis(place, *words, "--home", str(home))
            assert "Traceback" not in err, (name, words, err)
            assert code in (0, 1), (name, words, err)
        assert target.read_text() == "precious", name
        assert target.stat().st_mode & 0o777 == 0o640, name


def _copy(home, target):
    shutil.copytree(home, target)
    for path in (target, *target.rglob("*")):
        os.chown(path, PERSON, PERSON)
    target.chmod(0o700)
