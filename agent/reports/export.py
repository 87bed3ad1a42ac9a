"""Everything that is held about this person, as plain values: the ledger's pages and the export
(C19).
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.clock import utc
from agent.errors import AegisError
from agent.store.ledger import Charge, OutboxEntry, Sending

if TYPE_CHECKING:
    from agent.app import Agent

EXPORT_VERSION = 1


def ledger_page(agent: "Agent", offset: int, limit: int, *, verify: bool) -> dict[str, Any]:
    """Charges and outbox entries, newest last, with the totals.

    `verified` is None unless asked for.
    """
    from agent.privacy.zcdp import RHO_UNIT
    from agent.reports.status_builder import budget_view

    problems = problems_of(agent) if verify else None
    charges = agent.ledger.charges() if not problems else []
    totals = agent.ledger.totals()
    budget = budget_view(agent)
    return {
        "charges": [
            charge_json(number, charge, budget.delta) for number, charge in enumerate(charges, 1)
        ][offset : offset + limit],
        "outbox": [outbox_json(entry) for entry in agent.ledger.entries(offset, limit)],
        "totals": {
            "charges": len(charges),
            "rho_units": sum(charge.rho_units for charge in charges),
            "rho": sum(charge.rho_units for charge in charges) * RHO_UNIT,
            "epsilon_ledger": budget.epsilon_ledger,
            "epsilon_local": budget.epsilon_local,
            "epsilon_lifetime": budget.epsilon_lifetime,
            "epsilon_period": budget.epsilon_period,
            "epsilon_lifetime_ceiling": budget.epsilon_lifetime_ceiling,
            "delta": budget.delta,
            "sent": totals.sent,
            "bytes_up": totals.bytes_up,
        },
        "verified": None if problems is None else not problems,
        "problems": problems or [],
    }


def problems_of(agent: "Agent") -> list[str]:
    """What does not fit together in the ledger, receipts' signatures included; empty when all is
    well.
    """
    found = agent.ledger.problems()
    enrolment = agent.effective.enrolment()
    for entry in agent.ledger.entries():
        if entry.state is Sending.ACKNOWLEDGED and not _is_signed(
            entry, enrolment.signing_key if enrolment else ""
        ):
            found.append(
                f"The receipt of entry {entry.charge_seq} does not carry the aggregator's"
                " signature."
            )
    return found


def charge_json(number: int, charge: Charge, delta: float) -> dict[str, Any]:
    """A charge with its price in ρ and in ε, as if alone: the ledger's, and what holds if the sum's
    protection fails.
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


def export(agent: "Agent") -> dict[str, Any]:
    """Everything held here about this person, in one document (docs/schemas/export.schema.json).

    Secrets are not part of it.
    """
    import base64

    enrolment = agent.effective.enrolment()
    bodies = {entry.attempt: agent.ledger.body(entry.attempt) for entry in agent.ledger.entries()}
    return {
        "export_version": EXPORT_VERSION,
        "app_version": __version__,
        "made_at": agent.clock.now(),
        "consent": [asdict(entry) for entry in agent.record.entries()],
        "settings": [entry.to_json() for entry in agent.effective.settings().all()],
        "operator": None if enrolment is None else asdict(enrolment.operator),
        "ledger": ledger_page(agent, 0, 1_000_000, verify=True),
        "sent_bytes": {
            attempt: base64.b64encode(body).decode()
            for attempt, body in bodies.items()
            if body is not None
        },
        "samples": agent.samples.everything(),
        "status": agent.status().to_json(),
    }


def _is_signed(entry: OutboxEntry, signing_key: str) -> bool:
    from agent.protocol.signing import Context, verify

    receipt = entry.receipt or {}
    try:
        verify(signing_key, Context.RECEIPT, receipt["receipt"], receipt["signature"])
    except (KeyError, AegisError):
        return False
    return True
