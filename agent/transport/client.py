"""The aggregator as the device sees it: one method for each thing to say, signed answers checked
before anyone sees them.

Every request that changes something is signed over a nonce of the server's
(agent.protocol.http_signature). Each answer brings the next nonce; where it is missing or too old,
one is asked for. A request that the server refuses for its nonce goes out again, with the same body
under a fresh nonce.

Blocking: call from an executor, one call at a time. Nothing is opened, read or imported before the
first call.
"""

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.clock import Clock, SystemClock
from agent.errors import AegisError, InternalError, PeerError
from agent.protocol.http_signature import REPLAY_NONCE, sign_request
from agent.protocol.limits import MAX_BODY_BYTES, MAX_MODEL_BYTES, MAX_OFFER_BYTES
from agent.protocol.messages import RoundConfig, Task
from agent.protocol.signing import Context, verify
from agent.transport.answers import (
    MAX_JSON_BYTES,
    Answer,
    ModelDownload,
    Offer,
    Receipt,
    Registration,
    bad_answer,
    checked,
    json_object,
    problem,
)

if TYPE_CHECKING:
    from agent.identity.identity import Identity
    from agent.transport.http import PinnedSession, Timeouts

JSON_TYPE = "application/json"
ENVELOPE_TYPE = "application/vnd.aegisai.envelope"
NONCE_LIFE_S = 45.0
"""The server's nonces live for 60 s; an older one is not worth the way."""
NONCE_CODES = frozenset({"NONCE_MISSING", "NONCE_EXPIRED", "NONCE_SPENT"})
MAX_NONCES = 3
"""How often one request is tried under a fresh nonce."""


class AggregatorClient:
    """A connection to the aggregator.

    Every method may raise UserActionError OFFLINE, OperatorActionError SERVER_CERTIFICATE or
    REJECTED_IDENTITY, PeerError SERVER_BUSY (`answers.RetryLater`), SERVER_ERROR, BAD_ANSWER,
    BAD_SIGNATURE or ANSWER_TOO_LARGE.
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
    ) -> None:
        self._server = server
        self._ca_pem = ca_pem
        self._signing_key = signing_key
        self._identity = identity
        self._proxy = proxy
        self._timeouts = timeouts
        self._clock = clock or SystemClock()
        self._opened: PinnedSession | None = None
        self._closed = False
        self._nonce = ""
        self._nonce_until = 0.0
        self._shows_certificate = identity is not None

    def register(self, token: str, csr_pem: str) -> Registration:
        """Enrol. The same token with the same key gives the same answer again.

        Raises UserActionError TOKEN_UNKNOWN, TOKEN_USED, TOKEN_EXPIRED.
        """
        answer = json_object(
            self._post("/api/v1/register", _json({"token": token, "csr_pem": csr_pem}), JSON_TYPE)
        )
        fields = checked(
            answer,
            device_id=str,
            certificate_pem=str,
            ca_pem=str,
            erase_secret=str,
            task=dict,
            signing_key=str,
        )
        if fields["ca_pem"].split() != self._ca_pem.split():
            raise bad_answer("the certificate authority is not the invitation's")
        if self._signing_key and fields["signing_key"] != self._signing_key:
            raise bad_answer("the signing key is not the invitation's")
        return Registration(**{**fields, "task": Task.from_json(fields["task"])})

    @property
    def identity(self) -> "Identity | None":
        """Whose connection this is; None once it is closed."""
        return self._identity

    def offer(self, *, ready: bool = False, trained: int | None = None) -> Offer:
        """What the server would like now.

        `ready`: a finished update of the model version `trained` is here and can meet a group.
        """
        said = "?ready=true" + ("" if trained is None else f"&trained={trained}") if ready else ""
        outer = checked(
            json_object(self._get(f"/api/v1/rounds/offer{said}", MAX_OFFER_BYTES)),
            offer=dict,
            signature=str,
            crl_pem=str,
        )
        verify(self._signing_key, Context.OFFER, outer["offer"], outer["signature"])
        fields = checked(
            outer["offer"],
            status=str,
            next_poll_s=int,
            task=dict,
            model_version=int,
            model_digest=str,
            round=dict | None,
            contributed=bool,
            time=int,
            join_opens=int,
            join_closes=int,
        )
        if fields["status"] not in ("open", "wait") or fields["next_poll_s"] < 0:
            raise bad_answer("status or next_poll_s out of range")
        config = None if fields["round"] is None else RoundConfig.from_json(fields["round"])
        return Offer(
            **{
                **fields,
                "task": Task.from_json(fields["task"]),
                "round": config,
                "crl_pem": outer["crl_pem"],
            }
        )

    def model(self, known_digest: str = "") -> ModelDownload | None:
        """The current model, unchecked; None when its SHA-256 is `known_digest`."""
        headers = {"If-None-Match": f'"{known_digest}"'} if known_digest else {}
        answer = self._send("GET", "/api/v1/model", b"", headers, max_bytes=MAX_MODEL_BYTES)
        if answer.status == 304:
            return None
        try:
            metadata = base64.urlsafe_b64decode(answer.headers["X-Model-Metadata"].encode())
            return ModelDownload(metadata, answer.headers["X-Model-Signature"], answer.body)
        except (KeyError, ValueError) as error:
            raise bad_answer("the model's headers") from error

    def public_file(self, path: str, max_bytes: int) -> bytes | None:
        """A file of the model repository ("metadata/…" or "targets/…"), unchecked; None when there
        is none. Needs no certificate.
        """
        answer = self._session().send("GET", f"/api/v1/{path}", max_bytes=max_bytes)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise problem(answer)
        return answer.body

    def send_update(self, body: bytes) -> Receipt:
        """Send an envelope from the outbox. The same body again gets the same receipt.

        Raises PeerError ROUND_CLOSED, ALREADY_CONTRIBUTED, BAD_ENVELOPE, WRONG_SHAPE.
        """
        outer = checked(
            json_object(self._send_signed("POST", "/api/v1/updates", body, ENVELOPE_TYPE)),
            receipt=dict,
            signature=str,
        )
        verify(self._signing_key, Context.RECEIPT, outer["receipt"], outer["signature"])
        fields = checked(
            outer["receipt"],
            task_id=str,
            round_id=int,
            device_id=str,
            body_sha256=str,
            bytes=int,
            received_at=int,
        )
        receipt = Receipt(**fields, signature=outer["signature"])
        ours = self._identity.device_id if self._identity else receipt.device_id
        if (receipt.body_sha256, receipt.bytes, receipt.device_id) != (
            hashlib.sha256(body).hexdigest(),
            len(body),
            ours,
        ):
            raise bad_answer("the receipt is for something else")
        return receipt

    def send_phase(self, round_id: int, phase: str, body: bytes) -> None:
        """Send a message of a secure-aggregation round (agent.transport.round_session); repeating
        the same body is fine.

        Raises PeerError ROUND_CLOSED, ALREADY_CONTRIBUTED (another body), BAD_ENVELOPE.
        """
        self._send_signed("POST", f"/api/v1/rounds/{round_id}/{phase}", body, ENVELOPE_TYPE)

    def inbox(self, round_id: int, after: str) -> bytes | None:
        """What came of a phase for this device; None while it is not over.

        Raises PeerError ROUND_CLOSED.
        """
        answer = self._send(
            "GET", f"/api/v1/rounds/{round_id}/inbox?after={after}", max_bytes=MAX_BODY_BYTES
        )
        return answer.body if answer.status == 200 else None

    def leave(self, round_id: int, body: bytes) -> None:
        """Tell the server that this device left the round: a code (`agent.secagg.Client.leave`), no
        data.
        """
        self.send_phase(round_id, "leave", body)

    def renew(self, csr_pem: str) -> str:
        """The next certificate, as PEM, for the key of `csr_pem`; works for 90 days after the
        present one has expired.

        Where the present one is refused (expired, by a clock that is righter than this computer's),
        it goes on without: the signature says who asks. The same key again gives the same
        certificate. Raises OperatorActionError REVOKED, CERTIFICATE_EXPIRED (longer ago).
        """
        body = _json({"csr_pem": csr_pem})
        try:
            came = self._send_signed("POST", "/api/v1/certificate", body, JSON_TYPE)
        except AegisError as error:
            if error.code not in ("REJECTED_IDENTITY", "OFFLINE") or not self._shows_certificate:
                raise
            self._hide_certificate()
            came = self._send_signed("POST", "/api/v1/certificate", body, JSON_TYPE)
        answer = json_object(came)
        fields = checked(answer, certificate_pem=str, ca_pem=str)
        if fields["ca_pem"].split() != self._ca_pem.split():
            raise bad_answer("the certificate authority is not the invitation's")
        return str(fields["certificate_pem"])

    def log_head(self) -> dict[str, Any]:
        """Head of the authority's issuance log, unchecked (agent.protocol.issuance), as are the
        next two.
        """
        return json_object(self._get("/api/v1/log"))

    def log_proof(self, certificate_sha256: str, size: int) -> dict[str, Any]:
        """Proof that a certificate's issuance is in the log of `size` entries."""
        return json_object(
            self._get(f"/api/v1/log/proof?certificate_sha256={certificate_sha256}&size={size}")
        )

    def log_consistency(self, earlier: int, size: int) -> dict[str, Any]:
        """Proof that the log of `earlier` entries is the beginning of the one of `size`."""
        return json_object(self._get(f"/api/v1/log/consistency?earlier={earlier}&size={size}"))

    def stats(self) -> dict[str, Any]:
        """The aggregator's public figures."""
        return json_object(self._get("/api/v1/stats"))

    def device(self) -> dict[str, Any]:
        """All that the server holds about this device."""
        return json_object(self._get("/api/v1/device"))

    def erase(self) -> None:
        """Ask the server to forget this device, by its certificate."""
        self._send_signed("DELETE", "/api/v1/device", b"{}", JSON_TYPE)

    def erase_by_secret(self, device_id: str, erase_secret: str) -> None:
        """The same after the keys are gone."""
        self._send(
            "DELETE",
            "/api/v1/device",
            _json({"device_id": device_id, "erase_secret": erase_secret}),
            {"Content-Type": JSON_TYPE},
        )

    def close(self) -> None:
        """End what is under way, forget the key, and send nothing ever after.

        May be called from another thread.
        """
        self._closed = True
        if self._opened is not None:
            self._opened.close()
        self._identity = None

    def _get(self, path: str, max_bytes: int = MAX_JSON_BYTES) -> Answer:
        return self._send("GET", path, max_bytes=max_bytes)

    def _post(self, path: str, body: bytes, content_type: str) -> Answer:
        return self._send("POST", path, body, {"Content-Type": content_type})

    def _send_signed(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        identity = self._identity
        if identity is None:
            raise InternalError("NO_IDENTITY", "A signed request needs an identity.")
        tries = MAX_NONCES
        while True:
            tries -= 1
            headers = sign_request(
                method,
                urlsplit(self._server).netloc,
                path,
                content_type,
                body,
                device_id=identity.device_id,
                nonce=self._take_nonce(identity.device_id),
                created=self._clock.now(),
                sign=identity.signer.sign,
            )
            try:
                return self._send(method, path, body, headers)
            except PeerError as error:
                if error.code not in NONCE_CODES or not tries:
                    raise

    def _take_nonce(self, device_id: str) -> str:
        """A nonce that was not used before and is not about to expire."""
        if not self._nonce or self._clock.monotonic() > self._nonce_until:
            answer = self._post("/api/v1/challenge", _json({"device_id": device_id}), JSON_TYPE)
            self._keep_nonce(str(checked(json_object(answer), nonce=str)["nonce"]))
        nonce, self._nonce = self._nonce, ""
        return nonce

    def _keep_nonce(self, nonce: str) -> None:
        self._nonce, self._nonce_until = nonce, self._clock.monotonic() + NONCE_LIFE_S

    def _send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        max_bytes: int = MAX_JSON_BYTES,
    ) -> Answer:
        answer = self._session().send(method, path, body=body, headers=headers, max_bytes=max_bytes)
        self._keep_nonce(answer.headers.get(REPLAY_NONCE, ""))
        if answer.status >= 400:
            raise problem(answer)
        if answer.status not in (200, 201, 202, 204, 304):
            raise PeerError(
                "SERVER_ERROR",
                f"The server answered with status {answer.status}.",
                "Tell the operator.",
            )
        return answer

    def _hide_certificate(self) -> None:
        """Go on over a new connection that shows none."""
        self._shows_certificate = False
        session, self._opened = self._opened, None
        if session is not None:
            session.close()

    def _session(self) -> "PinnedSession":
        if self._opened is None:
            from agent.transport.http import PinnedSession
            from agent.transport.tls import client_context

            if self._identity is not None and self._identity.not_after <= self._clock.now():
                self._shows_certificate = False
            context = client_context(
                self._ca_pem, self._identity if self._shows_certificate else None
            )
            self._opened = PinnedSession(
                self._server, context, proxy=self._proxy, timeouts=self._timeouts
            )
        if self._closed:  # looked at last: `close` may have come while the session was being made
            self._opened.close()
        return self._opened


def _json(value: dict[str, str]) -> bytes:
    return json.dumps(value).encode()
