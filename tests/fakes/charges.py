"""Charges written straight into a device's ledger, as earlier rounds would have left them."""

import hashlib
import secrets

from agent.store.ledger import Charge


def record_charge(device, body=b"a sealed update", **changes):
    """Charge for `body` in the server's present round; `changes` are fields of the charge."""
    config = device.server.config
    fields = {
        "at": device.clock.now(),
        "task_id": config.task_id,
        "round_id": config.round_id,
        "attempt": secrets.token_hex(16),
        "mode": config.mode.value,
        "model_version": config.model_version,
        "model_digest": config.model_digest,
        "config_digest": config.digest,
        "rho_units": 1000,
        "rho_local_units": 1000,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_bytes": len(body),
    }
    charge = Charge(**{**fields, **changes})
    device.agent.ledger.record(charge, body, config.closes_at)
    return charge
