"""Rows of the aggregator's database as plain values."""

from dataclasses import dataclass, field
from typing import Any

from agent.protocol.messages import RoundConfig
from server_stub.rounds.lifecycle import Event, State


@dataclass(frozen=True)
class CertificateRecord:
    """A device's certificate as the database keeps it."""

    fingerprint: str
    """SHA-256 of the DER, hex."""
    public_key: bytes
    """DER."""
    not_before: int
    not_after: int


@dataclass(frozen=True)
class RegisteredCertificate:
    """The device behind a certificate."""

    device_id: str
    public_key: bytes
    """DER."""
    not_after: int
    revoked: bool


@dataclass(frozen=True)
class Round:
    """A round in its current state."""

    round_id: int
    state: State
    config: RoundConfig
    target: int
    """How many updates fill the round, or how many devices its join window expects."""
    updates: int
    closed_at: int | None
    model_version: int | None
    """The model that the round made."""
    note: str
    record: dict[str, Any] = field(default_factory=dict)
    """The outcome of its groups. Empty in local mode and before the round has ended."""

    @property
    def proven(self) -> dict[str, str]:
        """The devices whose fault a proof shows, with the code of each fault."""
        groups = self.record.get("groups", [])
        return {
            device: code for group in groups for device, code in group.get("proven", {}).items()
        }

    @property
    def failed_without_proof(self) -> bool:
        """Whether its devices made no model, and no proof shows whose fault that was."""
        failures = (Event.TOO_FEW, Event.UNUSABLE, Event.REFUSED)
        is_failure = self.record.get("ended") in failures
        has_no_model = self.state in (State.ABANDONED, State.REJECTED)
        return has_no_model and is_failure and not self.proven


@dataclass(frozen=True)
class Model:
    """A published model."""

    version: int
    sha256: str
    published_at: int
    demonstration: int
    """1 for a demonstration model, which protects nobody; else 0."""
    origin: str
    content: bytes
    """A safetensors file."""
