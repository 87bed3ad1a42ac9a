"""What the device port costs beside a bare route of the same framework: real processes, mutual TLS,
one kept connection.
"""

import contextlib
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path

import numpy as np
import psutil

from agent.identity.identity import Identity, IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.privacy.seal import seal
from agent.protocol.signing import public_hex
from agent.transport.client import AggregatorClient
from agent.transport.tls import client_context
from server_stub.ca.authority import Authority
from server_stub.config.limits import DevicePortLimits, Rate, Rates
from tests.bench.harness import Figure, bench
from tests.fakes.clock import FakeClock
from tests.fakes.live_server import make_home

REQUESTS = 300
DEVICES = 120
FREELY = Rate(10**6, 10.0**6)


@bench(
    "auth.signed_post_ms.server",
    "auth.signed_post_ms.client",
    "auth.first_update_ms.server",
    "auth.mtls_get_per_s",
    "auth.handshake_ms",
)
def device_port() -> Iterator[Figure]:
    """Signed POSTs: a retry, whose receipt is stored, and a device's first update of a round, which
    is on the disk before the response. They alternate with the bare route, so both servers wait
    equally long between two requests.
    """
    with _world() as world:
        bare, body, client = world.bare_wire(), world.update(), world.client()
        client.send_update(body)
        post = partial(_ask, bare, "POST", body)
        signed, plain, mine, floor = world.cpu_ms(
            [lambda: client.send_update(body)] * REQUESTS, post
        )
        yield Figure(
            "auth.signed_post_ms.server",
            signed - plain,
            "ms CPU over the bare route",
            plain,
            "the bare route",
        )
        yield Figure(
            "auth.signed_post_ms.client", mine, "ms CPU", floor, "http.client to the bare route"
        )
        updates = [
            partial(world.ready_client().send_update, world.update()) for _ in range(DEVICES)
        ]
        bare = world.bare_wire()  # the other one was idle for too long
        first, plain, _, _ = world.cpu_ms(updates, partial(_ask, bare, "POST", body))
        yield Figure(
            "auth.first_update_ms.server",
            first - plain,
            "ms CPU over the bare route",
            plain,
            "the bare route",
        )
        etag = {"If-None-Match": f'"{client.offer().model_digest}"'}
        wire, bare = world.wire(world.port), world.bare_wire()
        served, ideal = _per_s(
            lambda: _ask(wire, "GET", path="/api/v1/model", headers=etag), lambda: _ask(bare, "GET")
        )
        yield Figure("auth.mtls_get_per_s", served, "1/s", ideal, "the bare route")
        yield Figure(
            "auth.handshake_ms",
            _handshake_ms(world, world.port),
            "ms",
            _handshake_ms(world, world.bare_port),
            "the bare server",
        )


class _World:
    """The two servers and one enrolled device."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        now = int(time.time())
        self.home, settings = make_home(folder / "server", now, target=10**6)
        self.home.write_settings(
            replace(
                settings, limits=DevicePortLimits(Rates(FREELY, FREELY, FREELY, FREELY, FREELY))
            )
        )
        server = _process(stack, "server_stub.cli.main", "run", "--home", str(self.home.folder))
        assert server.stdout is not None
        server.stdout.readline()
        ready = json.loads((self.home.folder / "ready.json").read_bytes())
        self.port, self.url, self.pid = int(ready["port"]), str(ready["url"]), server.pid
        bare = _process(
            stack, "tests.bench.bare_server", str(self.home.tls_file), str(self.home.ca_file)
        )
        assert bare.stdout is not None
        self.bare_port, self.bare_pid = int(bare.stdout.readline()), bare.pid
        self.key = public_hex(self.home.signing_key())
        self._stack = stack
        self._folder = folder
        self.identity = self._enrol()

    def _enrol(self) -> Identity:
        authority = Authority(self.home.authority, FakeClock(int(time.time())))
        token = authority.add_token(1, 3600)
        authority.close()
        file = IdentityFile(Path(tempfile.mkdtemp(dir=self._folder)), MemoryKeyStore())
        file.create()
        client = AggregatorClient(self.url, self.home.ca_pem, self.key)
        registration = client.register(token, file.csr_pem())
        client.close()
        file.set_certificate(
            registration.device_id,
            registration.certificate_pem,
            registration.ca_pem,
            registration.erase_secret,
            registration.signing_key,
        )
        return file.load()

    def client(self, identity: Identity | None = None) -> AggregatorClient:
        client = AggregatorClient(self.url, self.home.ca_pem, self.key, identity or self.identity)
        self._stack.callback(client.close)
        return client

    def ready_client(self) -> AggregatorClient:
        """Return the connected client of another device."""
        client = self.client(self._enrol())
        client.offer()
        return client

    def update(self) -> bytes:
        config = self._config = getattr(self, "_config", None) or self.client().offer().round
        assert config is not None
        return seal(np.zeros(config.d), config, os.urandom(8).hex())

    def wire(self, port: int) -> HTTPSConnection:
        connection = HTTPSConnection(
            "127.0.0.1", port, context=client_context(self.home.ca_pem, self.identity), timeout=20
        )
        self._stack.callback(connection.close)
        return connection

    def bare_wire(self) -> HTTPSConnection:
        return self.wire(self.bare_port)

    def cpu_ms(
        self, calls: Sequence[Callable[[], object]], bare: Callable[[], object]
    ) -> list[float]:
        """Return the processor milliseconds per call: of the server, of the bare server, and of
        this process in `calls` and in `bare`.

        One of `bare` follows each of `calls`; the first tenth warms up.
        """
        servers, ours = [psutil.Process(self.pid), psutil.Process(self.bare_pid)], [0.0, 0.0]
        warm = len(calls) // 10
        for number, call in enumerate(calls):
            if number == warm:
                before, ours = [sum(one.cpu_times()[:2]) for one in servers], [0.0, 0.0]
            for side, timed in enumerate((call, bare)):
                started = time.process_time()
                timed()
                ours[side] += time.process_time() - started
        used = [sum(one.cpu_times()[:2]) - then for one, then in zip(servers, before, strict=True)]
        return [seconds / (len(calls) - warm) * 1e3 for seconds in (*used, *ours)]


@contextlib.contextmanager
def _world() -> Iterator[_World]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        yield _World(Path(name), stack)


def _process(stack: contextlib.ExitStack, *words: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True)

    def end() -> None:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()

    stack.callback(end)
    return process


def _ask(
    wire: HTTPSConnection,
    method: str,
    body: bytes | None = None,
    path: str = "/bare",
    headers: dict[str, str] | None = None,
) -> None:
    wire.request(method, path, body, headers or {})
    answer = wire.getresponse()
    answer.read()
    assert answer.status in (200, 304), answer.status


def _per_s(*calls: Callable[[], object]) -> list[float]:
    """Return the requests per second of each call, on one connection: one over the median time.

    The calls alternate.
    """
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(3 * REQUESTS):
        for times, call in zip(took, calls, strict=True):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
    return [1 / statistics.median(times) for times in took]


def _handshake_ms(world: _World, port: int) -> float:
    """Return the median time of a new connection with a client certificate."""
    context: ssl.SSLContext = client_context(world.home.ca_pem, world.identity)
    took = []
    for _ in range(30):
        started = time.perf_counter()
        wire = HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
        wire.connect()
        took.append((time.perf_counter() - started) * 1e3)
        wire.close()
    return sorted(took)[len(took) // 2]
