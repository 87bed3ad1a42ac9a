"""Speaks to the aggregator: one method for each request, which returns a checked value.

Signed responses are verified before the caller sees them. Blocking: call from an executor, one call
at a time. Nothing is opened, read or imported before the first call.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agent.clock import Clock
from agent.errors import AegisError
from agent.protocol.ledger_heads import HeadStep, Ready
from agent.protocol.limits import MAX_BODY_BYTES, MAX_MODEL_BYTES, MAX_OFFER_BYTES
from agent.transport.responses import json_object
from agent.transport.server_clock import ServerClock
from agent.transport.signed_connection import JSON_TYPE, SignedConnection, to_json
from agent.transport.statements import (
    ModelDownload,
    Offer,
    Receipt,
    Registration,
    read_model,
    read_offer,
    read_receipt,
    read_registration,
    read_renewal,
)

if TYPE_CHECKING:
    from agent.identity.identity import Identity
    from agent.transport.http import Timeouts

ENVELOPE_TYPE = "application/vnd.aegisai.envelope"


class AggregatorClient:
    """The requests of one device, over one connection.

    Every method may raise UserActionError OFFLINE or CLOCK_WRONG, OperatorActionError
    SERVER_CERTIFICATE or REJECTED_IDENTITY, PeerError SERVER_BUSY (`responses.RetryLater`),
    SERVER_ERROR, BAD_ANSWER, BAD_SIGNATURE or ANSWER_TOO_LARGE.
    """

    def __init__(
        self,
        server: str,
        ca_pem: str,
        signing_key: str,
        identity: "Identity | None" = None,
        *,
        proxy: str = "",
        timeouts: "Timeouts | None" = None,
        clock: Clock | None = None,
        server_clock: ServerClock | None = None,
        meter: Callable[[int, int], None] | None = None,
    ) -> None:
        """`meter` takes the body bytes of each successful request and of its response."""
        self._ca_pem = ca_pem
        self._signing_key = signing_key
        self._connection = SignedConnection(
            server,
            ca_pem,
            identity,
            proxy=proxy,
            timeouts=timeouts,
            clock=clock,
            server_clock=server_clock,
            meter=meter,
        )

    @property
    def identity(self) -> "Identity | None":
        """The identity of this connection; None once it is closed."""
        return self._connection.identity

    def close(self, *, for_good: bool = True) -> None:
        """End the request under way, forget the key and refuse every later request.

        May be called from another thread. Without `for_good` it only closes the connection; the
        next request opens a new one.
        """
        if for_good:
            self._connection.close()
        else:
            self._connection.hang_up()

    def ask_time(self) -> None:
        """Have the server tell its time; sends nothing about this device."""
        self._connection.get("/healthz")

    # Enrolment.

    def register(self, token: str, csr_pem: str) -> Registration:
        """Enrol. The same token with the same key gives the same registration again.

        Raises UserActionError TOKEN_UNKNOWN, TOKEN_USED, TOKEN_EXPIRED.
        """
        response = self._connection.post_json(
            "/api/v1/register", {"token": token, "csr_pem": csr_pem}
        )
        return read_registration(response, self._ca_pem, self._signing_key)

    def renew(self, csr_pem: str) -> str:
        """Return the next certificate, as PEM, for the key of `csr_pem`.

        Works until 90 days after the present certificate has expired. Where the server refuses that
        one (because this computer's clock is behind), the request goes out without it: the
        signature names the device. The same key gets the same certificate again. Raises
        OperatorActionError REVOKED, CERTIFICATE_EXPIRED (more than 90 days ago).
        """
        body = to_json({"csr_pem": csr_pem})
        try:
            response = self._connection.send_signed("POST", "/api/v1/certificate", body)
        except AegisError as error:
            is_refused = error.code in ("REJECTED_IDENTITY", "OFFLINE")
            if not is_refused or not self._connection.shows_certificate:
                raise
            self._connection.hide_certificate()
            response = self._connection.send_signed("POST", "/api/v1/certificate", body)
        return read_renewal(response, self._ca_pem)

    def log_head(self) -> dict[str, Any]:
        """Return the head of the authority's issuance log, unchecked (agent.protocol.issuance)."""
        return json_object(self._connection.get("/api/v1/log"))

    def log_proof(self, certificate_sha256: str, size: int) -> dict[str, Any]:
        """Return a proof that the log of `size` entries holds a certificate, unchecked."""
        query = f"certificate_sha256={certificate_sha256}&size={size}"
        return json_object(self._connection.get(f"/api/v1/log/proof?{query}"))

    def log_members(self, certificates: Sequence[str], size: int) -> dict[str, Any]:
        """Return proofs that the log of `size` entries holds these certificates (SHA-256, hex) and
        the first one of each of their devices, unchecked (agent.protocol.peer_enrolment).
        """
        body = to_json({"certificates": list(certificates), "size": size})
        return json_object(
            self._connection.send_signed(
                "POST", "/api/v1/log/members", body, max_bytes=MAX_OFFER_BYTES
            )
        )

    def log_consistency(self, earlier: int, size: int) -> dict[str, Any]:
        """Return a proof that the log of `size` entries continues that of `earlier`, unchecked."""
        query = f"earlier={earlier}&size={size}"
        return json_object(self._connection.get(f"/api/v1/log/consistency?{query}"))

    # Models.

    def model(self, known_digest: str = "") -> ModelDownload | None:
        """Return the current model, unchecked; None when its SHA-256 is `known_digest`."""
        headers = {"If-None-Match": f'"{known_digest}"'} if known_digest else {}
        response = self._connection.send(
            "GET", "/api/v1/model", headers=headers, max_bytes=MAX_MODEL_BYTES
        )
        return None if response.status == 304 else read_model(response)

    def public_file(self, path: str, max_bytes: int) -> bytes | None:
        """Return a file of the model repository, unchecked; None when it does not exist.

        `path` begins with "metadata/" or "targets/". Needs no certificate.
        """
        return self._connection.public_file(f"/api/v1/{path}", max_bytes)

    # Rounds.

    def offer(self) -> Offer:
        """Return what the server offers now."""
        response = self._connection.get("/api/v1/rounds/offer", MAX_OFFER_BYTES)
        return read_offer(response, self._signing_key)

    def ready(self, ready: Ready) -> Offer:
        """Report that a finished update can go into a round; return what the server offers now.

        Raises UserActionError LEDGER_FORKED, PeerError LEDGER_BEHIND (the server needs earlier
        heads) and LEDGER_RESERVED (`responses.ReservedError`).
        """
        response = self._connection.send_signed(
            "POST", "/api/v1/rounds/ready", to_json(ready.to_json()), max_bytes=MAX_OFFER_BYTES
        )
        return read_offer(response, self._signing_key, ready)

    def send_update(self, body: bytes, step: HeadStep | None = None) -> Receipt:
        """Send an envelope from the outbox. The same body gets the same receipt again.

        `step`: what its charge did to the ledger's head. Raises PeerError ROUND_CLOSED,
        ALREADY_CONTRIBUTED, BAD_ENVELOPE, WRONG_SHAPE, UserActionError LEDGER_FORKED.
        """
        path = "/api/v1/updates" + (f"?{step.to_query()}" if step else "")
        response = self._connection.send_signed("POST", path, body, ENVELOPE_TYPE)
        identity = self.identity
        return read_receipt(
            response, self._signing_key, body, identity.device_id if identity else None, step
        )

    def send_phase(self, round_id: int, phase: str, body: bytes) -> None:
        """Send a message of a secure-aggregation round (agent.transport.round_session), or `leave`.

        The same body may be sent again.

        Raises PeerError ROUND_CLOSED, ALREADY_CONTRIBUTED (another body), BAD_ENVELOPE.
        """
        self._connection.send_signed(
            "POST", f"/api/v1/rounds/{round_id}/{phase}", body, ENVELOPE_TYPE
        )

    def inbox(self, round_id: int, after: str, dealer: int | None = None) -> bytes | None:
        """Return the outcome of a phase for this device; None while the phase is under way.

        `dealer`: after the shares, the signed message of this dealer instead. Raises PeerError
        ROUND_CLOSED.
        """
        path = f"/api/v1/rounds/{round_id}/inbox?after={after}"
        if dealer is not None:
            path += f"&dealer={dealer}"
        response = self._connection.get(path, MAX_BODY_BYTES)
        return response.body if response.status == 200 else None

    # What the server knows.

    def device(self) -> dict[str, Any]:
        """Return everything that the server stores about this device."""
        return json_object(self._connection.get("/api/v1/device"))

    def erase(self) -> None:
        """Ask the server to erase this device, by its certificate."""
        self._connection.send_signed("DELETE", "/api/v1/device", b"{}")

    def erase_by_secret(self, device_id: str, erase_secret: str) -> None:
        """Ask the server to erase a device whose keys are gone."""
        self._connection.send(
            "DELETE",
            "/api/v1/device",
            to_json({"device_id": device_id, "erase_secret": erase_secret}),
            {"Content-Type": JSON_TYPE},
        )
