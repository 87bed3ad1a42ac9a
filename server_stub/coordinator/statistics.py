"""The aggregator's figures: counts, the newest round, the model, and the price of a round."""

from typing import Any

from agent.privacy.zcdp import epsilon, rho_units
from server_stub.config.settings import ServerSettings
from server_stub.storage.records import Round
from server_stub.storage.store import Store


def statistics(store: Store, settings: ServerSettings) -> dict[str, Any]:
    """Figures for `GET /api/v1/stats` and `aegis-server stats`; none is about a single device."""
    newest, combined = store.rounds.newest(), store.rounds.newest_combined()
    defence = None if combined is None else combined.record.get("defence")
    models = store.models.inventory()
    return {
        **store.counts(),
        "task_id": settings.task.task_id,
        "mode": settings.task.mode.value,
        "model_version": models[-1]["version"] if models else 0,
        "model_sha256": models[-1]["sha256"] if models else "",
        "defence": defence["sentence"] if defence else "",
        "round": None if newest is None else round_summary(newest, settings),
    }


def round_summary(round_: Round, settings: ServerSettings) -> dict[str, Any]:
    """A round as the operator sees it.

    `epsilon_ledger`: the ε of a device that took part in this round alone.
    """
    delta = 1 / settings.rounds.delta_inverse
    return {
        "round_id": round_.round_id,
        "state": round_.state.value,
        "updates": round_.updates,
        "target": round_.target,
        "opens_at": round_.config.opens_at,
        "closes_at": round_.config.closes_at,
        "closed_at": round_.closed_at,
        "base_version": round_.config.model_version,
        "model_version": round_.model_version,
        "config_digest": round_.config.digest,
        "epsilon_ledger": epsilon(rho_units(round_.config), delta),
        "note": round_.note,
        "mode": round_.config.mode.value,
        "defence": round_.record.get("defence"),
        "canary": round_.record.get("canary"),
        "groups": round_.record.get("groups", []),
        "left_out": round_.record.get("left_out", 0),
        "sitting_out": round_.record.get("sitting_out", 0),
        "dropped": round_.record.get("dropped", {}),
    }
