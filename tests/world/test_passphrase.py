"""A real device whose key store is a file: the wrong passphrase says so and costs nothing else."""

import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("p")
    (folder / "right").write_text("correct horse\n")
    (folder / "wrong").write_text("battery staple\n")
    installation = Installation(folder)
    installation.join(f"https://127.0.0.1:{installation.port}", key_store="passphrase")
    installation.aegis("run", "--once", "--passphrase-file", str(folder / "right"))
    yield installation
    installation.close()


def aegis(installation, *words, **options):
    return subprocess.run(
        [sys.executable, "-m", "agent", *words],
        env=installation.environ,
        capture_output=True,
        text=True,
        timeout=CYCLE_TIMEOUT_S,
        check=False,
        **options,
    )


def files_of(installation):
    home = Path(installation.environ["AEGIS_HOME"])
    return {path.name: path.read_bytes() for path in home.glob("*.aead")}


@pytest.mark.parametrize("command", [("run",), ("run", "--once"), ("unlock",), ("erase",)])
def test_a_wrong_passphrase_is_named_and_changes_nothing(joined, command):
    before = files_of(joined)
    assert len(before) == 2
    done = aegis(joined, *command, "--passphrase-file", "-", input="battery staple\n")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("aegis:")]
    assert line.startswith("aegis: PASSPHRASE_WRONG: The passphrase is wrong.")
    assert ("--here-only" in line) == (command == ("erase",))
    assert files_of(joined) == before
    assert joined.updates() == 1


def test_a_person_has_three_attempts_at_the_terminal(joined):
    ours, theirs = pty.openpty()
    with open(ours, "r+b", buffering=0) as terminal, open(theirs, "r+b", buffering=0) as child:  # noqa: PTH123
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "unlock"],
            env=joined.environ,
            stdin=child,
            stdout=subprocess.PIPE,
            stderr=child,
            start_new_session=True,
        )
        for answer in (b"a\n", b"b\n", b"correct horse\n"):
            shown = b""
            while b"key store: " not in shown:
                shown += terminal.read(1)
            terminal.write(answer)
        assert process.wait(CYCLE_TIMEOUT_S) == 0
        process.stdout.close()


def test_erasing_here_only_needs_no_passphrase(joined):
    done = aegis(joined, "erase", "--here-only", stdin=subprocess.DEVNULL)
    assert (done.returncode, files_of(joined)) == (0, {})
    assert "The server's data stays" in done.stdout
