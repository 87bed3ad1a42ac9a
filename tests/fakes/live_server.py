"""Runs the real aggregator over TLS on loopback, in a thread of the test and by the test's clock.

Devices enrol with the agent's own identity file and client.
"""

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import numpy as np

from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.privacy.seal import seal
from agent.protocol.invitation import Operator
from agent.protocol.messages import Mode
from agent.protocol.signing import public_hex
from agent.transport.client import AggregatorClient
from server_stub.ca.authority import Authority
from server_stub.cli.init import create_home
from server_stub.config.home import ServerHome
from server_stub.config.limits import Rates
from server_stub.config.settings import ServerSettings, default_task, override
from server_stub.publishing import models
from server_stub.serve import serve
from server_stub.storage.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.timeouts import TIMEOUT_S, until

OPERATOR = Operator(
    "Test operator", "privacy@example.org", "The operator only.", "Until the round has ended."
)


def make_home(folder: Path, now: int, **options) -> tuple[ServerHome, ServerSettings]:
    """Create a server as `aegis-server init --mode local` does.

    `options`: another `mode`, a `detector` with a base, and settings by name.
    """
    home = ServerHome(folder)
    task = default_task(options.pop("mode", Mode.LOCAL))
    detector = options.pop("detector", None)
    if detector is not None:
        task = detector.task
        options = {"server_rate_milli": detector.server_rate_milli, **options}
        options = {"server_shrink_milli": detector.server_shrink_milli, **options}
    settings = override(
        ServerSettings(OPERATOR, task),
        **{
            "port": 0,
            "operator_port": 0,
            "epsilon_milli": 1000,
            "fast_spending": options.get("planned", 20) < 10,
            **options,
        },
    )
    create_home(home, settings, now)
    if detector is not None:
        detector.write(home)
    store = Store(home.database_url)
    models.publish(
        home,
        store,
        settings.task,
        models.start_model() if detector is None else detector.head,
        origin="start model",
        demonstration=True,
        now=now,
    )
    store.close()
    return home, settings


class LiveServer:
    """`with LiveServer(tmp_path, target=3) as server:`.

    With the same folder again, the server continues where it ended.
    """

    def __init__(self, folder, *, clock=None, rates=None, **options):
        self.folder = folder
        self.clock = clock or FakeClock(int(time.time()))
        self.rates = rates or Rates()
        if (folder / "server").exists():
            self.home = ServerHome(folder / "server")
            self.settings = override(
                self.home.settings(),
                **{name: value for name, value in options.items() if name != "mode"},
            )
        else:
            self.home, self.settings = make_home(folder / "server", self.clock.now(), **options)

    def __enter__(self):
        self._view = None
        self.authority = Authority(self.home.authority, self.clock)
        self._clients = []
        self._ready = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)
        if self._failure is not None:
            self._thread.join(TIMEOUT_S)
            self.authority.close()
            raise self._failure
        return self

    def __exit__(self, *_):
        for client in self._clients:
            client.close()
        if self._view is not None:
            self._view.close()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_S)
        self.authority.close()
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def _run(self):
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        self._ready.set()

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(
            self.home,
            self.settings,
            self.authority,
            clock=self.clock,
            rates=self.rates,
            stop=self._stop,
            announce=self._announce,
        )

    def _announce(self, where):
        self.where = where
        self.url = where["url"]
        self.signing_key = public_hex(self.home.signing_key())
        self._ready.set()

    def token(self, uses=1, ttl_s=3600):
        return self.authority.add_token(uses, ttl_s)

    def client(self, identity=None):
        client = AggregatorClient(self.url, self.home.ca_pem, self.signing_key, identity)
        self._clients.append(client)
        return client

    def enrol(self, token=None):
        return Enrolled(self, token or self.token())

    def store(self):
        """Open the database as another process would. The caller closes it."""
        return Store(self.home.database_url)

    @property
    def view(self):
        """The same, opened once and closed together with the server."""
        self._view = self._view or self.store()
        return self._view

    def wait_for_model(self, version):
        """Wait until devices are offered this model together with a round. Returns the offer."""
        device = self.enrol()

        def current_offer():
            offer = device.client.offer()
            return offer if offer.model_version >= version and offer.round is not None else None

        offer = until(current_offer, what=f"model {version}")
        device.client.close()
        return offer


class Enrolled:
    """An enrolled device with the agent's own identity file and client."""

    def __init__(self, server, token):
        self.server = server
        self.folder = server.folder / f"device-{os.urandom(4).hex()}"
        self.folder.mkdir()
        self.file = IdentityFile(self.folder, MemoryKeyStore())
        self.file.create()
        client = server.client()
        self.registration = client.register(token, self.file.csr_pem())
        client.close()
        answer = self.registration
        self.file.set_certificate(
            answer.device_id,
            answer.certificate_pem,
            answer.ca_pem,
            answer.erase_secret,
            answer.signing_key,
        )
        self.device_id = answer.device_id
        self.client = server.client(self.file.load())

    def update(self, value=0.01, config=None):
        """A noised update for the round on offer; every coordinate of it was `value`."""
        config = config or self.client.offer().round
        return seal(np.full(config.d, value), config, os.urandom(8).hex())


def public_stats(client):
    """What the aggregator tells everybody, fetched by a device's client."""
    return json.loads(client.public_file("stats", 1 << 20))
