"""What the aggregator does for its devices, apart from HTTP.

1. A method that touches the database is run through `executor`; which way is the caller's choice.
2. Repeating a request changes nothing: registrations, updates and messages give the first answer.
3. Everything that a device must be able to check is signed here.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.clock import Clock
from agent.errors import PeerError
from agent.protocol.envelope import decode
from agent.protocol.ledger_heads import HeadEcho, HeadStep, Ready
from agent.protocol.limits import MAX_BODY_BYTES
from agent.protocol.messages import Mode, RoundConfig, Task
from agent.protocol.signing import Context, public_hex, sign
from server_stub.ca.authority import Issued, SignedRequest
from server_stub.ca.rpc import Enrolment
from server_stub.config.home import ServerHome
from server_stub.config.settings import ServerSettings
from server_stub.coordinator.driver import RoundDriver, Situation
from server_stub.errors import BusyError, ExcludedError
from server_stub.publishing import tuf_repository
from server_stub.quarantine.exclusion import longest
from server_stub.rounds.ledger_heads import LOCAL_LEASE_S
from server_stub.rounds.lifecycle import State
from server_stub.rounds.update_checks import check_update, max_update_bytes, named_round
from server_stub.secagg.join_phase import ADVERTISE
from server_stub.storage.records import CertificateRecord
from server_stub.storage.serial_executor import SerialExecutor
from server_stub.storage.store import Store

MAX_UPDATE_BYTES_BETWEEN_ROUNDS = min(65536, MAX_BODY_BYTES)
DAY_S = 24 * 3600
LOG = logging.getLogger("aegisai.server")


class AggregatorService:
    """One instance for the process."""

    def __init__(
        self,
        home: ServerHome,
        settings: ServerSettings,
        store: Store,
        authority: Enrolment,
        driver: RoundDriver,
        key: Ed25519PrivateKey,
        clock: Clock,
        executor: SerialExecutor,
    ) -> None:
        """`key` signs offers and receipts."""
        self.settings = settings
        self.store = store
        self.authority = authority
        self.driver = driver
        self.clock = clock
        self.executor = executor
        self._repository = home.repository
        self._key = key
        self._erase_key = hmac.digest(home.secret(), b"erase", hashlib.sha256)

    @property
    def is_ready(self) -> bool:
        """Whether the server has a model to offer."""
        return self.driver.situation is not None

    def situation(self) -> Situation:
        """The current model and round. Raises BusyError NO_MODEL while the server starts."""
        if self.driver.situation is None:
            raise BusyError("NO_MODEL", "The server has no model yet.", 5)
        return self.driver.situation

    def max_update_bytes(self) -> int:
        """The largest body that an update of the current round can have."""
        situation = self.driver.situation
        if situation is None or situation.round is None:
            return MAX_UPDATE_BYTES_BETWEEN_ROUNDS
        return max_update_bytes(situation.round.config)

    def register(self, token: str, csr_pem: str) -> dict[str, Any]:
        """Enrol a device. The same token with the same key gives the same answer."""
        issued = self.authority.enrol(token, csr_pem)
        certificate = _record(issued)
        secret = self._erase_secret(token, certificate)
        self.store.devices.add(issued.device_id, certificate, sha256_hex(secret), self.clock.now())
        return {
            "device_id": issued.device_id,
            "certificate_pem": issued.certificate_pem,
            "ca_pem": self.authority.ca_pem,
            "erase_secret": secret,
            "task": self.settings.task.to_json(),
            "signing_key": public_hex(self._key),
        }

    def renew(self, request: SignedRequest, device_id: str) -> dict[str, str]:
        """Issue a device's next certificate."""
        issued = self.authority.renew(request)
        if issued.device_id != device_id:
            raise PeerError(
                "BAD_REQUEST_SIGNATURE",
                "The request's signature is not valid.",
                "Nothing was changed.",
            )
        self.store.devices.add_certificate(device_id, _record(issued), self.clock.now())
        return {"certificate_pem": issued.certificate_pem, "ca_pem": self.authority.ca_pem}

    def offer(self, device_id: str, ready: Ready | None = None) -> dict[str, Any]:
        """Build the signed offer for a device.

        `ready`: what it says about its finished update, if it has one. Raises PeerError
        LEDGER_FORKED, LEDGER_BEHIND, LEDGER_UNSHOWN, BusyError LEDGER_RESERVED, CA_UNREACHABLE,
        ExcludedError.
        """
        situation, now = self.situation(), self.clock.now()
        current, coordinator = situation.round, self.driver.coordinator
        is_grouped = self.settings.task.mode is Mode.SECAGG
        next_s, join_window = self.settings.next_poll_s, (0, 0)
        is_new = _is_new(self.store, self.settings.task, device_id, now)
        if is_grouped and not is_new:
            join_window = coordinator.window(device_id, now)
        self._require_admitted(device_id, now, is_joinable=not is_grouped or any(join_window))
        is_open = current is not None and (
            any(join_window) if is_grouped else now < current.config.closes_at
        )
        echo = None
        if ready is not None:
            lease_s = _lease_s(current.config, now) if current and is_open else 0
            echo = self._show_head(device_id, ready, now, lease_s)
        if is_grouped:
            next_s = coordinator.ready(
                device_id,
                ready.trained if ready else None,
                situation.model.version,
                now,
                is_ready=ready is not None and not is_new,
            )
        offer = {
            "status": "open" if is_open else "wait",
            "next_poll_s": next_s,
            "task": self.settings.task.to_json(),
            "model_version": situation.model.version,
            "model_digest": situation.model.sha256,
            "round": current.config.to_json() if current and is_open else None,
            "contributed": bool(
                current and self.store.updates.receipt(current.round_id, device_id)
            ),
            "time": now,
            "join_opens": join_window[0] if is_open else 0,
            "join_closes": join_window[1] if is_open else 0,
            "ledger": None if echo is None else asdict(echo),
        }
        crl_pem = coordinator.crl_pem() if is_grouped else ""
        return {
            "offer": offer,
            "signature": sign(self._key, Context.OFFER, offer),
            "crl_pem": crl_pem,
        }

    def inbox(
        self, round_id: int, after: str, device_id: str, dealer: int | None = None
    ) -> bytes | None:
        """What the phase `after` gave a device, or what a dealer signed; None while it lasts."""
        return self.driver.coordinator.inbox(round_id, after, device_id, dealer)

    def receive(self, kind: str, round_id: int, device_id: str, body: bytes) -> None:
        """Take a message of a round's phase. Raises ExcludedError and other PeerErrors."""
        now = self.clock.now()
        if kind == ADVERTISE:
            self._require_admitted(device_id, now)
            if _is_new(self.store, self.settings.task, device_id, now):
                raise PeerError(
                    "ROUND_CLOSED",
                    "This device was enrolled too recently for the rounds of this task.",
                    "Take part in a later one.",
                )
        self.driver.coordinator.receive(kind, round_id, device_id, body, now)

    def accept_update(
        self, device_id: str, body: bytes, step: HeadStep | None = None
    ) -> tuple[str, bool]:
        """Store an update. Returns the signed receipt as JSON, and whether the round is full.

        `step`: what its charge did to the head of the device's ledger. The same body again gets
        the first receipt. Raises PeerError ALREADY_CONTRIBUTED for another body, ROUND_CLOSED,
        REVOKED, LEDGER_FORKED, LEDGER_UNSHOWN, or what the update's check found.
        """
        envelope, sha256 = decode(body), hashlib.sha256(body).hexdigest()
        round_id = named_round(envelope.header)
        earlier = self.store.updates.receipt(round_id, device_id)
        if earlier is not None:
            if earlier[0] == sha256:
                return earlier[1], False
            raise PeerError(
                "ALREADY_CONTRIBUTED",
                "This device has already sent another update for this round.",
                "Nothing was changed.",
            )
        config, state = self._round(round_id)
        is_grouped = config.mode is Mode.SECAGG
        now = self.clock.now()
        if state is State.OPEN and not is_grouped:
            check_update(envelope, config)
            self._require_admitted(device_id, now)
        receipt = self._signed_receipt(round_id, device_id, sha256, len(body), now, step)
        with _noting_copies(self.store, device_id, now):
            if is_grouped:
                self.driver.coordinator.receive_masked(
                    round_id, device_id, body, sha256, receipt, now, step
                )
                return receipt, False  # the coordinator wakes the driver itself
            is_full = self.store.updates.add(device_id, round_id, body, sha256, receipt, now, step)
        if is_full:
            LOG.info("round.full id=%d", round_id)
        return receipt, is_full

    def device_record(self, device_id: str) -> dict[str, Any]:
        """Everything that aggregator and authority hold about a device."""
        return {
            **self.store.devices.record(device_id),
            "authority": self.authority.device_record(device_id),
        }

    def erase(self, device_id: str) -> None:
        """Delete everything about a device and end its certificates."""
        self.store.devices.erase(device_id)
        self.driver.coordinator.drop(device_id, self.clock.now())
        self.authority.revoke(device_id, forget=True)

    def erase_by_secret(self, device_id: str, secret: str) -> None:
        """Erase a device whose keys are gone. Erasing an unknown device changes nothing.

        Raises PeerError ERASE_SECRET.
        """
        expected = self.store.devices.erase_hash(device_id)
        if expected is not None and not hmac.compare_digest(expected, sha256_hex(secret)):
            raise PeerError(
                "ERASE_SECRET", "The erase secret is wrong for this device.", "Nothing was changed."
            )
        self.erase(device_id)

    def metadata_file(self, name: str) -> bytes | None:
        """A metadata file of the model repository."""
        return _content(tuf_repository.metadata_file(self._repository, name))

    def target_file(self, name: str) -> bytes | None:
        """A target file of the model repository."""
        return _content(tuf_repository.target_file(self._repository, name))

    def _require_admitted(self, device_id: str, now: int, *, is_joinable: bool = True) -> None:
        """Raise ExcludedError if a device may not take part in the round that it could join next.

        `is_joinable`: that is the newest round, while it is open.
        """
        exclusions = self.store.proofs.exclusions(device_id)
        if not exclusions:
            return
        newest = self.store.rounds.newest()
        round_id = 1 if newest is None else newest.round_id
        if newest is not None and not (is_joinable and newest.state is State.OPEN):
            round_id += 1
        if (excluded := longest(exclusions, round_id, now)) is not None:
            raise ExcludedError(excluded.until_round - round_id + 1, excluded.until)

    def _round(self, round_id: int) -> tuple[RoundConfig, State]:
        """The driver's current round saves the database a look-up."""
        current = self.driver.situation.round if self.driver.situation else None
        if current is None or current.round_id != round_id:
            current = self.store.rounds.get(round_id)
        if current is None:
            raise PeerError("ROUND_CLOSED", "The round is not open.", "Take part in a later one.")
        return current.config, current.state

    def _show_head(self, device_id: str, ready: Ready, now: int, lease_s: int) -> HeadEcho | None:
        """Take the ledger's heads that a device shows; return what to answer about them."""
        with _noting_copies(self.store, device_id, now):
            self.store.ledger_heads.show(device_id, ready.shown, ready.session, now, lease_s)
        return None if ready.shown is None else HeadEcho.of(ready.shown, lease_s)

    def _signed_receipt(
        self,
        round_id: int,
        device_id: str,
        sha256: str,
        size: int,
        now: int,
        step: HeadStep | None,
    ) -> str:
        receipt = {
            "task_id": self.settings.task.task_id,
            "round_id": round_id,
            "device_id": device_id,
            "body_sha256": sha256,
            "bytes": size,
            "received_at": now,
            "ledger_count": step.count if step else 0,
            "ledger_head": step.after if step else "",
        }
        return json.dumps(
            {"receipt": receipt, "signature": sign(self._key, Context.RECEIPT, receipt)}
        )

    def _erase_secret(self, token: str, certificate: CertificateRecord) -> str:
        """Derive the secret from the token and the server's own, so that a repeated registration
        gives the same one and no database has it.
        """
        message = token.encode() + b"\0" + certificate.public_key
        return hmac.digest(self._erase_key, message, hashlib.sha256)[:16].hex()


def _is_new(store: Store, task: Task, device_id: str, now: int) -> bool:
    """Whether the others of a group would refuse a device, because of the task's `peer_days`."""
    if not task.peer_days:
        return False
    enrolled_at = store.devices.enrolled_at(device_id)
    return enrolled_at is None or now - enrolled_at < task.peer_days * DAY_S


@contextmanager
def _noting_copies(store: Store, device_id: str, now: int) -> Iterator[None]:
    """Count a copy of the device that is refused in the block, once its transaction is undone.

    The operator sees the count (`aegis-server devices list`).
    """
    try:
        yield
    except PeerError as error:
        if error.code == "LEDGER_FORKED":
            store.ledger_heads.note_copy(device_id, now)
            LOG.warning("device.copy_refused device=%s", device_id)
        raise


def _lease_s(config: RoundConfig, now: int) -> int:
    """How long a device may take from its admission to its charge."""
    left_s = max(1, config.closes_at - now)
    return min(left_s, LOCAL_LEASE_S) if config.mode is Mode.LOCAL else left_s


def sha256_hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _record(issued: Issued) -> CertificateRecord:
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    return CertificateRecord(
        certificate.fingerprint(SHA256()).hex(),
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def _content(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
