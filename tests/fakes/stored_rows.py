"""Rows for tests of the aggregator's database: a round's configuration, certificates and models."""

import hashlib

from agent.protocol.messages import Mode
from server_stub.config.settings import default_task
from server_stub.rounds.lifecycle import RoundPlan, local_config, next_identity
from server_stub.storage.records import CertificateRecord, Model

NOW = 1_800_000_000
LIFETIME_S = 3600
"""How long a round is open."""


def round_config(round_id=1, opens_at=NOW):
    task, plan = default_task(Mode.LOCAL), RoundPlan(seconds=LIFETIME_S)
    identity = next_identity(
        task,
        plan,
        round_id=round_id,
        model_version=1,
        model_digest="00" * 32,
        now=opens_at,
    )
    return local_config(task, plan, identity)


def certificate(name, not_after=NOW + 86_400):
    digest = hashlib.sha256(name.encode())
    return CertificateRecord(digest.hexdigest(), digest.digest(), not_after - 86_400, not_after)


def model(version, content=b"weights"):
    return Model(version, hashlib.sha256(content).hexdigest(), NOW, 0, "test", content)


def add_device(store, device_id, now=NOW):
    store.devices.add(device_id, certificate(device_id), f"erase hash of {device_id}", now)


def send_update(store, device_id, round_id=1, body=b"update", now=NOW):
    """Store an update; its receipt names the device."""
    sha256 = hashlib.sha256(body).hexdigest()
    return store.updates.add(device_id, round_id, body, sha256, f"receipt of {device_id}", now)
