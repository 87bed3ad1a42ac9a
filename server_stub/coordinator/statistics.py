"""The aggregator's figures: counts, the newest round, the model, and what a round costs a
device.
"""

from typing import Any

from agent.privacy.zcdp import epsilon, rho_units
from server_stub.config.settings import ServerSettings
from server_stub.storage.records import Round
from server_stub.storage.store import Store


def statistics(store: Store, settings: ServerSettings) -> dict[str, Any]:
    """Figures for `GET /api/v1/stats` and `aegis-server stats`.

    Nothing in it is about one device.
    """
    newest = store.rounds.newest()
    models = store.models.inventory()
    return {
        **store.counts(),
        "task_id": settings.task.task_id,
        "mode": settings.task.mode.value,
        "model_version": models[-1]["version"] if models else 0,
        "model_sha256": models[-1]["sha256"] if models else "",
        "round": None if newest is None else round_summary(newest, settings),
    }


def round_summary(held: Round, settings: ServerSettings) -> dict[str, Any]:
    """A round as the operator sees it.

    `epsilon_ledger`: what it adds to a device's ledger if it were the only one.
    """
    delta = 1 / settings.rounds.delta_inverse
    return {
        "round_id": held.round_id,
        "state": held.state.value,
        "updates": held.updates,
        "target": held.target,
        "opens_at": held.config.opens_at,
        "closes_at": held.config.closes_at,
        "closed_at": held.closed_at,
        "base_version": held.config.model_version,
        "model_version": held.model_version,
        "config_digest": held.config.digest,
        "epsilon_ledger": round(epsilon(rho_units(held.config), delta), 6),
        "note": held.note,
        "mode": held.config.mode.value,
        "groups": held.record.get("groups", []),
        "left_out": held.record.get("left_out", 0),
        "dropped": held.record.get("dropped", {}),
    }
