"""The device port's routes. `admission` has let the request in before anything here runs."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from agent.clock import Clock
from agent.errors import AegisError, PeerError
from agent.protocol.envelope import decode
from agent.protocol.limits import MAX_BODY_BYTES
from agent.protocol.messages import Mode
from agent.protocol.signing import Context, public_hex, sign
from server_stub.api import problems, schemas
from server_stub.api.admission import (
    STATE_KEY,
    AdmissionMetrics,
    AdmissionMiddleware,
    Principal,
    rules,
)
from server_stub.api.rate_limit import Buckets
from server_stub.api.replay_nonces import Nonces
from server_stub.ca.authority import Issued, SignedRequest
from server_stub.ca.rpc import Enrolment
from server_stub.config.home import ServerHome
from server_stub.config.limits import Rates
from server_stub.config.settings import ServerSettings
from server_stub.coordinator.driver import RoundDriver, Situation
from server_stub.coordinator.statistics import statistics
from server_stub.errors import BusyError
from server_stub.publishing import tuf_repository
from server_stub.rounds.lifecycle import State
from server_stub.rounds.update_checks import check_update, max_update_bytes, named_round
from server_stub.storage.records import CertificateRecord
from server_stub.storage.serial_executor import SerialExecutor
from server_stub.storage.store import Store

ENVELOPE_TYPE = "application/vnd.aegisai.envelope"
JSON_TYPE = "application/json"
ENVELOPE_BODY = {
    "requestBody": {
        "required": True,
        "content": {ENVELOPE_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
HOLD_S = 1.0
"""How long a question for an inbox may be held."""
LOG = logging.getLogger("aegisai.server")
T = TypeVar("T")
LogSize = Annotated[int, Query(ge=0, le=2**31)]


class Server:
    """What the routes work with. What touches the database waits for its turn (`executor`)."""

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
        rates: Rates | None = None,
    ) -> None:
        self.home = home
        self.settings = settings
        self.store = store
        self.authority = authority
        self.driver = driver
        self.key = key
        self.clock = clock
        self.limits = settings.limits if rates is None else replace(settings.limits, rates=rates)
        self.rates = self.limits.rates
        self.buckets = Buckets()
        self.admission_metrics = AdmissionMetrics()
        self.nonces = Nonces(clock)
        self._erase_key = hmac.digest(home.secret(), b"erase", hashlib.sha256)
        self.work, self.short_work = executor.run, executor.run_short

    def situation(self) -> Situation:
        """Raises PeerError NO_MODEL while the server is starting."""
        if self.driver.situation is None:
            raise BusyError("NO_MODEL", "The server has no model yet.", 5)
        return self.driver.situation

    def max_update_bytes(self) -> int:
        situation = self.driver.situation
        return (
            max_update_bytes(situation.round.config)
            if situation and situation.round
            else min(65536, MAX_BODY_BYTES)
        )

    def erase_secret(self, token: str, certificate: CertificateRecord) -> str:
        """The same for a repeated registration, and kept nowhere: token and server's secret make
        it.
        """
        return hmac.digest(
            self._erase_key, token.encode() + b"\0" + certificate.public_key, hashlib.sha256
        )[:16].hex()

    def register(self, token: str, csr_pem: str) -> dict[str, Any]:
        """Admit a device; repeated with the same key it gives the same answer."""
        issued = self.authority.enrol(token, csr_pem)
        certificate = _kept(issued)
        secret = self.erase_secret(token, certificate)
        self.store.devices.add(issued.device_id, certificate, _hash(secret), self.clock.now())
        return {
            "device_id": issued.device_id,
            "certificate_pem": issued.certificate_pem,
            "ca_pem": self.authority.ca_pem,
            "erase_secret": secret,
            "task": self.settings.task.to_json(),
            "signing_key": public_hex(self.key),
        }

    def renew(self, request: SignedRequest, device_id: str) -> dict[str, str]:
        """Give a device its next certificate."""
        issued = self.authority.renew(request)
        if issued.device_id != device_id:
            raise PeerError(
                "BAD_REQUEST_SIGNATURE",
                "The request's signature does not hold.",
                "Nothing was changed.",
            )
        self.store.devices.add_certificate(device_id, _kept(issued), self.clock.now())
        return {"certificate_pem": issued.certificate_pem, "ca_pem": self.authority.ca_pem}

    def offer(self, device_id: str, *, is_ready: bool, trained: int | None) -> dict[str, Any]:
        """What this device is told, signed."""
        situation, now = self.situation(), self.clock.now()
        current, coordinator = situation.round, self.driver.coordinator
        is_grouped = self.settings.task.mode is Mode.SECAGG
        next_s = self.settings.next_poll_s
        joins = (0, 0)
        if is_grouped:
            joins = coordinator.window(now)
            next_s = coordinator.ready(
                device_id, trained, situation.model.version, now, is_ready=is_ready
            )
        is_open = current is not None and (
            any(joins) if is_grouped else now < current.config.closes_at
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
            "join_opens": joins[0] if is_open else 0,
            "join_closes": joins[1] if is_open else 0,
        }
        crl_pem = coordinator.crl_pem() if is_grouped else ""
        return {
            "offer": offer,
            "signature": sign(self.key, Context.OFFER, offer),
            "crl_pem": crl_pem,
        }

    def inbox(self, round_id: int, after: str, device_id: str) -> bytes | None:
        return self.driver.coordinator.inbox(round_id, after, device_id)

    def take(self, kind: str, round_id: int, device_id: str, body: bytes) -> None:
        """Take a message of a round's phase."""
        self.driver.coordinator.receive(kind, round_id, device_id, body, self.clock.now())

    def accept(self, device_id: str, body: bytes) -> tuple[str, bool]:
        """Take in an update. Returns the signed receipt as JSON, and whether the conductor has
        something to look at.

        The same body again gets the receipt of the first time. Raises PeerError ALREADY_CONTRIBUTED
        for another one.
        """
        envelope, sha256 = decode(body), hashlib.sha256(body).hexdigest()
        round_id = named_round(envelope.header)
        held = self.store.updates.receipt(round_id, device_id)
        if held is not None:
            if held[0] == sha256:
                return held[1], False
            raise PeerError(
                "ALREADY_CONTRIBUTED",
                "This device has sent another update for this round.",
                "Nothing was changed.",
            )
        current = self.driver.situation.round if self.driver.situation else None
        if current is None or current.round_id != round_id:
            current = self.store.rounds.get(round_id)
        if current is None:
            raise PeerError("ROUND_CLOSED", "The round is not open.", "Take part in a later one.")
        is_grouped = current.config.mode is Mode.SECAGG
        if current.state is State.OPEN and not is_grouped:
            check_update(envelope, current.config)
        now = self.clock.now()
        receipt = {
            "task_id": self.settings.task.task_id,
            "round_id": round_id,
            "device_id": device_id,
            "body_sha256": sha256,
            "bytes": len(body),
            "received_at": now,
        }
        signed = json.dumps(
            {"receipt": receipt, "signature": sign(self.key, Context.RECEIPT, receipt)}
        )
        if is_grouped:
            self.driver.coordinator.receive_masked(round_id, device_id, body, sha256, signed, now)
            return signed, False  # groups wake it
        full = self.store.updates.add(device_id, round_id, body, sha256, signed, now)
        if full:
            LOG.info("round full: id=%d", round_id)
        return signed, full

    def held(self, device_id: str) -> dict[str, Any]:
        """All that aggregator and authority hold about a device."""
        return {**self.store.devices.record(device_id), "authority": self.authority.held(device_id)}

    def erase(self, device_id: str) -> None:
        """Forget a device here and end its certificates."""
        self.store.devices.erase(device_id)
        self.driver.coordinator.drop(device_id, self.clock.now())
        self.authority.revoke(device_id, forget=True)

    def erase_by_secret(self, device_id: str, secret: str) -> None:
        """The same, shown by the erase secret; nothing is to be done for an unknown device.

        Raises PeerError ERASE_SECRET.
        """
        held = self.store.devices.erase_hash(device_id)
        if held is not None and not hmac.compare_digest(held, _hash(secret)):
            raise PeerError(
                "ERASE_SECRET", "The erase secret is not the device's.", "Nothing was changed."
            )
        self.erase(device_id)


def build(server: Server) -> tuple[FastAPI, AdmissionMiddleware]:
    """The routes, and the application with the door in front that is to be served."""
    app = FastAPI(
        title="AegisAI aggregator, device port",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses={
            "default": {
                "model": schemas.Problem,
                "description": "RFC 9457 problem",
                "content": {problems.MEDIA_TYPE: {}},
            }
        },
    )
    _add_errors(app)
    _add_enrolment(app, server)
    _add_learning(app, server)
    _add_rounds(app, server)
    _add_device(app, server)
    _add_public(app, server)
    rule_for = rules(server.max_update_bytes)
    admission = AdmissionMiddleware(
        app,  # type: ignore[arg-type]
        server.store.devices,
        server.nonces,
        rule_for,
        server.clock,
        server.limits,
        server.buckets,
        server.admission_metrics,
    )
    return app, admission


def _add_errors(app: FastAPI) -> None:
    async def aegis_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, AegisError)  # noqa: S101  (registered for it alone)
        return _problem(error)

    async def bad_request(_: Request, _error: Exception) -> Response:
        return _problem(
            PeerError(
                "BAD_MESSAGE", "The request is not in the agreed form.", "Nothing was changed."
            )
        )

    async def http_error(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = {404: "NOT_FOUND", 405: "METHOD", 415: "WRONG_TYPE"}.get(status, "BAD_MESSAGE")
        answer = _problem(
            PeerError(
                code,
                {404: "There is nothing here.", 405: "Not with this method."}.get(
                    status, "Not like this."
                ),
                "",
            )
        )
        if isinstance(error, HTTPException) and error.headers:
            answer.headers.update(error.headers)
        return answer

    async def bug(_: Request, _error: Exception) -> Response:
        return _problem(PeerError("SERVER_ERROR", "The server failed.", "Try again later."))

    app.add_exception_handler(AegisError, aegis_error)
    app.add_exception_handler(RequestValidationError, bad_request)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, bug)


def _add_enrolment(app: FastAPI, server: Server) -> None:
    @app.post("/api/v1/register", response_model=schemas.RegisterAnswer, tags=["enrolment"])
    async def register(request: Request, asked: schemas.RegisterRequest) -> Response:
        """Enrol: a token and a certificate request become a device. Needs no certificate."""
        address, now_s, rates = _address(request), time.monotonic(), server.rates
        server.buckets.take("registration", address, rates.registration, now_s)
        server.buckets.take("token", _hash(asked.token), rates.token, now_s)
        server.buckets.demand("failure", address, rates.failure, now_s)
        try:
            return _json(await server.work(server.register, asked.token, asked.csr_pem))
        except PeerError:
            server.buckets.take("failure", address, rates.failure, now_s)
            raise

    @app.post("/api/v1/challenge", response_model=schemas.ChallengeAnswer, tags=["enrolment"])
    async def challenge(asked: schemas.ChallengeRequest) -> Response:
        """A nonce, good once and for 60 seconds. Needs no certificate."""
        return _json({"nonce": server.nonces.make(asked.device_id)})

    @app.post("/api/v1/certificate", response_model=schemas.CertificateAnswer, tags=["enrolment"])
    async def certificate(request: Request, _asked: schemas.CertificateRequest) -> Response:
        """The next certificate, for a new key; signed with the present one, up to 90 days after its
        end.
        """
        caller = _caller(request)
        target = request.scope["raw_path"].decode("latin-1") + (
            f"?{request.url.query}" if request.url.query else ""
        )
        headers = dict(request.headers)
        signed = SignedRequest(
            request.method, headers.get("host", ""), target, headers, await request.body()
        )
        return _json(await server.work(server.renew, signed, caller.device_id))

    @app.get("/api/v1/revocations", response_model=schemas.RevocationsAnswer, tags=["enrolment"])
    async def revocations() -> Response:
        """The authority's signed revocation list."""
        return _json({"crl_pem": await server.work(server.authority.revocations)})

    @app.get("/api/v1/log", response_model=schemas.LogHead, tags=["enrolment"])
    async def log_head() -> Response:
        """Size and root of the authority's issuance log, signed by the authority."""
        return _json(await server.work(server.authority.log_head))

    @app.get("/api/v1/log/proof", response_model=schemas.LogProof, tags=["enrolment"])
    async def log_proof(
        certificate_sha256: Annotated[str, Query(pattern=r"^[0-9a-f]{64}$")], size: LogSize = 0
    ) -> Response:
        """Proof that a certificate's issuance is in the log (RFC 9162) of this size; 0: of
        today's.
        """
        return _json(await server.work(server.authority.log_proof, certificate_sha256, size))

    @app.get("/api/v1/log/consistency", response_model=schemas.LogConsistency, tags=["enrolment"])
    async def log_consistency(
        earlier: Annotated[int, Query(ge=1, le=2**31)], size: LogSize = 0
    ) -> Response:
        """Proof that the log only grew from `earlier` entries to `size`; 0: to today's."""
        return _json(await server.work(server.authority.log_consistency, earlier, size))


def _add_learning(app: FastAPI, server: Server) -> None:
    @app.get("/api/v1/rounds/offer", response_model=schemas.OfferAnswer, tags=["learning"])
    async def offer(
        request: Request,
        ready: Annotated[bool, Query(description="a finished update waits for its group")] = False,
        trained: Annotated[
            int | None,
            Query(ge=0, le=2**53, description="the model version that it was trained on"),
        ] = None,
    ) -> Response:
        """What the server would like now."""
        device_id = _caller(request).device_id
        return _json(
            await server.short_work(
                lambda: server.offer(device_id, is_ready=ready, trained=trained)
            )
        )

    @app.get(
        "/api/v1/model",
        response_class=Response,
        responses={
            200: {"content": {"application/octet-stream": {}}, "description": "safetensors"},
            304: {"description": "unchanged"},
        },
        tags=["learning"],
    )
    async def model(request: Request) -> Response:
        """The current model; its signed facts are in headers."""
        import base64

        current = server.situation().model
        etag = f'"{current.sha256}"'
        headers = {
            "ETag": etag,
            "X-Model-Version": str(current.version),
            "X-Model-Metadata": base64.urlsafe_b64encode(current.metadata).decode(),
            "X-Model-Signature": current.signature,
        }
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(current.content, media_type="application/octet-stream", headers=headers)

    @app.post(
        "/api/v1/updates",
        response_model=schemas.ReceiptAnswer,
        openapi_extra=ENVELOPE_BODY,
        tags=["learning"],
    )
    async def updates(request: Request) -> Response:
        """An update in its envelope. The same body again gets the same receipt."""
        caller = _enveloped(request)
        answer, moved = await server.short_work(
            server.accept, caller.device_id, await request.body()
        )
        if moved:
            server.driver.wake()
        return Response(answer, media_type=JSON_TYPE)

    @app.get("/api/v1/stats", response_model=dict[str, Any], tags=["learning"])
    async def stats() -> Response:
        """The aggregator's figures."""
        return _json(await server.work(statistics, server.store, server.settings))


def _add_rounds(app: FastAPI, server: Server) -> None:
    RoundId = Annotated[int, Path(ge=1, le=2**53)]

    @app.post(
        "/api/v1/rounds/{round_id}/{phase}",
        status_code=202,
        response_model=schemas.Taken,
        openapi_extra=ENVELOPE_BODY,
        tags=["secure aggregation"],
    )
    async def say(request: Request, round_id: RoundId, phase: schemas.SaidPhase) -> Response:
        """A message of a round's phase in its envelope.

        The same body again is fine; another one is refused.
        """
        caller = _enveloped(request)
        work = (
            server.work if phase is schemas.SaidPhase.UNMASK else server.short_work
        )  # the last of these opens the sum
        await work(server.take, phase.value, round_id, caller.device_id, await request.body())
        return _json({}, 202)

    @app.get(
        "/api/v1/rounds/{round_id}/inbox",
        response_class=Response,
        responses={
            200: {"content": {ENVELOPE_TYPE: {}}, "description": "what came of the phase"},
            204: {"description": "not yet"},
        },
        tags=["secure aggregation"],
    )
    async def inbox(request: Request, round_id: RoundId, after: schemas.HeardPhase) -> Response:
        """What came of a phase for the device that asks; held for a second while it is not over."""
        device_id, end = _caller(request).device_id, time.monotonic() + HOLD_S
        while True:
            moved = server.driver.moved
            heard = await server.short_work(server.inbox, round_id, after.value, device_id)
            if heard is not None:
                break
            if (left := end - time.monotonic()) <= 0:
                return Response(status_code=204, headers={"Cache-Control": "no-store"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await moved.wait()
        return Response(heard, media_type=ENVELOPE_TYPE, headers={"Cache-Control": "no-store"})


def _add_device(app: FastAPI, server: Server) -> None:
    @app.get("/api/v1/device", response_model=dict[str, Any], tags=["device"])
    async def device(request: Request) -> Response:
        """All that the server holds about the device that asks."""
        return _json(await server.work(server.held, _caller(request).device_id))

    @app.delete("/api/v1/device", response_model=schemas.EraseAnswer, tags=["device"])
    async def erase(request: Request, asked: schemas.EraseRequest) -> Response:
        """Forget the device: signed, or shown by its erase secret."""
        caller, address = _caller(request), _address(request)
        if caller.has_signed:
            await server.work(server.erase, caller.device_id)
            return _json({"erased": True})
        server.buckets.demand("failure", address, server.rates.failure, time.monotonic())
        try:
            if not asked.device_id or not asked.erase_secret:
                raise PeerError(
                    "ERASE_SECRET",
                    "A signature or the erase secret is needed.",
                    "Nothing was changed.",
                )
            await server.work(server.erase_by_secret, asked.device_id, asked.erase_secret)
        except PeerError:
            server.buckets.take("failure", address, server.rates.failure, time.monotonic())
            raise
        return _json({"erased": True})


def _add_public(app: FastAPI, server: Server) -> None:
    octets: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/octet-stream": {}}, "description": "a file"}
    }

    @app.get("/healthz", response_model=schemas.Health, tags=["public"])
    async def healthz() -> Response:
        """Whether the server is up. Needs no certificate."""
        return _json({"status": "ok" if server.driver.situation else "starting"})

    @app.get("/api/v1/metadata/{name}", response_class=Response, responses=octets, tags=["public"])
    async def metadata(name: Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]) -> Response:
        """A metadata file of the model repository (TUF). Needs no certificate."""
        return await _file(server, tuf_repository.metadata_file, name)

    @app.get(
        "/api/v1/targets/{name:path}", response_class=Response, responses=octets, tags=["public"]
    )
    async def target(name: Annotated[str, Path(pattern=r"^[A-Za-z0-9_./-]{1,256}$")]) -> Response:
        """A target file of the model repository (TUF). Needs no certificate."""
        return await _file(server, tuf_repository.target_file, name)


async def _file(server: Server, find: Callable[..., Any], name: str) -> Response:
    def read() -> bytes | None:
        path = find(server.home.repository, name)
        return None if path is None else bytes(path.read_bytes())

    content = await server.work(read)
    if content is None:
        raise PeerError("NOT_FOUND", "There is nothing here.", "")
    return Response(content, media_type="application/octet-stream")


def _kept(issued: Issued) -> CertificateRecord:
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    return CertificateRecord(
        certificate.fingerprint(SHA256()).hex(),
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def _caller(request: Request) -> Principal:
    caller = request.scope["state"][STATE_KEY]
    assert isinstance(caller, Principal)  # noqa: S101  (the door puts it there)
    return caller


def _enveloped(request: Request) -> Principal:
    """Who sends an envelope. Raises PeerError WRONG_TYPE."""
    if request.headers.get("content-type") != ENVELOPE_TYPE:
        raise PeerError("WRONG_TYPE", f"Expected {ENVELOPE_TYPE}.", "Nothing was changed.")
    return _caller(request)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(
        json.dumps(value), status, media_type=JSON_TYPE, headers={"Cache-Control": "no-store"}
    )


def _problem(error: AegisError) -> Response:
    status, headers, content = problems.answer(error)
    return Response(content, status, headers)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
