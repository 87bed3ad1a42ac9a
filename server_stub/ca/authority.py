"""The enrolment authority: tokens, certificates, revocations and the log of all that it issued,
over its own key and its own database.

1. A token is hashed at rest. Enrolling counts it, issues the certificate and logs it in one
   transaction.
2. The same token with the same key gives the same answer again, so that a lost answer strands
   nobody.
3. A renewal is checked here, by the device's own signature: the aggregator cannot ask for one in a
   device's name.
4. A device that was revoked or erased has no way back but a new token.
5. Of an erased device these stay: its token's use count, its certificates' serial numbers until
   they expire (revocation list), and their digests and dates in the log. None of them is a name.
"""

import hashlib
import json
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from agent import atomic_file
from agent.clock import Clock
from agent.errors import OperatorActionError, PeerError
from agent.protocol.canonical import canonical
from agent.protocol.http_signature import verify_request
from agent.protocol.issuance import LogHead, head_bytes
from agent.protocol.log_tree import Tree, leaf_hash
from server_stub.ca import certificates as x
from server_stub.ca.tables import CERTIFICATES, ENROLMENTS, LOG, REVOKED, TOKENS
from server_stub.config.home import CA_CERTIFICATE_FILE, CA_KEY_FILE
from server_stub.storage.database import open_database, read_transaction

RENEWABLE_S = 90 * 24 * 3600
"""How long after its end a certificate may still be renewed: a laptop asleep for weeks comes back
by itself."""
SIGNING_CERTIFICATES = 2
"""A renewal may be signed with the key of the newest certificate or the one before: the newest may
have been lost on its way."""
TOKEN_BYTES = 24
DATABASE_FILE = "ca.sqlite3"


@dataclass(frozen=True)
class Issued:
    """A device and its certificate."""

    device_id: str
    certificate_pem: str


@dataclass(frozen=True)
class SignedRequest:
    """A request as it came, for the authority to check by itself."""

    method: str
    authority: str
    path: str
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes


def create(folder: Path, name: str, now: int) -> None:
    """Make key and certificate. Raises FileExistsError."""
    folder.mkdir(mode=0o700)
    key = x.new_key()
    atomic_file.write(folder / CA_KEY_FILE, x.key_pem(key))
    atomic_file.write(
        folder / CA_CERTIFICATE_FILE, x.pem(x.authority_certificate(key, name, now)).encode()
    )


class Authority:
    """Opened on its folder.

    Every method is one transaction; several processes may hold the folder open.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        try:
            self._key = x.load_key((folder / CA_KEY_FILE).read_bytes())
            self.ca_pem = (folder / CA_CERTIFICATE_FILE).read_text()
            self._certificate = x509.load_pem_x509_certificate(self.ca_pem.encode())
        except (OSError, ValueError) as error:
            raise OperatorActionError(
                "CA_KEY",
                "The authority's key cannot be read.",
                f"Look at {CA_KEY_FILE} and its permissions.",
            ) from error
        self._engine: Engine = open_database(f"sqlite:///{folder / DATABASE_FILE}", "ca")

        self._tree = Tree()
        self._growing = threading.Lock()

    def close(self) -> None:
        self._engine.dispose()

    def add_token(self, uses: int, ttl_s: int) -> str:
        """A new token: for one person (`uses` 1) or, for a roll-out, a site's.

        Its text is not kept.
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
        """Admit a device. Raises PeerError BAD_CSR, TOKEN_UNKNOWN, TOKEN_USED, TOKEN_EXPIRED."""
        now = self._clock.now()
        key = x.read_csr(csr_pem)
        key_hash, token_hash = _hash(_der(key)), _hash(token.encode())
        with self._engine.begin() as database:
            row = database.execute(
                select(TOKENS).where(TOKENS.c.token_hash == token_hash)
            ).one_or_none()
            if row is None:
                raise _refused("TOKEN_UNKNOWN", "The token is not known.")
            known = database.execute(
                select(ENROLMENTS).where(ENROLMENTS.c.public_key_hash == key_hash)
            ).one_or_none()
            if known is not None:
                if known.token_hash != token_hash or known.ended_at is not None:
                    raise _refused("TOKEN_USED", "This key was enrolled before.")
                return Issued(known.device_id, self._first_certificate(database, known.device_id))
            if row.used >= row.uses:
                raise _refused("TOKEN_USED", "The token has been used.")
            if row.expires_at <= now:
                raise _refused("TOKEN_EXPIRED", "The token has expired.")
            if database.execute(
                select(CERTIFICATES.c.number).where(CERTIFICATES.c.public_key == _der(key))
            ).first():
                raise _refused("BAD_CSR", "This key belongs to a device.")
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
        """Issue the next certificate for the key in the request's `csr_pem`. The same key again
        gives the same certificate.

        Raises PeerError BAD_REQUEST_SIGNATURE, BAD_CSR, REVOKED, CERTIFICATE_EXPIRED (longer ago
        than RENEWABLE_S).
        """
        now = self._clock.now()
        with self._engine.begin() as database:
            held: list[Any] = []

            def newest(device_id: str) -> list[Any]:
                wanted = (
                    select(CERTIFICATES)
                    .where(CERTIFICATES.c.device_id == device_id)
                    .order_by(CERTIFICATES.c.number.desc())
                )
                held[:] = database.execute(wanted.limit(SIGNING_CERTIFICATES)).all()
                return held

            device_id = _signer(request, newest)
            if (
                database.execute(
                    select(ENROLMENTS.c.ended_at).where(ENROLMENTS.c.device_id == device_id)
                ).scalar_one()
                is not None
            ):
                raise _refused("REVOKED", "The device was revoked.")
            if now > held[0].not_after + RENEWABLE_S:
                raise _refused("CERTIFICATE_EXPIRED", "The certificate expired too long ago.")
            key = x.read_csr(_csr_in(request.body))
            same = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.public_key == _der(key))
            ).one_or_none()
            if same is not None:
                if same.device_id != device_id:
                    raise _refused("BAD_CSR", "This key belongs to another device.")
                return Issued(device_id, same.pem)
            return Issued(device_id, self._issue(database, key, device_id, now))

    def revoke(self, device_id: str, *, forget: bool = False) -> bool:
        """End a device's certificates; `forget`: and remove everything that names it.

        Says whether it was known.
        """
        now = self._clock.now()
        with self._engine.begin() as database:
            held = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.device_id == device_id)
            ).all()
            for row in held:
                if (
                    database.execute(
                        select(REVOKED.c.serial).where(REVOKED.c.serial == row.serial)
                    ).first()
                    is None
                ):
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
            return bool(held)

    def held(self, device_id: str) -> dict[str, Any]:
        """All that is held here about a device; empty for one that is not known."""
        with read_transaction(self._engine) as database:
            row = database.execute(
                select(ENROLMENTS).where(ENROLMENTS.c.device_id == device_id)
            ).one_or_none()
            rows = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.device_id == device_id)
            ).all()
        if row is None:
            return {}
        certificates = [
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
            "certificates": certificates,
            "log": "digests and dates of these certificates, for ever",
        }

    def revocations(self) -> str:
        """The signed revocation list, PEM; expired certificates are left out."""
        now = self._clock.now()
        with read_transaction(self._engine) as database:
            rows = database.execute(
                select(REVOKED).where(REVOKED.c.not_after > now).order_by(REVOKED.c.serial)
            ).all()
        # The number must rise with every change and may rise without one (RFC 5280 §5.2.3): the
        # time does.
        return x.revocation_list(
            self._certificate,
            self._key,
            now,
            [(int(row.serial), row.revoked_at) for row in rows],
            now,
        )

    def log_head(self) -> dict[str, int | str]:
        """Size and root of the issuance log, signed with the authority's key (ECDSA P-256, SHA-256;
        agent.protocol.issuance).
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
        """Where a certificate's issuance is in the log of `size` entries (0: of today), with the
        proof. Raises PeerError NOT_IN_LOG.
        """
        tree = self._log()
        size = size or len(tree)
        with read_transaction(self._engine) as database:
            wanted = (
                select(LOG)
                .where(LOG.c.certificate == fingerprint, LOG.c.position < size)
                .order_by(LOG.c.position)
            )
            row = database.execute(wanted).first()
        if row is None or size > len(tree):
            raise _refused("NOT_IN_LOG", "The certificate is not in the log.")
        proof = [step.hex() for step in tree.inclusion_proof(row.position, size)]
        return {"index": row.position, "size": size, "entry": row.entry.decode(), "proof": proof}

    def log_consistency(self, earlier: int, size: int = 0) -> dict[str, Any]:
        """Proof that the log of `earlier` entries is the beginning of the one of `size` (0: of
        today's). Raises PeerError NOT_IN_LOG.
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
        """The log's tree, with what was written since, by other processes too."""
        with self._growing, read_transaction(self._engine) as database:
            wanted = (
                select(LOG.c.leaf).where(LOG.c.position >= len(self._tree)).order_by(LOG.c.position)
            )
            self._tree.grow(database.execute(wanted).scalars())
        return self._tree

    def _issue(
        self, database: Connection, key: EllipticCurvePublicKey, device_id: str, now: int
    ) -> str:
        made = x.device_certificate(self._certificate, self._key, key, device_id, now)
        fingerprint, not_after, pem = (
            made.fingerprint(SHA256()).hex(),
            int(made.not_valid_after_utc.timestamp()),
            x.pem(made),
        )
        database.execute(
            insert(CERTIFICATES).values(
                fingerprint=fingerprint,
                device_id=device_id,
                public_key=_der(key),
                serial=str(made.serial_number),
                not_after=not_after,
                pem=pem,
            )
        )
        _append(
            database,
            {
                "event": "issued",
                "certificate_sha256": fingerprint,
                "time": now,
                "not_after": not_after,
            },
        )
        return pem

    def _first_certificate(self, database: Connection, device_id: str) -> str:
        wanted = (
            select(CERTIFICATES.c.pem)
            .where(CERTIFICATES.c.device_id == device_id)
            .order_by(CERTIFICATES.c.number)
            .limit(1)
        )
        return str(database.execute(wanted).scalar_one())

    def _sign(self, message: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

        return self._key.sign(message, ECDSA(SHA256()))


def _signer(request: SignedRequest, newest: Callable[[str], list[Any]]) -> str:
    """The device whose newest or second-newest key signed the request."""
    place = (request.method, request.authority, request.path, request.headers, request.body)
    refusal = _refused("BAD_REQUEST_SIGNATURE", "The request's signature does not hold.")
    for position in range(SIGNING_CERTIFICATES):

        def key_of(device_id: str, position: int = position) -> EllipticCurvePublicKey | None:
            held = newest(device_id)
            return _load(held[position].public_key) if position < len(held) else None

        try:
            return verify_request(*place, key_of).device_id
        except PeerError as error:
            refusal = error
    raise refusal


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
    raise _refused("BAD_CSR", "The certificate request cannot be used.")


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
