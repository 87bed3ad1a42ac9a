"""Authenticates, rate-limits and bounds every request to the device port.

1. A route that `rules` does not list needs a certificate, and a signature if it changes anything:
   a forgotten route is a safe one.
2. Identity is the SHA-256 of the TLS connection's certificate, looked up for every request. No
   header can set it.
3. A header that this server reads may occur once.
4. The body is read here, within its bounds of size and time, before any other code sees it.
5. Every response to a known device carries its next nonce, errors included.
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
from agent.protocol.http_signature import REPLAY_NONCE, SignedBy, repeated_header, verify_request
from server_stub.api import problems
from server_stub.api.peer_certificate import SCOPE_KEY
from server_stub.api.rate_limit import Buckets
from server_stub.api.replay_nonces import Nonces
from server_stub.config.limits import DevicePortLimits
from server_stub.storage.devices import DeviceStore
from server_stub.storage.records import RegisteredCertificate

SMALL_BODY_BYTES = 16 * 1024
ROUND_BODY_BYTES = 1024 * 1024
READY_BODY_BYTES = 320 * 1024
"""The heads of a ledger with as many charges as a device shows at once."""
MEMBERS_BODY_BYTES = 128 * 1024
"""A digest for each device of the largest group."""
READ_METHODS = frozenset({"GET", "HEAD"})
STATE_KEY = "principal"
"""Where a route finds its Principal in the ASGI scope's state."""
LINGER_S, LINGER_BYTES = 1.0, 256 * 1024
"""How long, and how much, a connection is read on after a refusal."""

Message = dict[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class Access(Enum):
    """What a route requires."""

    PUBLIC = auto()
    CERTIFICATE = auto()
    """A certificate, and a signature unless the request only reads."""
    SIGNATURE = auto()
    """A signature. The certificate may be missing: it may have expired."""
    SIGNATURE_OR_SECRET = auto()
    """A signature, or a secret in the body, which the route checks."""


@dataclass(frozen=True)
class Rule:
    """What a route requires, and the largest body that it reads."""

    method: str
    path: re.Pattern[str]
    access: Access
    max_bytes: int = SMALL_BODY_BYTES


DEFAULT = Rule("", re.compile(""), Access.CERTIFICATE)
PUBLIC_READS = re.compile(r"/healthz|/api/v1/(metadata|targets)/[\w./-]+", re.ASCII)


@dataclass(frozen=True)
class Principal:
    """Who sent a request, as far as the request proves it."""

    device_id: str = ""
    """Empty for an unknown sender."""
    has_certificate: bool = False
    has_signed: bool = False
    """The device signed the request; its nonce is spent."""


@dataclass(frozen=True)
class Request:
    """The head of a request."""

    method: str
    path: str
    target: str
    """Path and query, exactly as sent."""
    headers: dict[str, str]
    certificate: bytes | None
    address: str


@dataclass
class AdmissionMetrics:
    """Counts since the start."""

    requests: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By code."""


def rules(max_update_bytes: Callable[[], int]) -> Callable[[str, str], Rule]:
    """Return the function that finds the rule for a method and path."""
    table = (
        Rule("POST", re.compile(r"/api/v1/(register|challenge)"), Access.PUBLIC),
        Rule("POST", re.compile(r"/api/v1/certificate"), Access.SIGNATURE),
        Rule("DELETE", re.compile(r"/api/v1/device"), Access.SIGNATURE_OR_SECRET),
        Rule("POST", re.compile(r"/api/v1/rounds/ready"), Access.CERTIFICATE, READY_BODY_BYTES),
        Rule("POST", re.compile(r"/api/v1/log/members"), Access.CERTIFICATE, MEMBERS_BODY_BYTES),
        Rule(
            "POST",
            re.compile(r"/api/v1/rounds/\d+/\w+", re.ASCII),
            Access.CERTIFICATE,
            ROUND_BODY_BYTES,
        ),
    )

    def rule(method: str, path: str) -> Rule:
        if method in READ_METHODS:
            return (
                Rule(method, PUBLIC_READS, Access.PUBLIC, 0)
                if PUBLIC_READS.fullmatch(path)
                else DEFAULT
            )
        if (method, path) == ("POST", "/api/v1/updates"):
            return Rule(method, DEFAULT.path, Access.CERTIFICATE, max_update_bytes())
        return next(
            (one for one in table if one.method == method and one.path.fullmatch(path)),
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
        metrics: AdmissionMetrics,
    ) -> None:
        self._app = app
        self._devices = devices
        self._nonces = nonces
        self._rule_for = rule_for
        self._clock = clock
        self._limits = limits
        self._rates = limits.rates
        self._buckets = buckets
        self._metrics = metrics

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = _request(scope)
        device_id = ""
        self._metrics.requests += 1
        try:
            rule = self._rule_for(request.method, request.path)
            registered = self._registered(request)
            device_id = registered.device_id if registered else ""
            _check_headers(scope["headers"])
            self._admit(request, rule, registered)
            body = await _body(receive, request, rule.max_bytes, self._limits)
            principal = self._principal(request, rule, registered, body)
            device_id = principal.device_id
        except AegisError as error:
            self._metrics.refusals[error.code] += 1
            await _refuse(receive, send, error, self._nonce_header(device_id))
            return
        scope.setdefault("state", {})[STATE_KEY] = principal
        await self._app(
            scope, _replay(body, receive), _with_headers(send, self._nonce_header(device_id))
        )

    def _registered(self, request: Request) -> RegisteredCertificate | None:
        return (
            None
            if request.certificate is None
            else self._devices.by_certificate(hashlib.sha256(request.certificate).hexdigest())
        )

    def _admit(
        self, request: Request, rule: Rule, registered: RegisteredCertificate | None
    ) -> None:
        """Decide from its head whether the request may be read.

        Raises BusyError, PeerError NO_IDENTITY, REJECTED_IDENTITY, REVOKED, CERTIFICATE_EXPIRED.
        """
        now_s = time.monotonic()
        if registered is None:
            self._buckets.take("address", request.address, self._rates.address, now_s)
        else:
            self._buckets.take("certificate", registered.device_id, self._rates.certificate, now_s)
        if rule.access is not Access.CERTIFICATE:
            return
        if request.certificate is None:
            raise PeerError("NO_IDENTITY", "A client certificate is required.", "Enrol first.")
        if registered is None:
            raise PeerError(
                "REJECTED_IDENTITY",
                "This server does not know the certificate.",
                "Ask the operator for an invitation.",
            )
        _check_registered(registered, self._clock.now())

    def _principal(
        self, request: Request, rule: Rule, registered: RegisteredCertificate | None, body: bytes
    ) -> Principal:
        """Raises PeerError BAD_REQUEST_SIGNATURE, NONCE_EXPIRED, NONCE_SPENT, REVOKED."""
        device_id = registered.device_id if registered else ""
        is_signed = "signature-input" in request.headers
        if (
            request.method in READ_METHODS
            or rule.access is Access.PUBLIC
            or (rule.access is Access.SIGNATURE_OR_SECRET and not is_signed)
        ):
            return Principal(device_id, registered is not None)
        self._buckets.require("failure", request.address, self._rates.failure, time.monotonic())
        try:
            signed = self._signed_by(request, registered, body)
        except PeerError:
            self._buckets.take("failure", request.address, self._rates.failure, time.monotonic())
            raise
        self._nonces.spend(signed.nonce, signed.device_id)
        return Principal(signed.device_id, registered is not None, has_signed=True)

    def _signed_by(
        self, request: Request, registered: RegisteredCertificate | None, body: bytes
    ) -> SignedBy:
        """Check the signature with the certificate's key.

        Without a certificate, check it with each key that the named device holds.
        """
        candidates: list[RegisteredCertificate] = [registered] if registered else []
        position = 0
        while True:

            def key_of(device_id: str, position: int = position) -> EllipticCurvePublicKey | None:
                if registered is None:
                    candidates[:] = self._devices.keys(device_id)
                if position >= len(candidates) or candidates[position].device_id != device_id:
                    return None
                if candidates[position].revoked:
                    raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")
                return _load_key(candidates[position].public_key)

            try:
                host = request.headers.get("host", "")
                return verify_request(
                    request.method, host, request.target, request.headers, body, key_of
                )
            except PeerError as error:
                position += 1
                if error.code != "BAD_REQUEST_SIGNATURE" or position >= len(candidates):
                    raise

    def _nonce_header(self, device_id: str) -> list[tuple[bytes, bytes]]:
        if not device_id:
            return []
        return [(REPLAY_NONCE.lower().encode(), self._nonces.make(device_id).encode())]


def _check_registered(registered: RegisteredCertificate, now: int) -> None:
    if registered.revoked:
        raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")
    if registered.not_after <= now:
        raise PeerError("CERTIFICATE_EXPIRED", "The certificate has expired.", "Renew it.")


@lru_cache(maxsize=4096)
def _load_key(der: bytes) -> EllipticCurvePublicKey | None:
    key = load_der_public_key(der)
    return key if isinstance(key, EllipticCurvePublicKey) else None


def _check_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """Raise PeerError REPEATED_HEADER (rule 3)."""
    name = repeated_header(name.decode("latin-1") for name, _ in headers)
    if name:
        raise PeerError(
            "REPEATED_HEADER",
            "The request has a header twice that may occur once.",
            "Nothing was changed.",
            name,
        )


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
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or int(declared) > max_bytes:
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
        raise PeerError(
            "TOO_SLOW", "The request body arrived too slowly.", "Send it again."
        ) from error


def _too_large(max_bytes: int) -> PeerError:
    return PeerError(
        "TOO_LARGE", f"The body is larger than {max_bytes} bytes.", "Nothing was changed."
    )


def _replay(
    body: bytes, receive: Callable[[], Awaitable[Message]]
) -> Callable[[], Awaitable[Message]]:
    """Replay the body once, then pass on what follows (a disconnection)."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _with_headers(
    send: Callable[[Message], Awaitable[None]], extra: list[tuple[bytes, bytes]]
) -> Callable[[Message], Awaitable[None]]:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return send_with_headers


async def _refuse(
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
    error: AegisError,
    extra: list[tuple[bytes, bytes]],
) -> None:
    status, headers, body = problems.response(error)
    closes = error.code in ("TOO_LARGE", "TOO_SLOW")
    if closes:
        headers["Connection"] = "close"
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*encoded, (b"content-length", str(len(body)).encode()), *extra],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": closes})
    if closes:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Callable[[], Awaitable[Message]]) -> None:
    """Read and discard the rest of the body for a moment.

    Closing a connection with unread bytes sends RST, and the client would lose the answer.
    """
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
