"""Every request to the device port passes here first: who is asking, how often, how much, and
whether it was signed.

1. A route that is not in RULES needs a certificate, and a signature when it changes something.
   Forgetting a route makes it safe.
2. Identity is the SHA-256 of the certificate of the TLS connection, looked up at every request;
   never a header.
3. A body is read here, within its size and time, before anything looks at it.
4. Whoever is known gets the next nonce with every answer, errors too.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.clock import Clock
from agent.errors import AegisError, PeerError
from agent.protocol.http_signature import REPLAY_NONCE, SignedBy, verify_request
from server_stub.api import problems
from server_stub.api.peer_certificate import SCOPE_KEY
from server_stub.api.rate_limit import Buckets
from server_stub.api.replay_nonces import Nonces
from server_stub.config.limits import DevicePortLimits
from server_stub.storage.devices import DeviceStore
from server_stub.storage.records import RegisteredCertificate

SMALL_BODY_BYTES = 16 * 1024
ROUND_BODY_BYTES = 1024 * 1024
READING = frozenset({"GET", "HEAD"})
STATE_KEY = "caller"
LINGER_S, LINGER_BYTES = 1.0, 256 * 1024

Message = dict[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class Access(Enum):
    """What a route asks for."""

    PUBLIC = auto()
    CERTIFICATE = auto()
    """A certificate; and a signature unless it only reads."""
    SIGNATURE = auto()
    """A signature; the certificate may be missing (it may have expired)."""
    SIGNATURE_OR_SECRET = auto()
    """A signature, or something in the body that the route checks."""


@dataclass(frozen=True)
class Rule:
    """What a route asks for and the largest body that it reads."""

    method: str
    path: re.Pattern[str]
    access: Access
    max_bytes: int = SMALL_BODY_BYTES


DEFAULT = Rule("", re.compile(""), Access.CERTIFICATE)
PUBLIC_READS = re.compile(r"/healthz|/api/v1/(metadata|targets)/[\w./-]+", re.ASCII)


@dataclass(frozen=True)
class Principal:
    """Who is asking, as far as it was shown."""

    device_id: str = ""
    """"" for nobody."""
    has_certificate: bool = False
    has_signed: bool = False
    """The device signed the request; its nonce is spent."""


@dataclass(frozen=True)
class Request:
    """A request whose head has been read."""

    method: str
    path: str
    target: str
    """Path and query as they were sent."""
    headers: dict[str, str]
    certificate: bytes | None
    address: str


@dataclass
class AdmissionMetrics:
    """What came to the door since the start."""

    requests: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By code."""


def rules(max_update_bytes: Callable[[], int]) -> Callable[[str, str], Rule]:
    """The rule for a method and path."""
    table = (
        Rule("POST", re.compile(r"/api/v1/(register|challenge)"), Access.PUBLIC),
        Rule("POST", re.compile(r"/api/v1/certificate"), Access.SIGNATURE),
        Rule("DELETE", re.compile(r"/api/v1/device"), Access.SIGNATURE_OR_SECRET),
        Rule(
            "POST",
            re.compile(r"/api/v1/rounds/\d+/\w+", re.ASCII),
            Access.CERTIFICATE,
            ROUND_BODY_BYTES,
        ),
    )

    def rule(method: str, path: str) -> Rule:
        if method in READING:
            return (
                Rule(method, PUBLIC_READS, Access.PUBLIC, 0)
                if PUBLIC_READS.fullmatch(path)
                else DEFAULT
            )
        if (method, path) == ("POST", "/api/v1/updates"):
            return Rule(method, DEFAULT.path, Access.CERTIFICATE, max_update_bytes())
        return next(
            (known for known in table if known.method == method and known.path.fullmatch(path)),
            DEFAULT,
        )

    return rule


class AdmissionMiddleware:
    """ASGI middleware around the device port's application."""

    def __init__(
        self,
        app: App,
        devices: DeviceStore,
        nonces: Nonces,
        rule_for: Callable[[str, str], Rule],
        clock: Clock,
        limits: DevicePortLimits,
        buckets: Buckets,
        admission_metrics: AdmissionMetrics,
    ) -> None:
        self._app = app
        self._devices = devices
        self._nonces = nonces
        self._rule_for = rule_for
        self._clock = clock
        self._limits = limits
        self._rates = limits.rates
        self._buckets = buckets
        self._tally = admission_metrics

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = _request(scope)
        known = ""
        self._tally.requests += 1
        try:
            rule = self._rule_for(request.method, request.path)
            holder = self._holder(request)
            known = holder.device_id if holder else ""
            self._admit(request, rule, holder)
            body = await _body(receive, request, rule.max_bytes, self._limits)
            caller = self._caller(request, rule, holder, body)
            known = caller.device_id
        except AegisError as error:
            self._tally.refusals[error.code] += 1
            await _answer(receive, send, error, self._nonce_header(known))
            return
        scope.setdefault("state", {})[STATE_KEY] = caller
        await self._app(
            scope, _replay(body, receive), _with_headers(send, self._nonce_header(known))
        )

    def _holder(self, request: Request) -> RegisteredCertificate | None:
        return (
            None
            if request.certificate is None
            else self._devices.by_certificate(hashlib.sha256(request.certificate).hexdigest())
        )

    def _admit(self, request: Request, rule: Rule, holder: RegisteredCertificate | None) -> None:
        """Whether the request may be read at all.

        Raises BusyError, PeerError NO_IDENTITY, REJECTED_IDENTITY, REVOKED, CERTIFICATE_EXPIRED.
        """
        now_s = time.monotonic()
        if holder is None:
            self._buckets.take("address", request.address, self._rates.address, now_s)
        else:
            self._buckets.take("certificate", holder.device_id, self._rates.certificate, now_s)
        if rule.access is not Access.CERTIFICATE:
            return
        if request.certificate is None:
            raise PeerError("NO_IDENTITY", "A client certificate is needed.", "Enrol first.")
        if holder is None:
            raise PeerError(
                "REJECTED_IDENTITY",
                "The certificate is not known here.",
                "Ask the operator for an invitation.",
            )
        _check_holder(holder, self._clock.now())

    def _caller(
        self, request: Request, rule: Rule, holder: RegisteredCertificate | None, body: bytes
    ) -> Principal:
        """Raises PeerError BAD_REQUEST_SIGNATURE, NONCE_EXPIRED, NONCE_SPENT, REVOKED."""
        device_id = holder.device_id if holder else ""
        is_signed = "signature-input" in request.headers
        if (
            request.method in READING
            or rule.access is Access.PUBLIC
            or (rule.access is Access.SIGNATURE_OR_SECRET and not is_signed)
        ):
            return Principal(device_id, holder is not None)
        self._buckets.demand("failure", request.address, self._rates.failure, time.monotonic())
        try:
            signed = self._signed_by(request, holder, body)
        except PeerError:
            self._buckets.take("failure", request.address, self._rates.failure, time.monotonic())
            raise
        self._nonces.spend(signed.nonce, signed.device_id)
        return Principal(signed.device_id, holder is not None, has_signed=True)

    def _signed_by(
        self, request: Request, holder: RegisteredCertificate | None, body: bytes
    ) -> SignedBy:
        """Check the signature with the certificate's key or, without one, with any that the named
        device holds.
        """
        held: list[RegisteredCertificate] = [holder] if holder else []
        refusal = PeerError(
            "BAD_REQUEST_SIGNATURE",
            "The request's signature does not hold.",
            "Nothing was changed.",
        )
        position = 0
        while True:

            def key_of(device_id: str, position: int = position) -> EllipticCurvePublicKey | None:
                if holder is None:
                    held[:] = self._devices.keys(device_id)
                if position >= len(held) or held[position].device_id != device_id:
                    return None
                if held[position].revoked:
                    raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")
                return _load_key(held[position].public_key)

            try:
                host = request.headers.get("host", "")
                return verify_request(
                    request.method, host, request.target, request.headers, body, key_of
                )
            except PeerError as error:
                position += 1
                if error.code != refusal.code or position >= len(held):
                    raise

    def _nonce_header(self, device_id: str) -> list[tuple[bytes, bytes]]:
        if not device_id:
            return []
        return [(REPLAY_NONCE.lower().encode(), self._nonces.make(device_id).encode())]


def _check_holder(holder: RegisteredCertificate, now: int) -> None:
    if holder.revoked:
        raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")
    if holder.not_after <= now:
        raise PeerError("CERTIFICATE_EXPIRED", "The certificate has expired.", "Renew it.")


@lru_cache(maxsize=4096)
def _load_key(der: bytes) -> EllipticCurvePublicKey | None:
    key = load_der_public_key(der)
    return key if isinstance(key, EllipticCurvePublicKey) else None


def _request(scope: Message) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope.get("query_string", b"").decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    address = (scope.get("client") or ("unknown", 0))[0]
    return Request(scope["method"], scope["path"], target, headers, scope.get(SCOPE_KEY), address)


async def _body(
    receive: Callable[[], Awaitable[Message]],
    request: Request,
    max_bytes: int,
    limits: DevicePortLimits,
) -> bytes:
    """Raises PeerError TOO_LARGE, TOO_SLOW."""
    said = request.headers.get("content-length", "0")
    if not said.isascii() or not said.isdigit() or int(said) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_s + max_bytes / limits.body_bytes_per_s):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return bytes(body)
    except TimeoutError as error:
        raise PeerError("TOO_SLOW", "The request came too slowly.", "Send it again.") from error


def _too_large(max_bytes: int) -> PeerError:
    return PeerError(
        "TOO_LARGE", f"The body is larger than {max_bytes} bytes.", "Nothing was changed."
    )


def _replay(
    body: bytes, receive: Callable[[], Awaitable[Message]]
) -> Callable[[], Awaitable[Message]]:
    """The body once, then whatever comes (a disconnection)."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def _with_headers(
    send: Callable[[Message], Awaitable[None]], extra: list[tuple[bytes, bytes]]
) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending


async def _answer(
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
    error: AegisError,
    extra: list[tuple[bytes, bytes]],
) -> None:
    status, headers, body = problems.answer(error)
    cut_off = error.code in ("TOO_LARGE", "TOO_SLOW")
    if cut_off:
        headers["Connection"] = "close"
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*encoded, (b"content-length", str(len(body)).encode()), *extra],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": cut_off})
    if cut_off:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Callable[[], Awaitable[Message]]) -> None:
    """Throw away what is still coming, for a moment: closing over unread bytes would take the
    answer away from the client (RST).
    """
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
