"""Methods about consent: the notice, the decision, and the example shown before it."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent.api.methods import Method, Result, bad_params
from agent.clock import Clock
from agent.config.effective import EffectiveConfig
from agent.consent.gate import Gate
from agent.consent.prompting import may_prompt
from agent.consent.record import Act, ConsentStatus, Evidence, Record
from agent.consent.withdrawal import not_saved
from agent.consent.wording import PURPOSE
from agent.errors import AegisError, UserActionError
from agent.paths import Home
from agent.reports.viewing_copies import ViewingCopies
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.collector import Collector
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.status import ConsentState, Status
from agent.store.values import Values

if TYPE_CHECKING:
    from agent.supervisor.worker import Worker

log = logging.getLogger(__name__)

MAX_SURFACE_CHARACTERS = 40
_PROMPTED = "prompted"
"""Key of the value that stores state, notice id and time of the last prompt."""


@dataclass(frozen=True)
class ConsentMethods:
    """Shows the notice and records the person's decision."""

    clock: Clock
    values: Values
    effective: EffectiveConfig
    record: Record
    gate: Gate
    budget_gate: BudgetGate
    runner: RoundRunner
    collector: Collector
    signals: Signals
    status: Callable[[], Status]

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        decision = {"notice_id": str, "text_sha256": str, "surface": str, "locale": str}
        return {
            "consent.show": Method(self.show, {}, {"locale": str}),
            "consent.grant": Method(self.grant, decision),
            "consent.refuse": Method(self.refuse, decision),
            "consent.dismiss": Method(self.dismiss, {"notice_id": str, "surface": str}),
            "consent.prompt": Method(self.prompt),
            "consent.withdraw": Method(self.withdraw, {"surface": str}),
            "consent.go_on": Method(self.go_on),
        }

    async def show(self, locale: str = "") -> Result:
        notice = self.effective.notice(locale)
        return {**asdict(notice), "state": self.gate.consent_status().state.value}

    async def grant(self, notice_id: str, text_sha256: str, surface: str, locale: str) -> Result:
        state = self.gate.consent_status().state
        if state is not ConsentState.GRANTED:
            evidence = self._evidence(notice_id, text_sha256, surface, locale)
            if state in (ConsentState.WITHDRAWN, ConsentState.REFUSED):
                await self.runner.finish_withdrawal()
            self._decide(Act.GRANT, evidence)
            self.signals.user_changed()
        return self._status()

    async def refuse(self, notice_id: str, text_sha256: str, surface: str, locale: str) -> Result:
        self._decide(Act.REFUSE, self._evidence(notice_id, text_sha256, surface, locale))
        return self._status()

    async def dismiss(self, notice_id: str, surface: str) -> Result:
        if self.gate.consent_status().state in (ConsentState.UNASKED, ConsentState.STALE):
            self._decide(Act.DISMISS, Evidence(notice_id, "", "", surface))
        return self._status()

    async def prompt(self) -> Result:
        """Say whether a window may open by itself now; a yes counts as the prompt (C17)."""
        facts, consent_status = self.effective.gate_facts(), self.gate.consent_status()
        now, prompted = self.clock.now(), self.values.get(_PROMPTED, [str, str, int])
        is_off = facts.do_not_track or bool(facts.policy_denied) or self.record.fault is not None
        allowed = not is_off and may_prompt(
            consent_status, facts.notice_id, tuple(prompted) if prompted else None, now
        )
        if allowed:
            self.values.put(_PROMPTED, [consent_status.state.value, facts.notice_id, now])
        return {"allowed": allowed}

    async def go_on(self) -> Result:
        """Allow a model that has had its share of the budget one share more (P4)."""
        self.gate.permit()
        self.budget_gate.go_on()
        self.signals.user_changed()
        return self._status()

    async def withdraw(self, surface: str) -> Result:
        """Withdraw or refuse: works in every state, offline, on a full disk, and again (P2).

        It acts in memory first. Raises UserActionError NOT_SAVED once everything has stopped, if
        the disk took nothing.
        """
        _check_surface(surface)
        before = self.gate.consent_status()
        is_saved = self.record.withdraw(surface)
        await self.runner.withdraw()
        is_saved |= self._recorded(before, surface)
        with suppress(AegisError):  # a full disk: a running agent, or the next start, tries again
            self.collector.tidy()
        self.signals.changed()
        if not is_saved:
            raise not_saved()
        return self._status()

    def _recorded(self, before: ConsentStatus, surface: str) -> bool:
        """Write the withdrawal into the record too, as far as the disk allows."""
        act = {ConsentState.GRANTED: Act.WITHDRAW, ConsentState.STALE: Act.REFUSE}.get(before.state)
        try:
            if act is None:
                self.record.catch_up()
            else:
                notice = self.effective.notice("")
                evidence = Evidence(notice.notice_id, notice.text_sha256, notice.locale, surface)
                origin = self.effective.policy().origin
                self.record.act(before, act, evidence, PURPOSE, origin)
        except AegisError as error:
            log.warning("consent.record_behind code=%s", error.code)
            return False
        return True

    def _evidence(self, notice_id: str, text_sha256: str, surface: str, locale: str) -> Evidence:
        """Return the evidence for a decision on exactly these words.

        Raises UserActionError NOTICE_CHANGED when they are not the current ones.
        """
        notice = self.effective.notice(locale)
        if (notice.notice_id, notice.text_sha256) != (notice_id, text_sha256):
            raise UserActionError(
                "NOTICE_CHANGED",
                "This is not the current notice; nothing was changed.",
                "Read the current one: aegis consent show.",
            )
        return Evidence(notice_id, text_sha256, notice.locale, surface)

    def _decide(self, act: Act, evidence: Evidence) -> None:
        _check_surface(evidence.surface)
        origin = self.effective.policy().origin
        self.record.act(self.gate.consent_status(), act, evidence, PURPOSE, origin)
        self.signals.changed()

    def _status(self) -> Result:
        return self.status().to_json()


def _check_surface(surface: str) -> None:
    if len(surface) > MAX_SURFACE_CHARACTERS or not surface.isprintable():
        raise bad_params("surface: expected a short word.")


@dataclass(frozen=True)
class PreviewMethods:
    """Shows on a bundled example what would be read and sent."""

    home: Home
    effective: EffectiveConfig
    worker: "Callable[[], Worker]"
    copies: ViewingCopies

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {"preview": Method(self.preview)}

    async def preview(self) -> Result:
        from agent.reports.example import preview

        return await preview(self.worker(), self.effective.budget(), self.home.scratch, self.copies)
