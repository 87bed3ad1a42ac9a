"""Runs the aggregator: the device port over TLS, the operator port on loopback, and the rounds."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import uvicorn

from agent.clock import Clock, SystemClock
from agent.errors import OperatorActionError
from server_stub.api import routes
from server_stub.api.acceptor import BACKLOG, Acceptor, Ticket
from server_stub.api.connection_caps import Caps, OpenConnections, port_caps
from server_stub.api.heap_trimmer import HeapTrimmer
from server_stub.api.peer_certificate import PeerCertProtocol, with_limits
from server_stub.api.service import AggregatorService
from server_stub.ca.authority import Authority
from server_stub.ca.rpc import Enrolment
from server_stub.config import descriptors
from server_stub.config.home import ServerHome
from server_stub.config.limits import DevicePortLimits, Rates
from server_stub.config.settings import ServerSettings
from server_stub.coordinator.driver import RoundDriver
from server_stub.coordinator.reference import ReferenceReader
from server_stub.operator import app as operator_port
from server_stub.storage.serial_executor import SerialExecutor
from server_stub.storage.store import Store

KEEP_ALIVE_S = 60
SHUTDOWN_S = 5
REFRESH_TICKS = 100
"""How many of uvicorn's ticks pass between two looks at the TLS certificate's file."""
MEMORY_TICKS = 20
"""The same for the number of connections."""
OPERATOR_CONNECTIONS = 64
"""The operator port's connections; it listens on loopback only."""
LOG = logging.getLogger("aegisai.server")


class TlsCertificate:
    """The device port's TLS context. New connections get the certificate that is in the file."""

    def __init__(self, tls_file: Path, ca_file: Path) -> None:
        self._file = tls_file
        self._loaded = self._stamp()
        self.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(tls_file)
        context.load_verify_locations(ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL

    def refresh(self) -> None:
        """Load a renewed certificate. A file that cannot be used changes nothing."""
        try:
            stamp = self._stamp()
            if stamp != self._loaded:
                self._loaded = stamp
                # A trial: loading a bad pair into the context in use would break it.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._file)
                self.context.load_cert_chain(self._file)
                LOG.info("tls_certificate.renewed")
        except OSError as error:  # ssl.SSLError is one
            LOG.warning("tls_certificate.unusable error=%s", error)

    def _stamp(self) -> tuple[int, int]:
        state = self._file.stat()
        return state.st_mtime_ns, state.st_ino


class _Uvicorn(uvicorn.Server):
    """Leaves signals to `run`, as two servers share one loop, and connections to an `Acceptor`."""

    def __init__(
        self,
        config: uvicorn.Config,
        caps: Caps,
        handshake_s: float,
        certificate: TlsCertificate | None,
    ) -> None:
        super().__init__(config)
        self.connections = OpenConnections(caps)
        self._handshake_s = handshake_s
        self._certificate = certificate
        self._heap = HeapTrimmer()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Raises OperatorActionError PORT if the port is taken."""
        await self.lifespan.startup()
        config = self.config
        context = self._certificate.context if self._certificate is not None else None
        acceptor = Acceptor(
            sockets or _listeners(config.host, config.port),
            self.connections,
            self._protocol,
            context,
            self._handshake_s,
        )
        self.servers = [acceptor]  # type: ignore[list-item]  # It has what uvicorn uses of a server.
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._certificate is not None and counter % REFRESH_TICKS == 0:
            self._certificate.refresh()
        if counter % MEMORY_TICKS == 0:
            self._heap.note(len(self.connections), time.monotonic())
        return await super().on_tick(counter)

    def _protocol(self, ticket: Ticket) -> asyncio.Protocol:
        kind = cast(type[PeerCertProtocol], self.config.http_protocol_class)
        protocol = kind(
            self.config, self.server_state, self.lifespan.state, asyncio.get_running_loop()
        )
        protocol.ticket = ticket
        return protocol


def _listeners(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host`. Raises OperatorActionError PORT."""
    listeners: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            listeners.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise OperatorActionError(
            "PORT",
            f"The server cannot listen on port {port}.",
            "Choose another with --port or --operator-port.",
            str(error),
        ) from error
    return listeners


def run(
    home: ServerHome,
    settings: ServerSettings,
    *,
    database: str = "",
    ready_file: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line when ready.

    Raises OperatorActionError PORT, DATABASE, NO_MODEL, PRICE_TOO_LOW and others.
    """

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, stop.set)

        def announce(ready: dict[str, Any]) -> None:
            home.write_ready(ready_file, ready)
            print(  # noqa: T201
                f"AegisAI aggregator is ready: devices {ready['url']}, operator"
                f" {ready['operator_url']}",
                flush=True,
            )

        await serve(
            home,
            settings,
            authority,
            database=database,
            clock=SystemClock(),
            stop=stop,
            announce=announce,
        )

    # The default loop of Windows cannot watch sockets for an `Acceptor`.
    loop = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with _authority(home) as authority, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(until_signalled())


async def serve(
    home: ServerHome,
    settings: ServerSettings,
    authority: Enrolment,
    *,
    clock: Clock,
    stop: asyncio.Event,
    announce: Callable[[dict[str, Any]], None],
    database: str = "",
    rates: Rates | None = None,
) -> None:
    """Serve until `stop` is set.

    `announce` gets the addresses once both ports listen. `rates` replace those of the settings.
    """
    key = home.signing_key()
    limits = settings.limits if rates is None else replace(settings.limits, rates=rates)
    with contextlib.closing(SerialExecutor()) as executor:
        store = Store(database or home.database_url)
        try:
            reference = ReferenceReader(home, settings.task)
            driver = RoundDriver(home, store, settings, key, clock, executor, authority, reference)
            await executor.run(driver.step)
            service = AggregatorService(
                home, settings, store, authority, driver, key, clock, executor
            )
            port = routes.build(service, limits)
            devices = _device_server(home, settings, port.application)
            application = operator_port.build(service, port, devices.connections)
            operator = _operator_server(application, settings)
            await _until(
                stop,
                driver,
                devices,
                operator,
                lambda: announce(_addresses(settings, devices, operator)),
            )
        finally:
            store.close()


async def _until(
    stop: asyncio.Event,
    driver: RoundDriver,
    devices: _Uvicorn,
    operator: _Uvicorn,
    announce: Callable[[], None],
) -> None:
    """Run both servers and the rounds until `stop` is set or one of them fails."""
    servers = [asyncio.create_task(one.serve()) for one in (devices, operator)]
    rounds = asyncio.create_task(driver.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        while not (devices.started and operator.started) and not any(
            task.done() for task in servers
        ):
            await asyncio.sleep(0.01)
        if devices.started and operator.started:
            announce()
        await asyncio.wait([*servers, rounds, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        devices.should_exit = operator.should_exit = True
        rounds.cancel()
        stopping.cancel()
        results = await asyncio.gather(*servers, rounds, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _authority(home: ServerHome) -> contextlib.AbstractContextManager[Enrolment]:
    """Run the authority as a process of its own where there are Unix sockets."""
    if hasattr(socket, "AF_UNIX"):
        from server_stub.ca.process import running_authority

        return running_authority(home.folder, home.authority, home.ca_pem)
    return contextlib.closing(Authority(home.authority, SystemClock()))


def _addresses(settings: ServerSettings, devices: _Uvicorn, operator: _Uvicorn) -> dict[str, Any]:
    port, loopback_port = _port(devices), _port(operator)
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104  (compared, not bound)
    return {
        "url": settings.url or f"https://{f'[{host}]' if ':' in host else host}:{port}",
        "port": port,
        "operator_url": f"http://127.0.0.1:{loopback_port}",
        "operator_port": loopback_port,
        "pid": os.getpid(),
    }


def _device_server(home: ServerHome, settings: ServerSettings, application: Any) -> _Uvicorn:
    certificate = TlsCertificate(home.tls_file, home.ca_file)
    available = descriptors.for_connections(descriptors.raise_limit()) - OPERATOR_CONNECTIONS
    return _server(
        application,
        settings.limits,
        settings.host,
        settings.port,
        port_caps(settings.limits, max(available, 1)),
        certificate,
    )


def _operator_server(application: Any, settings: ServerSettings) -> _Uvicorn:
    caps = Caps(OPERATOR_CONNECTIONS, OPERATOR_CONNECTIONS, OPERATOR_CONNECTIONS)
    return _server(application, settings.limits, "127.0.0.1", settings.operator_port, caps, None)


def _server(
    application: Any,
    limits: DevicePortLimits,
    host: str,
    port: int,
    caps: Caps,
    certificate: TlsCertificate | None,
) -> _Uvicorn:
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http=with_limits(limits.head_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return _Uvicorn(config, caps, limits.handshake_s, certificate)


def _port(server: _Uvicorn) -> int:
    return int(server.servers[0].sockets[0].getsockname()[1])
