"""The operator port: loopback only, no certificate.

Dashboard, statistics, metrics, and the documentation of the device port.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from server_stub.config.settings import LOOPBACK_HOSTS
from server_stub.coordinator.statistics import round_summary, statistics
from server_stub.operator import metrics as prometheus
from server_stub.operator import pages

Work = Callable[..., Awaitable[Any]]


def build(server: Any, device_app: FastAPI) -> FastAPI:
    """`server`: server_stub.api.service.Server."""
    app = FastAPI(
        title="AegisAI aggregator, operator port", docs_url=None, redoc_url=None, openapi_url=None
    )
    # A web page that the operator visits must not reach this port under a name of its own (DNS
    # rebinding).
    app.add_middleware(
        TrustedHostMiddleware,
        allowed_hosts=[*(host for host in LOOPBACK_HOSTS if ":" not in host), "[::1]"],
    )

    def page(text: str) -> Response:
        return Response(text, media_type="text/html; charset=utf-8", headers=pages.HEADERS)

    @app.get("/")
    async def dashboard() -> Response:
        def read() -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
            held = server.store.rounds.all()[-pages.SHOWN_ROUNDS :]
            return (
                statistics(server.store, server.settings),
                [round_summary(one, server.settings) for one in held],
                server.store.models.inventory(),
            )

        figures, rounds_held, models_held = await server.work(read)
        return page(pages.dashboard(figures, rounds_held, models_held, server.clock.now()))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok" if server.driver.situation else "starting"}

    @app.get("/api/v1/stats")
    async def stats() -> dict[str, Any]:
        return dict(await server.work(statistics, server.store, server.settings))

    @app.get("/api/v1/rounds")
    async def rounds() -> list[dict[str, Any]]:
        held = await server.work(server.store.rounds.all)
        return [round_summary(one, server.settings) for one in held]

    @app.get("/api/v1/models")
    async def models() -> list[dict[str, Any]]:
        return list(await server.work(server.store.models.inventory))

    @app.get("/metrics")
    async def metrics() -> Response:
        figures = await server.work(statistics, server.store, server.settings)
        return Response(
            prometheus.exposition(
                figures, server.admission_metrics.refusals, server.admission_metrics.requests
            ),
            media_type=prometheus.MEDIA_TYPE,
        )

    @app.get("/openapi.json")
    async def openapi() -> dict[str, Any]:
        return device_app.openapi()

    @app.get("/docs")
    async def docs() -> Response:
        return page(pages.api_documentation(device_app.openapi()))

    return app
