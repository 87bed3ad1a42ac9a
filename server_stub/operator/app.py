"""Serves the operator port: dashboard, statistics, metrics and the device port's documentation.

It listens on loopback only and needs no certificate.
"""

from typing import Any

from fastapi import FastAPI, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from server_stub.api.connection_caps import OpenConnections
from server_stub.api.routes import DevicePort
from server_stub.api.service import AggregatorService
from server_stub.config.settings import LOOPBACK_HOSTS
from server_stub.coordinator.exclusions import excluded_devices, operator_counts
from server_stub.coordinator.statistics import round_summary, statistics
from server_stub.operator import metrics as prometheus
from server_stub.operator import pages


def build(
    service: AggregatorService, device_port: DevicePort, connections: OpenConnections
) -> FastAPI:
    """Build the operator port's application. `connections`: those of the device port."""
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
        def read() -> pages.Dashboard:
            newest = service.store.rounds.all()[-pages.SHOWN_ROUNDS :]
            now = service.clock.now()
            return pages.Dashboard(
                statistics(service.store, service.settings),
                [round_summary(one, service.settings) for one in newest],
                service.store.models.inventory(),
                [one.to_json() for one in excluded_devices(service.store, now).values()],
                now,
            )

        return page(pages.dashboard(await service.executor.run(read)))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok" if service.is_ready else "starting"}

    @app.get("/api/v1/stats")
    async def stats() -> dict[str, Any]:
        return dict(await service.executor.run(statistics, service.store, service.settings))

    @app.get("/api/v1/rounds")
    async def rounds() -> list[dict[str, Any]]:
        stored = await service.executor.run(service.store.rounds.all)
        return [round_summary(one, service.settings) for one in stored]

    @app.get("/api/v1/models")
    async def models() -> list[dict[str, Any]]:
        return list(await service.executor.run(service.store.models.inventory))

    @app.get("/metrics")
    async def metrics() -> Response:
        def read() -> dict[str, Any]:
            return {
                **statistics(service.store, service.settings),
                **operator_counts(service.store, service.clock.now()),
                "connections": len(connections),
                "connections_admitted": connections.admitted,
                "connections_refused": connections.refused,
            }

        figures = await service.executor.run(read)
        return Response(
            prometheus.exposition(
                figures, device_port.metrics.refusals, device_port.metrics.requests
            ),
            media_type=prometheus.MEDIA_TYPE,
        )

    @app.get("/openapi.json")
    async def openapi() -> dict[str, Any]:
        return device_port.routes.openapi()

    @app.get("/docs")
    async def docs() -> Response:
        return page(pages.api_documentation(device_port.routes.openapi()))

    return app
