"""Checks what works on this computer, with a remedy for what does not.

It runs on request only and sends nothing.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.clock import Clock, utc
from agent.conditions.interface import Conditions
from agent.config.effective import EffectiveConfig
from agent.config.machine_policy import read
from agent.consent.gate import Gate
from agent.enrolment.log_audit import ISSUANCE_LOG, SHAPE
from agent.enrolment.scanning_models import ScanningModels
from agent.errors import AegisError
from agent.identity.key_store_choice import KeyStoreChoice
from agent.paths import Home, existing_folder
from agent.reports.check import Check
from agent.reports.ledger import LedgerReport
from agent.reports.policy import is_faulty, policy_checks
from agent.reports.sandbox_checks import SandboxChecks
from agent.reports.work import WorkReport
from agent.store.values import Values
from agent.transport.blocking import Blocking
from agent.transport.server_clock import in_words

_STORED_WHY = (
    "The key store holds the 32 bytes that decrypt it: a key with its certificate is too large for"
    " the Windows Credential Manager."
)
MIN_FREE_BYTES = 200 * 1024 * 1024
MAX_AUDIT_AGE_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Doctor:
    """Runs every check in order."""

    home: Home
    effective: EffectiveConfig
    gate: Gate
    ledger: LedgerReport
    scanning_models: ScanningModels
    identity: "IdentityChecks"
    machine: "MachineChecks"
    sandbox: SandboxChecks

    async def checks(self) -> list[Check]:
        """Return every check. Without consent, read neither the keyring nor the machine."""
        may_look = self.gate.denial() is None
        checks = [
            Check("Python", True, sys.version.split()[0]),
            self._home(),
            self._disk(),
            *policy_checks(self.effective.policy(), self.effective.policy_lines()),
            self._consent(),
            self._ledger(),
        ]
        if may_look:
            checks.extend(await self.identity.checks())
        else:
            checks.append(Check("keyring", None, "not checked before you agree"))
        checks.append(self._model())
        if may_look:
            checks.extend(await self.machine.checks())
        else:
            checks.append(Check("this computer", None, "not checked before you agree"))
        checks.extend(await self.sandbox.checks())
        if self.home.erase_request.exists():
            checks.append(
                Check(
                    "erase request",
                    False,
                    "not confirmed by the server yet",
                    "Run aegis erase while online. AegisAI keeps trying.",
                )
            )
        return checks

    def checks_of_policy(self, content: str) -> tuple[list[Check], bool]:
        """Return what this computer would make of a policy with this content, and whether every
        line would count. Nothing is applied.
        """
        policy = read(content.encode(errors="surrogateescape"), "this policy")
        lines = self.effective.policy_lines(policy)
        return policy_checks(policy, lines), not is_faulty(policy, lines)

    def _home(self) -> Check:
        obstacle = self.home.obstacle()
        if not obstacle:
            return Check("home", True, "can be written to")
        remedy = (
            "Choose another with --home or AEGIS_HOME. Until then AegisAI only scans and shows."
        )
        return Check("home", False, f"nothing can be kept: {obstacle}", remedy)

    def _disk(self) -> Check:
        free = shutil.disk_usage(existing_folder(self.home.root)).free
        enough = free >= MIN_FREE_BYTES
        return Check(
            "disk", enough, f"{free // 2**20} MiB free", "" if enough else "Free some disk space."
        )

    def _consent(self) -> Check:
        denial = self.gate.denial()
        return Check(
            "consent",
            None if denial else True,
            self.gate.consent_status().state.value,
            f"{denial.message} {denial.remedy}" if denial else "",
        )

    def _ledger(self) -> Check:
        problems = self.ledger.verify_ledger()
        return Check(
            "ledger",
            not problems,
            "; ".join(problems) or "whole",
            "Run aegis ledger --verify." if problems else "",
        )

    def _model(self) -> Check:
        model = self.scanning_models.described()
        if not model.version:
            return Check(
                "model", True, "version 0, the demonstration model that ships with AegisAI"
            )
        kind = ", a demonstration model" if model.demonstration else ""
        return Check("model", True, f"version {model.version}{kind}")


@dataclass(frozen=True)
class IdentityChecks:
    """Checks the key store, the certificate and the authority's issuance log."""

    home: Home
    clock: Clock
    effective: EffectiveConfig
    values: Values
    keys: KeyStoreChoice
    blocking: Blocking

    async def checks(self) -> list[Check]:
        """Return the checks. This reads the keyring."""
        facts = await self.blocking(lambda: self.keys.key_store().describe())
        remedy = "" if facts.problem is None else f"{facts.problem.code}: {facts.problem}"
        keyring = Check("keyring", facts.usable, f"{facts.kind}: {facts.backend}", remedy)
        if not self.keys.has_identity():
            return [keyring, Check("identity", None, "none yet; the first cycle creates it")]
        try:
            identity = await self.blocking(self.keys.identity_file().load)
        except AegisError as error:
            return [keyring, Check("identity", False, error.message, error.remedy)]
        enrolment = self.effective.enrolment()
        roots = enrolment.ca_pem.count("-----BEGIN CERTIFICATE-----") if enrolment else 0
        now = self.clock.now()
        is_early, is_current = now < identity.not_before, identity.not_after > now
        return [
            keyring,
            Check(
                "certificate",
                is_current and not is_early,
                f"valid from {utc(identity.not_before)} until {utc(identity.not_after)}",
                "Set this computer's clock: it is at least"
                f" {in_words(identity.not_before - now)} behind."
                if is_early
                else "AegisAI renews it when it is online."
                if not is_current
                else "",
            ),
            Check(
                "certificate storage",
                None,
                f"encrypted with its key in {self.home.identity.name}",
                _STORED_WHY,
            ),
            Check("trust roots", roots == 1, str(roots)),
            self._issuance_log(identity.fingerprint),
        ]

    def _issuance_log(self, fingerprint: str) -> Check:
        head: dict[str, Any] | None = self.values.get(ISSUANCE_LOG, SHAPE)
        if head is None or head["certificate"] != fingerprint:
            return Check("issuance log", None, "not checked yet; the next cycle does")
        is_fresh = self.clock.now() - head["at"] < MAX_AUDIT_AGE_S
        count = "1 entry" if head["size"] == 1 else f"{head['size']} entries"
        return Check(
            "issuance log",
            is_fresh,
            f"{count}, this certificate among them, checked {utc(head['at'])}",
            "" if is_fresh else "The server has not shown it for a week. Inform the operator.",
        )


@dataclass(frozen=True)
class MachineChecks:
    """Checks what the agent measures on this computer."""

    conditions: Conditions
    work: WorkReport

    async def checks(self) -> list[Check]:
        """Return what the conditions measure, where, and the verdict. This reads the machine."""
        await self.conditions.poll()
        return [*self._readings(), *self._verdicts(), *self._work()]

    def _readings(self) -> Iterator[Check]:
        for reading in self.conditions.readings():
            yield Check(f"reads {reading.name}", None, f"{reading.value}: {reading.source}")
        if note := self.conditions.note():
            yield Check("readings", None, note)

    def _verdicts(self) -> Iterator[Check]:
        for name, reasons in (
            ("may train", self.conditions.may_train()),
            ("may send", self.conditions.may_send()),
        ):
            yield Check(name, None, " ".join(reason.text for reason in reasons) or "yes")

    def _work(self) -> Iterator[Check]:
        work, stop = self.work.view(), self.work.last_stop()
        measured = (
            f"it uses {work.measured_text}" if work.measured_text else "no training is running"
        )
        yield Check("processor limit", None, f"{work.limit_text}; {measured}")
        if stop is not None:
            yield Check("last stop", None, stop.text)
