"""Charges written straight into a device's ledger, as earlier rounds would have left them."""

import hashlib
import secrets

from agent.store.ledger import Charge
from agent.store.ledger_key import LABEL, LedgerKey


def open_ledger(device):
    """Give the device's ledger its key, as a cycle does."""
    file = device.agent.keys.identity_file()
    key, was_sealed = LedgerKey(file.derived_key(LABEL)), file.has_sealed_ledger()
    device.agent.ledger.sealed.open(key, device.clock.now(), was_sealed=was_sealed)
    file.note_sealed_ledger()


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
    file = device.agent.keys.identity_file()
    if not file.exists():
        file.create()
    open_ledger(device)
    device.agent.ledger.record(charge, body, config.closes_at)
    device.agent.ledger.sealed.close()
    return charge
