"""The operator port: loopback only, no certificate. Statistics, metrics, and the documentation of the device port."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.middleware.trustedhost import TrustedHostMiddleware

from server_stub.home import LOOPBACK_HOSTS
from server_stub.statistics import round_summary, statistics

Work = Callable[..., Awaitable[Any]]


def build(server: Any, device_app: FastAPI) -> FastAPI:
    """`server`: server_stub.app.Server."""
    app = FastAPI(title="AegisAI aggregator, operator port", docs_url=None, redoc_url=None, openapi_url=None)
    # A web page that the operator visits must not reach this port under a name of its own (DNS rebinding).
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*(host for host in LOOPBACK_HOSTS if ":" not in host), "[::1]"])

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok" if server.conductor.situation else "starting"}

    @app.get("/api/v1/stats")
    async def stats() -> dict[str, Any]:
        return dict(await server.work(statistics, server.store, server.settings))

    @app.get("/api/v1/rounds")
    async def rounds() -> list[dict[str, Any]]:
        held = await server.work(server.store.rounds)
        return [round_summary(one, server.settings) for one in held]

    @app.get("/api/v1/models")
    async def models() -> list[dict[str, Any]]:
        return list(await server.work(server.store.models))

    @app.get("/metrics")
    async def metrics() -> Response:
        figures = await server.work(statistics, server.store, server.settings)
        lines = [f"aegisai_{name} {value}" for name, value in figures.items() if isinstance(value, int)]
        return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    @app.get("/openapi.json")
    async def openapi() -> dict[str, Any]:
        return device_app.openapi()

    @app.get("/docs")
    async def docs(_: Request) -> Response:
        return get_swagger_ui_html(openapi_url="/openapi.json", title=device_app.title)

    return app
