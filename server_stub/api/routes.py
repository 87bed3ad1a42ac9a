"""The device port's routes: HTTP in, HTTP out. `admission` has admitted a request before it gets
here; `service` does the work.
"""

import asyncio
import base64
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from agent.errors import AegisError, PeerError
from agent.protocol.ledger_heads import MAX_COUNT, HeadStep, Ready, ShownHeads
from agent.protocol.limits import MAX_GROUP
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
from server_stub.api.service import AggregatorService, sha256_hex
from server_stub.ca.authority import SignedRequest
from server_stub.config.limits import DevicePortLimits, Rates
from server_stub.coordinator.statistics import statistics
from server_stub.storage.database import STORAGE_ERRORS, cannot_store

LOG = logging.getLogger("aegisai.requests")
ENVELOPE_TYPE = "application/vnd.aegisai.envelope"
JSON_TYPE = "application/json"
ENVELOPE_BODY = {
    "requestBody": {
        "required": True,
        "content": {ENVELOPE_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
LONG_POLL_S = 1.0
"""How long a request for an inbox waits for the phase to end."""
HTTP_ERRORS = {
    404: ("NOT_FOUND", "Not found."),
    405: ("METHOD", "Method not allowed."),
    415: ("WRONG_TYPE", "Unsupported media type."),
}
LogSize = Annotated[int, Query(ge=0, le=2**31)]
Head = Annotated[
    str | None, Query(pattern=r"^[0-9a-f]{64}$", description="a head of the device's ledger, hex")
]
RoundId = Annotated[int, Path(ge=1, le=2**53)]


@dataclass(frozen=True)
class DevicePort:
    """The application of the device port."""

    application: AdmissionMiddleware
    """What the server runs: the routes behind their admission."""
    routes: FastAPI
    """For the OpenAPI document."""
    metrics: AdmissionMetrics


@dataclass(frozen=True)
class _Failures:
    """Counts wrong tokens and wrong erase secrets by address."""

    buckets: Buckets
    rates: Rates

    def require_room(self, address: str) -> None:
        """Raise BusyError TOO_MANY after too many failures of an address."""
        self.buckets.require("failure", address, self.rates.failure, time.monotonic())

    def count(self, address: str) -> None:
        self.buckets.take("failure", address, self.rates.failure, time.monotonic())


def build(service: AggregatorService, limits: DevicePortLimits) -> DevicePort:
    """Put the routes behind their admission."""
    routes = FastAPI(
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
    buckets, nonces, metrics = Buckets(), Nonces(service.clock), AdmissionMetrics()
    _add_errors(routes)
    _add_enrolment(routes, service, nonces, buckets, limits.rates)
    _add_log(routes, service)
    _add_learning(routes, service)
    _add_rounds(routes, service)
    _add_device(routes, service, _Failures(buckets, limits.rates))
    _add_public(routes, service)
    admission = AdmissionMiddleware(
        routes,  # type: ignore[arg-type]  # Starlette types its messages as MutableMapping
        service.store.devices,
        nonces,
        rules(service.max_update_bytes),
        service.clock,
        limits,
        buckets,
        metrics,
    )
    return DevicePort(admission, routes, metrics)


def _add_errors(app: FastAPI) -> None:
    async def aegis_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, AegisError)  # noqa: S101  (registered for it alone)
        return _problem(error)

    async def bad_request(_: Request, _error: Exception) -> Response:
        return _problem(
            PeerError("BAD_MESSAGE", "The request is malformed.", "Nothing was changed.")
        )

    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  (registered for it alone)
        code, message = HTTP_ERRORS.get(
            error.status_code, ("BAD_MESSAGE", "The request is malformed.")
        )
        response = _problem(PeerError(code, message, ""))
        response.headers.update(error.headers or {})
        return response

    async def storage_error(_: Request, error: Exception) -> Response:
        LOG.warning("request.not_stored error=%s", error)
        return _problem(cannot_store())

    async def internal_error(_: Request, _error: Exception) -> Response:
        return _problem(
            PeerError("SERVER_ERROR", "The server had an internal error.", "Try again later.")
        )

    app.add_exception_handler(AegisError, aegis_error)
    for kind in STORAGE_ERRORS:
        app.add_exception_handler(kind, storage_error)
    app.add_exception_handler(RequestValidationError, bad_request)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, internal_error)


def _add_enrolment(
    app: FastAPI, service: AggregatorService, nonces: Nonces, buckets: Buckets, rates: Rates
) -> None:
    failures, run = _Failures(buckets, rates), service.executor.run

    @app.post("/api/v1/register", response_model=schemas.RegisterAnswer, tags=["enrolment"])
    async def register(request: Request, body: schemas.RegisterRequest) -> Response:
        """Enrol a device with a token and a certificate request. Needs no certificate."""
        address, now_s = _address(request), time.monotonic()
        buckets.take("registration", address, rates.registration, now_s)
        buckets.take("token", sha256_hex(body.token), rates.token, now_s)
        failures.require_room(address)
        try:
            return _json(await run(service.register, body.token, body.csr_pem))
        except PeerError:
            failures.count(address)
            raise

    @app.post("/api/v1/challenge", response_model=schemas.ChallengeAnswer, tags=["enrolment"])
    async def challenge(body: schemas.ChallengeRequest) -> Response:
        """Get a nonce, valid once and for 60 seconds. Needs no certificate."""
        return _json({"nonce": nonces.make(body.device_id)})

    @app.post("/api/v1/certificate", response_model=schemas.CertificateAnswer, tags=["enrolment"])
    async def certificate(request: Request, _body: schemas.CertificateRequest) -> Response:
        """Get the next certificate, for a new key.

        The current key signs the request, up to 90 days after its certificate expired.
        """
        query = f"?{request.url.query}" if request.url.query else ""
        target = request.scope["raw_path"].decode("latin-1") + query
        headers = dict(request.headers)
        signed = SignedRequest(
            request.method, headers.get("host", ""), target, headers, await request.body()
        )
        return _json(await run(service.renew, signed, _principal(request).device_id))


def _add_log(app: FastAPI, service: AggregatorService) -> None:
    authority, run = service.authority, service.executor.run

    @app.get("/api/v1/revocations", response_model=schemas.RevocationsAnswer, tags=["enrolment"])
    async def revocations() -> Response:
        """Get the authority's signed revocation list."""
        return _json({"crl_pem": await run(authority.revocations)})

    @app.get("/api/v1/log", response_model=schemas.LogHead, tags=["enrolment"])
    async def log_head() -> Response:
        """Get size and root of the issuance log, signed by the authority."""
        return _json(await run(authority.log_head))

    @app.get("/api/v1/log/proof", response_model=schemas.LogProof, tags=["enrolment"])
    async def log_proof(
        certificate_sha256: Annotated[str, Query(pattern=r"^[0-9a-f]{64}$")], size: LogSize = 0
    ) -> Response:
        """Prove that the log of `size` entries holds a certificate (RFC 9162). 0: today's log."""
        return _json(await run(authority.log_proof, certificate_sha256, size))

    @app.post("/api/v1/log/members", response_model=schemas.LogMembers, tags=["enrolment"])
    async def log_members(body: schemas.LogMembersRequest) -> Response:
        """Prove that the log holds the certificates of a group, and each device's first one.

        A proof is a list of places in `nodes`.
        """
        return _json(await run(authority.log_members, body.certificates, body.size))

    @app.get("/api/v1/log/consistency", response_model=schemas.LogConsistency, tags=["enrolment"])
    async def log_consistency(
        earlier: Annotated[int, Query(ge=1, le=2**31)], size: LogSize = 0
    ) -> Response:
        """Prove that the log only grew from `earlier` entries to `size`. 0: today's log."""
        return _json(await run(authority.log_consistency, earlier, size))


def _add_learning(app: FastAPI, service: AggregatorService) -> None:
    run, run_short = service.executor.run, service.executor.run_short

    @app.get("/api/v1/rounds/offer", response_model=schemas.OfferAnswer, tags=["learning"])
    async def offer(request: Request) -> Response:
        """Get what the server offers now: task, model and round."""
        return _json(await run_short(service.offer, _principal(request).device_id))

    @app.post("/api/v1/rounds/ready", response_model=schemas.OfferAnswer, tags=["learning"])
    async def ready(request: Request, body: schemas.ReadyRequest) -> Response:
        """Report a finished update and show the ledger's head; get what the server offers now."""
        device_id, report = _principal(request).device_id, _ready(body)
        return _json(await run_short(service.offer, device_id, report))

    @app.get(
        "/api/v1/model",
        response_class=Response,
        responses={
            200: {"content": {"application/octet-stream": {}}, "description": "safetensors"},
            304: {"description": "not modified"},
        },
        tags=["learning"],
    )
    async def model(request: Request) -> Response:
        """Get the current model. Its signed metadata is in the headers."""
        current = service.situation().model
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
    async def updates(
        request: Request,
        count: Annotated[
            int | None, Query(ge=1, le=MAX_COUNT, description="charges behind the head `after`")
        ] = None,
        before: Head = None,
        after: Head = None,
    ) -> Response:
        """Send an update in its envelope, with the head of the ledger before and after its charge.

        The same body again gets the same receipt.
        """
        device_id = _envelope_sender(request).device_id
        step = None
        if count is not None and before is not None and after is not None:
            step = HeadStep(count, before, after)
        receipt, is_full = await run_short(
            service.accept_update, device_id, await request.body(), step
        )
        if is_full:
            service.driver.wake()
        return Response(receipt, media_type=JSON_TYPE)

    @app.get("/api/v1/stats", response_model=dict[str, Any], tags=["learning"])
    async def stats() -> Response:
        """Get the aggregator's figures."""
        return _json(await run(statistics, service.store, service.settings))


def _add_rounds(app: FastAPI, service: AggregatorService) -> None:
    run, run_short = service.executor.run, service.executor.run_short

    @app.post(
        "/api/v1/rounds/{round_id}/{phase}",
        status_code=202,
        response_model=schemas.Accepted,
        openapi_extra=ENVELOPE_BODY,
        tags=["secure aggregation"],
    )
    async def send(request: Request, round_id: RoundId, phase: schemas.SendPhase) -> Response:
        """Send a message of a round's phase in its envelope.

        The same body again changes nothing; another body is refused.
        """
        device_id, body = _envelope_sender(request).device_id, await request.body()
        # The last unmasking message opens the sum, and a complaint is judged: too long for the
        # event loop.
        is_long = phase in (schemas.SendPhase.UNMASK, schemas.SendPhase.COMPLAINT)
        run_it = run if is_long else run_short
        await run_it(service.receive, phase.value, round_id, device_id, body)
        return _json({}, 202)

    @app.get(
        "/api/v1/rounds/{round_id}/inbox",
        response_class=Response,
        responses={
            200: {"content": {ENVELOPE_TYPE: {}}, "description": "the phase's outcome"},
            204: {"description": "not yet"},
        },
        tags=["secure aggregation"],
    )
    async def inbox(
        request: Request,
        round_id: RoundId,
        after: schemas.InboxPhase,
        dealer: Annotated[
            int | None,
            Query(ge=0, lt=MAX_GROUP, description="after shares: get what this dealer signed"),
        ] = None,
    ) -> Response:
        """Get what a phase gave this device. Waits up to a second for the phase to end."""
        device_id, end_s = _principal(request).device_id, time.monotonic() + LONG_POLL_S
        while True:
            # Taken before the look-up: a change in between must end the wait at once.
            moved = service.driver.groups_changed
            content = await run_short(service.inbox, round_id, after.value, device_id, dealer)
            if content is not None:
                break
            if (left_s := end_s - time.monotonic()) <= 0:
                return Response(status_code=204, headers={"Cache-Control": "no-store"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await moved.wait()
        return Response(content, media_type=ENVELOPE_TYPE, headers={"Cache-Control": "no-store"})


def _add_device(app: FastAPI, service: AggregatorService, failures: _Failures) -> None:
    run = service.executor.run

    @app.get("/api/v1/device", response_model=dict[str, Any], tags=["device"])
    async def device(request: Request) -> Response:
        """Get everything that the server holds about this device."""
        return _json(await run(service.device_record, _principal(request).device_id))

    @app.delete("/api/v1/device", response_model=schemas.EraseAnswer, tags=["device"])
    async def erase(request: Request, body: schemas.EraseRequest) -> Response:
        """Delete everything about a device: signed, or with its erase secret."""
        principal, address = _principal(request), _address(request)
        if principal.has_signed:
            await run(service.erase, principal.device_id)
            return _json({"erased": True})
        failures.require_room(address)
        try:
            if not body.device_id or not body.erase_secret:
                raise PeerError(
                    "ERASE_SECRET",
                    "A signature or the erase secret is required.",
                    "Nothing was changed.",
                )
            await run(service.erase_by_secret, body.device_id, body.erase_secret)
        except PeerError:
            failures.count(address)
            raise
        return _json({"erased": True})


def _add_public(app: FastAPI, service: AggregatorService) -> None:
    octets: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/octet-stream": {}}, "description": "a file"}
    }

    async def file(read: Callable[[str], bytes | None], name: str) -> Response:
        content = await service.executor.run(read, name)
        if content is None:
            raise PeerError(*HTTP_ERRORS[404], "")
        return Response(content, media_type="application/octet-stream")

    @app.get("/healthz", response_model=schemas.Health, tags=["public"])
    async def healthz() -> Response:
        """Get whether the server is up. Needs no certificate."""
        return _json({"status": "ok" if service.is_ready else "starting"})

    @app.get("/api/v1/metadata/{name}", response_class=Response, responses=octets, tags=["public"])
    async def metadata(name: Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]) -> Response:
        """Get a metadata file of the model repository (TUF). Needs no certificate."""
        return await file(service.metadata_file, name)

    @app.get(
        "/api/v1/targets/{name:path}", response_class=Response, responses=octets, tags=["public"]
    )
    async def target(name: Annotated[str, Path(pattern=r"^[A-Za-z0-9_./-]{1,256}$")]) -> Response:
        """Get a target file of the model repository (TUF). Needs no certificate."""
        return await file(service.target_file, name)


def _ready(body: schemas.ReadyRequest) -> Ready:
    """Read a device's report. Raises PeerError BAD_MESSAGE."""
    if body.ledger is None:
        return Ready(body.trained, body.session)
    shown = ShownHeads(body.ledger.count, tuple(body.ledger.heads))
    try:
        shown.check()
    except ValueError as error:
        raise PeerError(
            "BAD_MESSAGE", "The request is malformed.", "Nothing was changed."
        ) from error
    return Ready(body.trained, body.session, shown)


def _principal(request: Request) -> Principal:
    principal = request.scope["state"][STATE_KEY]
    assert isinstance(principal, Principal)  # noqa: S101  (AdmissionMiddleware puts it there)
    return principal


def _envelope_sender(request: Request) -> Principal:
    """Who sends an envelope. Raises PeerError WRONG_TYPE."""
    if request.headers.get("content-type") != ENVELOPE_TYPE:
        raise PeerError("WRONG_TYPE", f"Expected {ENVELOPE_TYPE}.", "Nothing was changed.")
    return _principal(request)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(
        json.dumps(value), status, media_type=JSON_TYPE, headers={"Cache-Control": "no-store"}
    )


def _problem(error: AegisError) -> Response:
    status, headers, content = problems.response(error)
    return Response(content, status, headers)
