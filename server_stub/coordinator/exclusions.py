"""What the operator sees of devices that are excluded, and of the evidence against them."""

from enum import StrEnum
from typing import Any

from agent.errors import PeerError
from server_stub.quarantine.evidence import Judge, Verdict, judged
from server_stub.quarantine.exclusion import Exclusion, longest
from server_stub.secagg import evidence
from server_stub.storage.store import Store
from server_stub.validation import suspicion_evidence

JUDGES: dict[str, Judge] = {
    evidence.JUDGE: evidence.judge,
    suspicion_evidence.JUDGE: suspicion_evidence.judge,
}
"""Who judges which kind of evidence. Another way to find faults adds a line here."""


def excluded_devices(store: Store, now: int) -> dict[str, Exclusion]:
    """The exclusions that hold now, by device id."""
    by_device: dict[str, list[Exclusion]] = {}
    for exclusion in store.proofs.all():
        by_device.setdefault(exclusion.device_id, []).append(exclusion)
    return {
        device_id: active
        for device_id, exclusions in by_device.items()
        if (active := _active(store, exclusions, now)) is not None
    }


class DeviceState(StrEnum):
    """What the operator should know of a device first."""

    REVOKED = "revoked"
    EXCLUDED = "excluded"
    EXPIRED = "expired"
    """Its certificate has ended. It may come back and renew it."""
    COPIED = "copied"
    """A copy of it was refused. One of the two takes part as before."""
    ACTIVE = "active"


def device_inventory(store: Store, now: int) -> list[dict[str, Any]]:
    """All devices, each with its state and the exclusion that holds now, or None."""
    excluded = excluded_devices(store, now)
    return [
        {
            **row,
            "state": _state(row, now, is_excluded=row["device_id"] in excluded).value,
            "exclusion": _exclusion_json(excluded.get(row["device_id"])),
        }
        for row in store.devices.inventory()
    ]


def operator_counts(store: Store, now: int) -> dict[str, int]:
    """Figures for the operator alone, without the name of a device."""
    return {"devices_excluded": len(excluded_devices(store, now)), **store.copies()}


def _state(row: dict[str, Any], now: int, *, is_excluded: bool) -> DeviceState:
    if row["revoked"]:
        return DeviceState.REVOKED
    if is_excluded:
        return DeviceState.EXCLUDED
    if (row["certificate_until"] or 0) <= now:
        return DeviceState.EXPIRED
    return DeviceState.COPIED if row["copies_refused"] else DeviceState.ACTIVE


def device_evidence(store: Store, device_id: str, ca_pem: str, now: int) -> dict[str, Any] | None:
    """The proofs against a device with their evidence, judged again; None for an unknown device."""
    if not store.devices.is_known(device_id):
        return None
    exclusions = store.proofs.exclusions(device_id)
    return {
        "device_id": device_id,
        "exclusion": _exclusion_json(_active(store, exclusions, now)),
        "proofs": [_proof_json(store, exclusion, ca_pem) for exclusion in exclusions],
    }


def _active(store: Store, exclusions: list[Exclusion], now: int) -> Exclusion | None:
    """The exclusion from the newest round, while it runs, or from the next one."""
    newest = store.rounds.newest()
    following = 1 if newest is None else newest.round_id + 1
    active = longest(exclusions, following, now)
    if active is None and newest is not None and newest.closed_at is None:
        active = longest(exclusions, newest.round_id, now)
    return active


def _exclusion_json(exclusion: Exclusion | None) -> dict[str, Any] | None:
    return None if exclusion is None else exclusion.to_json()


def _proof_json(store: Store, exclusion: Exclusion, ca_pem: str) -> dict[str, Any]:
    found = store.proofs.evidence(exclusion.device_id, exclusion.round_id)
    if found is None:
        verified = "erased with a device that it names"
    else:
        try:
            verdict = judged(found, ca_pem, JUDGES)
            is_same = verdict == Verdict(exclusion.device_id, exclusion.code)
            verified = "verified" if is_same else "NOT VERIFIED: it proves another fault"
        except PeerError as error:
            verified = f"NOT VERIFIED: {error.detail}"
    return {
        **exclusion.to_json(),
        "verified": verified,
        "evidence": None if found is None else found.to_json(),
    }
