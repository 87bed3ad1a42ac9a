"""A bare route of the same framework behind mutual TLS, for comparison.

`python -m tests.bench.bare_server TLS_FILE CA_FILE`.
"""

import socket
import ssl
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response


def application() -> FastAPI:
    """One route that reads its body and answers the same few bytes."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/bare")
    async def get() -> Response:
        return Response(b"{}", media_type="application/json")

    @app.post("/bare")
    async def post(request: Request) -> Response:
        await request.body()
        return Response(b"{}", media_type="application/json")

    return app


def main(tls_file: str, ca_file: str) -> None:
    """Serve on a free loopback port and print it."""

    def context(_config: uvicorn.Config, _default: Any) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.load_cert_chain(tls_file)
        tls.load_verify_locations(ca_file)
        tls.verify_mode = ssl.CERT_REQUIRED
        return tls

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)

    options: dict[str, Any] = {
        "http": "httptools",
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
    }
    tls: dict[str, Any] = {"ssl_context_factory": context, "ssl_certfile": tls_file}
    # uvicorn opens the listener itself: on one that is passed in, asyncio would leave Nagle's
    # algorithm on.
    Announced(uvicorn.Config(application(), host="127.0.0.1", port=0, **options, **tls)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
