"""The doctor shows each attempt to leave the sandbox, refused or possible, and the reason."""

import sys

import pytest

from agent.errors import InternalError
from agent.protocol.jobs import Attempted, EscapeResult
from agent.reports.sandbox_checks import SandboxChecks
from agent.sandbox.minimum import Offered
from agent.sandbox.rules import RULES

WHOLE = Offered(system_calls=True, landlock=7, private_agent=True)
OLD_KERNEL = Offered(system_calls=True, landlock=0, private_agent=True)
REFUSED = EscapeResult(RULES, (Attempted("network", ""), Attempted("person's files", "")))
READS = EscapeResult(RULES[1:], (Attempted("network", ""), Attempted("person's files", "reading")))


async def found(result, offered=WHOLE):
    async def attempt():
        if isinstance(result, Exception):
            raise result
        return result

    return {check.name: check for check in await SandboxChecks(attempt, lambda: offered).checks()}


@pytest.fixture(autouse=True)
def linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")


async def test_each_attempt_is_a_line_of_its_own():
    checks = await found(REFUSED)
    assert (checks["worker sandbox"].ok, checks["worker sandbox"].remedy) == (True, "")
    assert [checks[f"escape: {name}"].value for name in ("network", "person's files")] == [
        "refused",
        "refused",
    ]
    assert checks["Landlock"].value.startswith("version 7: named files only, no TCP")
    assert checks["files that nobody named"].ok


async def test_p12_what_is_possible_is_named_with_its_reason():
    checks = await found(READS, OLD_KERNEL)
    assert checks["escape: network"].ok
    possible = checks["escape: person's files"]
    assert (possible.ok, possible.value) == (False, "possible: reading")
    assert possible.remedy == "This system lacks Landlock."
    assert "named files only" in checks["worker sandbox"].remedy
    assert checks["Landlock"].value == "none"
    unnamed = checks["files that nobody named"]
    assert (unnamed.ok, unnamed.value) == (False, "not read here")
    assert "Landlock" in unnamed.remedy


async def test_p12_a_rule_that_is_offered_and_not_in_force_does_not_count():
    checks = await found(READS, WHOLE)
    assert checks["Landlock"].value.startswith("version 7")
    assert checks["escape: person's files"].remedy == "This system lacks Landlock."
    assert checks["files that nobody named"].ok is False


async def test_an_escape_from_a_whole_sandbox_is_to_be_reported():
    checks = await found(EscapeResult(RULES, (Attempted("network", "Unix socket"),)))
    assert checks["escape: network"].remedy == "Report this."


@pytest.mark.parametrize("error", [InternalError("WORKER_CRASHED", "x", "y"), OSError("no")])
async def test_a_worker_that_cannot_try_proves_nothing(error):
    checks = await found(error)
    assert (checks["worker sandbox"].ok, checks["worker sandbox"].value) == (
        None,
        "could not be tested here",
    )
    assert not [name for name in checks if name.startswith("escape")]


async def test_another_operating_system_is_called_unverified(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    checks = await found(EscapeResult(("no network",), ()), Offered(False, 0, False))
    assert "unverified" in checks["worker sandbox"].remedy
    assert checks["files that nobody named"].ok is False
