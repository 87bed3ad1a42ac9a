"""Admits devices, issues and revokes their certificates, and logs every certificate it issued.

The authority has its own key and its own database.

1. The database holds only a token's hash. One transaction counts the token's use, issues the
   certificate and logs it.
2. The same token with the same key gets the same answer, so a device can ask again after a lost
   answer.
3. The authority checks a renewal itself, by the device's signature: the aggregator cannot request
   one in a device's name.
4. A revoked or erased device needs a new token to enrol again.
5. Three things outlast an erased device: its token's use count, its certificates' serial numbers
   until they expire (revocation list), and their digests and dates in the log, each with the place
   of the device's first entry. None of them names the device.
6. It is the witness of the draws: it signs one for each round, and keeps it forever. A draw names
   no device.
"""

import hashlib
import json
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from agent.clock import Clock
from agent.errors import OperatorActionError, PeerError
from agent.files import atomic_file
from agent.protocol.canonical import canonical
from agent.protocol.http_signature import verify_request
from agent.protocol.issuance import LogHead, head_bytes
from agent.protocol.log_tree import Tree, leaf_hash
from agent.protocol.peer_enrolment import prove_members
from agent.protocol.witness import SEED_BYTES, DrawRequest, Witnessed, statement
from server_stub.ca import certificates
from server_stub.ca.tables import CERTIFICATES, DRAWS, ENROLMENTS, LOG, REVOKED, TOKENS
from server_stub.config.home import CA_CERTIFICATE_FILE, CA_KEY_FILE
from server_stub.storage.database import open_database, read_transaction

RENEWABLE_S = 90 * 24 * 3600
"""How long an expired certificate may still be renewed, so that a laptop recovers after weeks of
sleep."""
SIGNING_CERTIFICATES = 2
"""How many of a device's newest keys may sign a renewal. The device may never have received the
newest certificate, so the one before must work as well."""
TOKEN_BYTES = 24
DATABASE_FILE = "ca.sqlite3"


@dataclass(frozen=True)
class Issued:
    """A device and its certificate."""

    device_id: str
    certificate_pem: str


@dataclass(frozen=True)
class SignedRequest:
    """A request exactly as the device sent it, so that the authority can check its signature."""

    method: str
    authority: str
    path: str
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes


def create(folder: Path, name: str, now: int) -> None:
    """Create an authority's key and certificate. Raises FileExistsError."""
    folder.mkdir(mode=0o700)
    key = certificates.new_key()
    atomic_file.write(folder / CA_KEY_FILE, certificates.key_pem(key))
    atomic_file.write(
        folder / CA_CERTIFICATE_FILE,
        certificates.pem(certificates.authority_certificate(key, name, now)).encode(),
    )


class Authority:
    """The authority of one folder, which several processes may open at once.

    Every method is one transaction.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        try:
            self._key = certificates.load_key((folder / CA_KEY_FILE).read_bytes())
            self.ca_pem = (folder / CA_CERTIFICATE_FILE).read_text()
            self._certificate = x509.load_pem_x509_certificate(self.ca_pem.encode())
        except (OSError, ValueError) as error:
            raise OperatorActionError(
                "CA_KEY",
                "The authority's key cannot be read.",
                f"Check {CA_KEY_FILE} and its permissions.",
            ) from error
        self._engine: Engine = open_database(f"sqlite:///{folder / DATABASE_FILE}", "ca")
        self._tree = Tree()
        self._tree_lock = threading.Lock()

    def close(self) -> None:
        self._engine.dispose()

    def add_token(self, uses: int, ttl_s: int) -> str:
        """Create a token for `uses` devices: 1 for a person, more for a roll-out.

        Only its hash is stored.
        """
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock.now()
        with self._engine.begin() as database:
            database.execute(
                delete(TOKENS).where(
                    TOKENS.c.expires_at < now - RENEWABLE_S,
                    ~TOKENS.c.token_hash.in_(_tokens_in_use()),
                )
            )
            database.execute(
                insert(TOKENS).values(
                    token_hash=_hash(token.encode()),
                    uses=uses,
                    used=0,
                    created_at=now,
                    expires_at=now + ttl_s,
                )
            )
        return token

    def enrol(self, token: str, csr_pem: str) -> Issued:
        """Enrol a device. Raises PeerError BAD_CSR, TOKEN_UNKNOWN, TOKEN_USED, TOKEN_EXPIRED."""
        now = self._clock.now()
        key = certificates.read_csr(csr_pem)
        key_hash, token_hash = _hash(_der(key)), _hash(token.encode())
        with self._engine.begin() as database:
            row = database.execute(
                select(TOKENS).where(TOKENS.c.token_hash == token_hash)
            ).one_or_none()
            if row is None:
                raise _refused("TOKEN_UNKNOWN", "The token is unknown.")
            known = database.execute(
                select(ENROLMENTS).where(ENROLMENTS.c.public_key_hash == key_hash)
            ).one_or_none()
            if known is not None:
                if known.token_hash != token_hash or known.ended_at is not None:
                    raise _refused("TOKEN_USED", "This key has already been enrolled.")
                return Issued(known.device_id, self._first_certificate(database, known.device_id))
            if row.used >= row.uses:
                raise _refused("TOKEN_USED", "The token has already been used.")
            if row.expires_at <= now:
                raise _refused("TOKEN_EXPIRED", "The token has expired.")
            if database.execute(
                select(CERTIFICATES.c.number).where(CERTIFICATES.c.public_key == _der(key))
            ).first():
                raise _refused("BAD_CSR", "This key already belongs to a device.")
            device_id = f"urn:uuid:{uuid.uuid4()}"
            database.execute(
                update(TOKENS)
                .where(TOKENS.c.token_hash == token_hash)
                .values(used=TOKENS.c.used + 1)
            )
            database.execute(
                insert(ENROLMENTS).values(
                    device_id=device_id, token_hash=token_hash, public_key_hash=key_hash
                )
            )
            return Issued(device_id, self._issue(database, key, device_id, now))

    def renew(self, request: SignedRequest) -> Issued:
        """Issue a device's next certificate, for the key in the request's `csr_pem`.

        The same key gets the same certificate. Raises PeerError BAD_REQUEST_SIGNATURE, BAD_CSR,
        REVOKED, CERTIFICATE_EXPIRED (more than RENEWABLE_S ago).
        """
        now = self._clock.now()
        with self._engine.begin() as database:
            device_id = _signer(request, partial(_newest_certificates, database))
            ended_at = database.execute(
                select(ENROLMENTS.c.ended_at).where(ENROLMENTS.c.device_id == device_id)
            ).scalar_one()
            if ended_at is not None:
                raise _refused("REVOKED", "The device was revoked.")
            if now > _newest_certificates(database, device_id)[0].not_after + RENEWABLE_S:
                raise _refused("CERTIFICATE_EXPIRED", "The certificate expired too long ago.")
            key = certificates.read_csr(_csr_in(request.body))
            existing = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.public_key == _der(key))
            ).one_or_none()
            if existing is not None:
                if existing.device_id != device_id:
                    raise _refused("BAD_CSR", "This key belongs to another device.")
                return Issued(device_id, existing.pem)
            return Issued(device_id, self._issue(database, key, device_id, now))

    def revoke(self, device_id: str, *, forget: bool = False) -> bool:
        """Revoke a device's certificates. `forget` also deletes everything that names the device.

        Says whether the device was known.
        """
        now = self._clock.now()
        with self._engine.begin() as database:
            issued = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.device_id == device_id)
            ).all()
            for row in issued:
                listed = select(REVOKED.c.serial).where(REVOKED.c.serial == row.serial)
                if database.execute(listed).first() is None:
                    database.execute(
                        insert(REVOKED).values(
                            serial=row.serial, revoked_at=now, not_after=row.not_after
                        )
                    )
                    _append(
                        database,
                        {"event": "revoked", "certificate_sha256": row.fingerprint, "time": now},
                    )
            ended = (
                update(ENROLMENTS)
                .where(ENROLMENTS.c.device_id == device_id, ENROLMENTS.c.ended_at.is_(None))
                .values(ended_at=now)
            )
            database.execute(ended)
            if forget:
                database.execute(delete(CERTIFICATES).where(CERTIFICATES.c.device_id == device_id))
                database.execute(delete(ENROLMENTS).where(ENROLMENTS.c.device_id == device_id))
            return bool(issued)

    def witness(self, request: DrawRequest) -> Witnessed:
        """Draw the seed of a round's draw and sign it, once for each round; the same request gets
        the same answer.

        Raises PeerError WITNESS_REFUSED for a second list, or another configuration, of a round.
        """
        with self._engine.begin() as database:
            query = select(DRAWS).where(
                DRAWS.c.task_id == request.task_id, DRAWS.c.round_id == request.round_id
            )
            row = database.execute(query).one_or_none()
            if row is not None:
                if row.statement != statement(request, row.seed):
                    raise _refused("WITNESS_REFUSED", "Another draw of this round is signed.")
                return Witnessed(row.seed, row.signature)
            seed = secrets.token_bytes(SEED_BYTES)
            signed = statement(request, seed)
            signature = _raw(self._sign(signed))
            database.execute(
                insert(DRAWS).values(
                    task_id=request.task_id,
                    round_id=request.round_id,
                    statement=signed,
                    seed=seed,
                    signature=signature,
                )
            )
        return Witnessed(seed, signature)

    def device_record(self, device_id: str) -> dict[str, Any]:
        """Everything the authority holds about a device. Empty for an unknown device."""
        with read_transaction(self._engine) as database:
            row = database.execute(
                select(ENROLMENTS).where(ENROLMENTS.c.device_id == device_id)
            ).one_or_none()
            rows = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.device_id == device_id)
            ).all()
        if row is None:
            return {}
        issued = [
            {
                "sha256": one.fingerprint,
                "serial": one.serial,
                "not_after": one.not_after,
                "pem": one.pem,
            }
            for one in rows
        ]
        return {
            "token": "as a hash only",
            "first_key_sha256": row.public_key_hash,
            "ended_at": row.ended_at,
            "certificates": issued,
            "log": "digests and dates of these certificates, and which one was first, forever",
        }

    def revocations(self) -> str:
        """The signed revocation list as PEM, without expired certificates."""
        now = self._clock.now()
        with read_transaction(self._engine) as database:
            rows = database.execute(
                select(REVOKED).where(REVOKED.c.not_after > now).order_by(REVOKED.c.serial)
            ).all()
        # RFC 5280 §5.2.3: the number must rise with every change and may rise without one. The
        # time does both.
        return certificates.revocation_list(
            self._certificate,
            self._key,
            now,
            [(int(row.serial), row.revoked_at) for row in rows],
            now,
        )

    def log_head(self) -> dict[str, int | str]:
        """Size and root of the issuance log, signed by the authority.

        The signature is ECDSA P-256 with SHA-256 over `agent.protocol.issuance.head_bytes`.
        """
        tree = self._log()
        size = len(tree)
        head = LogHead(size, tree.root(size).hex())
        return {
            "size": head.size,
            "root": head.root,
            "signature": self._sign(head_bytes(head)).hex(),
        }

    def log_proof(self, fingerprint: str, size: int = 0) -> dict[str, Any]:
        """Prove that the log of `size` entries holds a certificate. 0: today's log.

        Raises PeerError NOT_IN_LOG.
        """
        tree = self._log()
        size = size or len(tree)
        with read_transaction(self._engine) as database:
            query = (
                select(LOG)
                .where(LOG.c.certificate == fingerprint, LOG.c.position < size)
                .order_by(LOG.c.position)
            )
            row = database.execute(query).first()
        if row is None or size > len(tree):
            raise _refused("NOT_IN_LOG", "The certificate is not in the log.")
        proof = [step.hex() for step in tree.inclusion_proof(row.position, size)]
        return {"index": row.position, "size": size, "entry": row.entry.decode(), "proof": proof}

    def log_members(self, fingerprints: Sequence[str], size: int = 0) -> dict[str, Any]:
        """Prove that the log of `size` entries holds these certificates, and the first one of each
        of their devices. 0: today's log.

        As agent.protocol.peer_enrolment reads it. Raises PeerError NOT_IN_LOG.
        """
        tree, asked = self._log(), set(fingerprints)
        size = size or len(tree)
        with read_transaction(self._engine) as database:
            query = select(LOG).where(LOG.c.certificate.in_(asked), LOG.c.position < size)
            rows = {row.position: row.entry for row in database.execute(query)}
            if len(rows) != len(asked) or size > len(tree):
                raise _refused("NOT_IN_LOG", "A certificate is not in the log.")
            firsts = {json.loads(entry).get("first", at) for at, entry in rows.items()} - set(rows)
            query = select(LOG).where(LOG.c.position.in_(firsts))
            rows |= {row.position: row.entry for row in database.execute(query)}
        return prove_members(tree, rows, size)

    def log_consistency(self, earlier: int, size: int = 0) -> dict[str, Any]:
        """Prove that the log only grew from `earlier` entries to `size`. 0: today's log.

        Raises PeerError NOT_IN_LOG.
        """
        tree = self._log()
        size = size or len(tree)
        if not 0 < earlier <= size <= len(tree):
            raise _refused("NOT_IN_LOG", "The log never had this size.")
        return {
            "earlier": earlier,
            "size": size,
            "proof": [step.hex() for step in tree.consistency_proof(earlier, size)],
        }

    def _log(self) -> Tree:
        """The log's tree, brought up to date with what other processes have logged."""
        with self._tree_lock, read_transaction(self._engine) as database:
            query = (
                select(LOG.c.leaf).where(LOG.c.position >= len(self._tree)).order_by(LOG.c.position)
            )
            self._tree.grow(database.execute(query).scalars())
        return self._tree

    def _issue(
        self, database: Connection, key: EllipticCurvePublicKey, device_id: str, now: int
    ) -> str:
        certificate = certificates.device_certificate(
            self._certificate, self._key, key, device_id, now
        )
        fingerprint = certificate.fingerprint(SHA256()).hex()
        not_after = int(certificate.not_valid_after_utc.timestamp())
        pem = certificates.pem(certificate)
        first = _first_entry(database, device_id)
        database.execute(
            insert(CERTIFICATES).values(
                fingerprint=fingerprint,
                device_id=device_id,
                public_key=_der(key),
                serial=str(certificate.serial_number),
                not_after=not_after,
                pem=pem,
            )
        )
        entry = {
            "event": "issued",
            "certificate_sha256": fingerprint,
            "time": now,
            "not_after": not_after,
        }
        _append(database, entry if first is None else {**entry, "first": first})
        return pem

    def _first_certificate(self, database: Connection, device_id: str) -> str:
        query = (
            select(CERTIFICATES.c.pem)
            .where(CERTIFICATES.c.device_id == device_id)
            .order_by(CERTIFICATES.c.number)
            .limit(1)
        )
        return str(database.execute(query).scalar_one())

    def _sign(self, message: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        return self._key.sign(message, ECDSA(SHA256()))


def _raw(signature: bytes) -> bytes:
    """A signature as r ‖ s."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _signer(request: SignedRequest, newest: Callable[[str], Sequence[Any]]) -> str:
    """The device that signed the request. `newest` returns its newest certificates.

    Raises PeerError BAD_REQUEST_SIGNATURE.
    """
    parts = (request.method, request.authority, request.path, request.headers, request.body)
    refusal = _refused("BAD_REQUEST_SIGNATURE", "The request's signature is not valid.")
    for position in range(SIGNING_CERTIFICATES):

        def key_of(device_id: str, position: int = position) -> EllipticCurvePublicKey | None:
            rows = newest(device_id)
            return _load(rows[position].public_key) if position < len(rows) else None

        try:
            return verify_request(*parts, key_of).device_id
        except PeerError as error:
            refusal = error
    raise refusal


def _newest_certificates(database: Connection, device_id: str) -> Sequence[Any]:
    """The rows of a device's newest certificates, the newest first."""
    query = (
        select(CERTIFICATES)
        .where(CERTIFICATES.c.device_id == device_id)
        .order_by(CERTIFICATES.c.number.desc())
        .limit(SIGNING_CERTIFICATES)
    )
    return database.execute(query).all()


def _first_entry(database: Connection, device_id: str) -> int | None:
    """Where the log has a device's first certificate; None while it has none."""
    query = (
        select(LOG.c.position)
        .join(CERTIFICATES, CERTIFICATES.c.fingerprint == LOG.c.certificate)
        .where(CERTIFICATES.c.device_id == device_id)
        .order_by(LOG.c.position)
        .limit(1)
    )
    return database.execute(query).scalar_one_or_none()


def _csr_in(body: bytes) -> str:
    try:
        value = json.loads(body)
        if (
            isinstance(value, dict)
            and set(value) == {"csr_pem"}
            and isinstance(value["csr_pem"], str)
        ):
            return value["csr_pem"]
    except (ValueError, RecursionError):
        pass
    raise _refused("BAD_CSR", "The certificate request is not valid.")


def _append(database: Connection, entry: dict[str, Any]) -> None:
    newest = database.execute(select(func.max(LOG.c.position))).scalar_one()
    position = 0 if newest is None else newest + 1
    content = canonical(entry)
    certificate = entry["certificate_sha256"] if entry["event"] == "issued" else None
    database.execute(
        insert(LOG).values(
            position=position, entry=content, leaf=leaf_hash(content), certificate=certificate
        )
    )


def _tokens_in_use() -> Any:
    return select(ENROLMENTS.c.token_hash)


def _load(der: bytes) -> EllipticCurvePublicKey:
    key = load_der_public_key(der)
    assert isinstance(key, EllipticCurvePublicKey)  # noqa: S101  (only such keys are stored)
    return key


def _der(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refused(code: str, message: str) -> PeerError:
    return PeerError(code, message, "Nothing was changed.")
