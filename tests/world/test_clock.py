"""A real device whose clock is off, and a real server: by libfaketime.

The server decides what is open. What the clock causes says so, and by how much; it never asks for a
new invitation.
"""

import json
import shutil
import subprocess
import sys

import pytest

from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("faketime") is None, reason="needs the package faketime"),
]
TAKES_PART = ("-2h", "-30m", "+30m", "+2h")
WRONG = {
    "-1d": "24 hours behind",
    "-3d": "3 days behind",
    "+40d": "40 days ahead of",
    "1970-01-02 00:00:00": "years behind",
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("clock"))
    installation.join(f"https://127.0.0.1:{installation.port}")
    yield installation
    installation.close()


@pytest.fixture(scope="module")
def enrolled(installation):
    """The home of a device that has registered and not yet contributed to the round: the server
    learns of the device under the right clock, but the round waits for more rows.
    """
    saved = installation.folder / "saved"
    installation.aegis("samples", "clear")
    assert installation.aegis("run", "--once")["outcome"] == "nothing_to_learn"
    shutil.copytree(installation.folder / "device", saved)
    return saved


def at(installation, home, when):
    """Run one cycle of a copy of `home` at another time; the exit code and both outputs."""
    copy = installation.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy)
    moved = ("-f", when) if when[0] in "+-" else (when,)
    done = subprocess.run(
        ["faketime", *moved, sys.executable, "-m", "agent", "run", "--once", "--json"],
        env={**installation.environ, "AEGIS_HOME": str(copy)},
        capture_output=True,
        text=True,
        timeout=CYCLE_TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("when", TAKES_PART)
def test_the_server_decides_what_is_open(installation, enrolled, when):
    code, output, errors = at(installation, enrolled, when)
    assert code == 0, errors
    # It has found the round open: "no round is open" comes before the rows are counted.
    assert json.loads(output)["outcome"] == "nothing_to_learn"


@pytest.mark.parametrize("when", WRONG)
def test_a_wrong_clock_is_named_and_by_how_much(installation, enrolled, when):
    code, _, errors = at(installation, enrolled, when)
    assert code == 1
    (line,) = (line for line in errors.splitlines() if line.startswith("aegis: "))
    assert "CLOCK_WRONG" in line
    assert WRONG[when] in line
    assert "Set this computer's clock" in line
    assert "invitation" not in errors


def test_consent_that_expired_by_a_wrong_clock_shows_the_date(installation, enrolled):
    code, _, errors = at(installation, enrolled, "+3650d")
    assert code == 1
    assert "By this computer's clock (203" in errors
    assert "set this computer's clock" in errors


def test_a_device_whose_certificate_ran_out_by_its_clock_alone_keeps_it(installation, enrolled):
    """Eight days ahead: the certificate of seven days is valid by the server's clock."""
    code, _, errors = at(installation, enrolled, "+8d")
    assert code == 1
    assert "8 days ahead" in errors


def test_a_slow_device_registers_and_sends_and_a_very_slow_one_learns_why_not(
    installation, tmp_path
):
    """Nothing is known of the server's time but what it says itself."""
    home = tmp_path / "fresh"
    environ = installation.environ
    installation.environ = {**environ, "AEGIS_HOME": str(home)}
    try:
        installation.join(f"https://127.0.0.1:{installation.port}")
    finally:
        installation.environ = environ
    code, _, errors = at(installation, home, "-40d")
    assert (code, "40 days behind" in errors) == (1, True), errors
    code, output, errors = at(installation, home, "-30m")
    assert code == 0, errors
    assert json.loads(output)["outcome"] == "sent"
