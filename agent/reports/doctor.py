"""What works on this machine and what does not, each with the mend.

Shown on request only, never sent.
"""

import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.clock import utc
from agent.enrolment.client import ISSUANCE_LOG
from agent.errors import AegisError
from agent.identity.identity import FILE_NAME
from agent.reports.status_builder import work_view

if TYPE_CHECKING:
    from agent.app import Agent

_KEYRING_MEND = (
    "unlock or start the keyring of your login, or choose another key_store in the settings before"
    " joining."
)
_KEPT_WHY = (
    "The key store holds the 32 bytes that open it: a key with its certificate is too large for the"
    " Windows Credential Manager."
)
MIN_FREE_BYTES = 200 * 1024 * 1024
MAX_AUDIT_AGE_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool | None
    """None: not looked at, or neither good nor bad."""
    value: str
    mend: str = ""


async def checks(agent: "Agent") -> list[Check]:
    """Every check in order. The keyring is only asked when consent is granted."""
    found = [
        Check("Python", True, sys.version.split()[0]),
        _disk(agent),
        _policy(agent),
        _consent(agent),
        _ledger(agent),
        *await _identity(agent),
        _model(agent),
        *await _machine(agent),
        *await _fences(agent),
    ]
    if agent.home.erase_request.exists():
        found.append(
            Check(
                "erase request",
                False,
                "not confirmed by the server yet",
                "Run aegis erase while online; AegisAI keeps trying.",
            )
        )
    return found


def _disk(agent: "Agent") -> Check:
    free = shutil.disk_usage(agent.home.root).free
    enough = free >= MIN_FREE_BYTES
    return Check(
        "disk", enough, f"{free // 2**20} MiB free", "" if enough else "Free some disk space."
    )


def _policy(agent: "Agent") -> Check:
    policy = agent.effective.policy()
    if policy.denied:
        return Check("policy", False, policy.denied, "Ask your IT.")
    managed = ", ".join(sorted(policy.bounds)) or "nothing"
    return Check("policy", True, f"{policy.origin} manages {managed}" if policy.origin else "none")


def _consent(agent: "Agent") -> Check:
    denial = agent.gate.denial()
    state = agent.gate.consent_status().state.value
    return Check(
        "consent",
        None if denial else True,
        state,
        f"{denial.message} {denial.remedy}" if denial else "",
    )


def _ledger(agent: "Agent") -> Check:
    from agent.reports.export import problems_of

    problems = problems_of(agent)
    return Check(
        "ledger",
        not problems,
        "; ".join(problems) or "whole",
        "Run aegis ledger --verify." if problems else "",
    )


async def _identity(agent: "Agent") -> list[Check]:
    if agent.gate.denial() is not None:
        return [Check("keyring", None, "not asked before you have agreed")]
    facts = await agent.blocking(lambda: agent.keystore().describe())
    mend = "" if facts.usable else f"{facts.problem}: {_KEYRING_MEND}"
    found = [Check("keyring", facts.usable, f"{facts.kind}: {facts.backend}", mend)]
    if not agent.identity_file_exists():
        return [*found, Check("identity", None, "none yet; the first pass makes it")]
    try:
        identity = await agent.blocking(agent.identity_file().load)
    except AegisError as error:
        return [*found, Check("identity", False, error.message, error.remedy)]
    enrolment = agent.effective.enrolment()
    roots = enrolment.ca_pem.count("-----BEGIN CERTIFICATE-----") if enrolment else 0
    current = identity.not_after > agent.clock.now()
    return [
        *found,
        Check(
            "certificate",
            current,
            f"ends {utc(identity.not_after)}",
            "" if current else "AegisAI renews it when it is online.",
        ),
        Check("certificate is kept", None, f"with its key in {FILE_NAME}, encrypted", _KEPT_WHY),
        Check("trust roots", roots == 1, str(roots)),
        _issuance_log(agent, identity.fingerprint),
    ]


def _issuance_log(agent: "Agent", fingerprint: str) -> Check:
    held = agent.values.get(ISSUANCE_LOG)
    if held is None or held["certificate"] != fingerprint:
        return Check("issuance log", None, "not looked at yet; the next pass does")
    fresh = agent.clock.now() - held["at"] < MAX_AUDIT_AGE_S
    count = "1 entry" if held["size"] == 1 else f"{held['size']} entries"
    value = f"{count}, this certificate among them, looked at {utc(held['at'])}"
    return Check(
        "issuance log",
        fresh,
        value,
        "" if fresh else "The server has not shown it for a week. Tell the operator.",
    )


async def _machine(agent: "Agent") -> list[Check]:
    """What the conditions read, where from, and what they say; nothing is read before a yes."""
    if agent.gate.denial() is not None:
        return [Check("this computer", None, "not looked at before you have agreed")]
    await agent.conditions.look()
    found = [
        Check(f"reads {reading.name}", None, f"{reading.value}: {reading.source}")
        for reading in agent.conditions.readings()
    ]
    if note := agent.conditions.note():
        found.append(Check("readings", None, note))
    for name, reasons in (
        ("may train", agent.conditions.may_train()),
        ("may send", agent.conditions.may_send()),
    ):
        found.append(Check(name, None, " ".join(reason.text for reason in reasons) or "yes"))
    work = work_view(agent)
    measured = (
        f"; it takes {work.measured_text}" if work.measured_text else "; nothing is trained now"
    )
    found.append(Check("processor limit", None, work.limit_text + measured))
    if agent.last_stop is not None:
        found.append(Check("last stop", None, agent.last_stop.text))
    return found


async def _fences(agent: "Agent") -> list[Check]:
    """Each fence around the worker, tried in a child of its own."""
    from agent.sandbox.probe import FENCES, held_here

    held = await agent.blocking(held_here)
    if not held:
        return [Check("fences of the worker", None, "could not be tried here")]
    missing = [name for name in FENCES if not held.get(name)]
    value = ", ".join(name for name in FENCES if held.get(name)) or "none"
    return [
        Check(
            "fences of the worker",
            not missing,
            value,
            f"This system does not offer: {', '.join(missing)}." if missing else "",
        )
    ]


def _model(agent: "Agent") -> Check:
    floor = agent.model_store().floor()
    return Check(
        "model",
        True,
        (
            f"version {floor.version}"
            if floor.version
            else "version 0, the demonstration model that came with AegisAI"
        ),
    )
