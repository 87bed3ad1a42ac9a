"""Shows the ledger's charges and uploads, and verifies that they agree."""

from dataclasses import asdict, dataclass
from typing import Any

from agent.clock import utc
from agent.config.effective import EffectiveConfig
from agent.errors import AegisError, UserActionError
from agent.reports.budget import BudgetReport
from agent.store.ledger import Charge, Ledger, OutboxEntry, OutboxState


@dataclass(frozen=True)
class LedgerReport:
    """Reads the ledger afresh each time."""

    ledger: Ledger
    effective: EffectiveConfig
    budget: BudgetReport

    def page(self, offset: int, limit: int, *, verify: bool, seal_note: str = "") -> dict[str, Any]:
        """Return charges and outbox entries, newest last, with the totals of all.

        `verified` is None unless `verify` is set. `seal_note` says why the seals could not be
        checked.
        """
        from agent.privacy.zcdp import RHO_UNIT

        problems = self.verify_ledger() if verify else None
        charges, seal = self._as_found(), self.ledger.sealed.state()
        totals, budget = self.ledger.totals(), self.budget.view()
        rho_units = sum(charge.rho_units for charge in charges)
        return {
            "charges": [
                charge_json(number, charge, budget.delta)
                for number, charge in enumerate(charges[offset : offset + limit], offset + 1)
            ],
            "outbox": [outbox_json(entry) for entry in self.ledger.entries(offset, limit)],
            "totals": {
                "charges": len(charges),
                "rho_units": rho_units,
                "rho": rho_units * RHO_UNIT,
                "epsilon_ledger": budget.epsilon_ledger,
                "epsilon_local": budget.epsilon_local,
                "epsilon_lifetime": budget.epsilon_lifetime,
                "epsilon_period": budget.epsilon_period,
                "epsilon_lifetime_ceiling": budget.epsilon_lifetime_ceiling,
                "epsilon_local_lifetime": budget.epsilon_local_lifetime,
                "delta": budget.delta,
                "sent": totals.sent,
                "bytes_up": totals.bytes_up,
            },
            "verified": None if problems is None else not problems,
            "problems": problems or [],
            "seal": {
                "verified": seal.is_verified,
                "sealed_at": seal.sealed_at,
                "unsealed": seal.unsealed,
                "note": seal_note,
            },
        }

    def _as_found(self) -> list[Charge]:
        """Return the charges, even of a ledger that counts as spent; none of a broken chain."""
        try:
            return self.ledger.charges(as_found=True)
        except UserActionError:
            return []

    def verify_ledger(self) -> list[str]:
        """Return what does not agree, the signatures of receipts included; empty when all does."""
        problems = self.ledger.problems()
        enrolment = self.effective.enrolment()
        signing_key = enrolment.signing_key if enrolment else ""
        problems.extend(
            f"The receipt of entry {entry.charge_seq} does not carry the aggregator's signature."
            for entry in self.ledger.entries()
            if entry.state is OutboxState.ACKNOWLEDGED and not _is_signed(entry, signing_key)
        )
        return problems


def charge_json(number: int, charge: Charge, delta: float) -> dict[str, Any]:
    """Return a charge with its price in ρ and in ε, each as if it were the only one.

    `epsilon` is the ledger's; `epsilon_local` holds if the sum's protection fails.
    """
    from agent.privacy.zcdp import RHO_UNIT, epsilon

    return {
        "seq": number,
        **asdict(charge),
        "time": utc(charge.at),
        "rho": charge.rho_units * RHO_UNIT,
        "epsilon": epsilon(charge.rho_units, delta),
        "epsilon_local": epsilon(charge.rho_local_units, delta),
    }


def outbox_json(entry: OutboxEntry) -> dict[str, Any]:
    return {**asdict(entry), "state": entry.state.value}


def _is_signed(entry: OutboxEntry, signing_key: str) -> bool:
    from agent.protocol.signing import Context, verify

    receipt = entry.receipt or {}
    try:
        verify(signing_key, Context.RECEIPT, receipt["receipt"], receipt["signature"])
    except (KeyError, AegisError):
        return False
    return True
