"""What a whole round in a group costs one device: a process of its own that joins 99 others over
TLS, seals, charges durably, masks and opens the sum.

Its processor time is the kernel's, from before the join to after the last response. Libraries are
loaded before.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.clock import SystemClock
from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.privacy.policy import DeviceLimits
from agent.privacy.seal import seal
from agent.protocol.messages import Mode
from agent.protocol.signing import public_hex
from agent.rounds.activity import ActivityTracker
from agent.rounds.admission import Admission
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.contribution import RoundResources
from agent.rounds.join_window import JoinWindow
from agent.rounds.outbox import Outbox
from agent.rounds.outcome import TrainedUpdate
from agent.rounds.secagg_round import GroupTrust, SecaggRound
from agent.store.database import Database
from agent.store.ledger import Ledger
from agent.store.ledger_key import LABEL, LedgerKey
from agent.store.values import Values
from agent.transport.client import AggregatorClient
from agent.transport.server_clock import ServerClock
from tests.bench.harness import Figure, bench
from tests.fakes.aggregator import TASK
from tests.fakes.group_aggregator import FakeGroupAggregator
from tests.fakes.group_aggregator_http import GroupAggregatorSite
from tests.fakes.secagg import Fleet

SIZE = 100
WIDTHS = {"d10k": 10_000, "d100k": 100_000}
LIMITS = DeviceLimits(max_rho_units=2**60)
KEYS = tuple(
    f"secagg.round_{what}.n100.{name}"
    for name in WIDTHS
    for what in ("cpu_ms", "up_bytes", "down_bytes", "wall_s")
)


class SoloGroupAggregator(FakeGroupAggregator):
    """The aggregator and all devices but one. The others send whenever the one has sent."""

    def __init__(self, width: int, size: int) -> None:
        self.width = width
        self.sent: set[str] = set()
        """Phases in which the others have sent."""
        floor = {"min_group": min(32, size), "min_sum": round(0.61 * size), "gamma_milli": 200}
        super().__init__(SystemClock(), size, **floor, phase_s=60)
        self.fleet = Fleet(size - 1, self.config, LIMITS)

    def plan(self, round_id: int = 1):
        self.task = replace(TASK, d=self.width, mode=Mode.SECAGG)
        return super().plan(round_id)

    def trust(self, authority) -> None:
        """Use the authority that the one device pins; it issued the others' certificates."""
        self.authority = authority
        self.reset()

    def phase(self, device_id, round_id, phase, body):
        if phase == "advertise" and self._is_new(phase):
            for peer in self.fleet.peers:
                self.join.advertise(peer.device_id, peer.client.advertise())
        super().phase(device_id, round_id, phase, body)

    def receive(self, device_id, phase, body):
        group = self.group_of(device_id)
        for peer in self.fleet.peers if self._is_new(phase) else ():
            self.fleet.send(group, peer, phase)
        super().receive(device_id, phase, body)

    def _is_new(self, phase: str) -> bool:
        new = phase not in self.sent
        self.sent.add(phase)
        return new


def measured(width: int, size: int = SIZE) -> dict[str, float]:
    """Return the figures of one device with `width` coordinates in a group of `size`."""
    host = SoloGroupAggregator(width, size)
    host.trust(host.fleet.authority)
    with tempfile.TemporaryDirectory() as name, GroupAggregatorSite(Path(name), host) as site:
        parameters = {
            "server": host.server,
            "ca_pem": host.authority.pem,
            "signing_key": public_hex(host.signing_key),
            "config": host.config.to_json(),
            "folder": name,
        }
        command = [sys.executable, "-m", "tests.bench.device_round"]
        done = subprocess.run(
            command,
            input=json.dumps(parameters),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        assert set(site.bytes_in) >= {"advertise", "shares", "updates", "consistency", "unmask"}
        (group,) = host.groups
        assert group.result is not None
    return json.loads(done.stdout)


@bench(*KEYS)
def whole_round() -> Iterator[Figure]:
    for name, width in WIDTHS.items():
        one = measured(width)
        flower = 1620.0 if name == "d10k" else 1650.0
        yield Figure(
            f"secagg.round_cpu_ms.n100.{name}",
            one["cpu_ms"],
            "ms",
            flower,
            "Flower 1.42 client, protocol alone, read of it",
        )
        yield Figure(f"secagg.round_up_bytes.n100.{name}", one["up"], "bytes")
        yield Figure(f"secagg.round_down_bytes.n100.{name}", one["down"], "bytes")
        yield Figure(f"secagg.round_wall_s.n100.{name}", one["wall_s"], "s")


class _Permissive:
    """A permit and a budget gate that allow everything."""

    def check(self) -> None:
        pass

    def refusal(self, *_: object) -> None:
        pass


class _Worker:
    """Seals in this process, so that the time counts."""

    def __init__(self, width: int) -> None:
        self._vector = np.random.default_rng(1).normal(size=width)

    async def seal(self, config, _scratch, _key, attempt):
        return seal(self._vector, config, attempt)


async def _device(parameters: dict) -> dict[str, float]:
    from agent.protocol.messages import RoundConfig

    folder, config = Path(parameters["folder"]), RoundConfig.from_json(parameters["config"])
    file = IdentityFile(folder, MemoryKeyStore())
    file.create()
    stranger = AggregatorClient(
        parameters["server"], parameters["ca_pem"], parameters["signing_key"]
    )
    registration = stranger.register("one-time-token", file.csr_pem())
    file.set_certificate(
        registration.device_id,
        registration.certificate_pem,
        registration.ca_pem,
        registration.erase_secret,
        registration.signing_key,
    )
    client = AggregatorClient(
        parameters["server"], parameters["ca_pem"], parameters["signing_key"], file.load()
    )
    database, clock = Database(folder / "ledger.sqlite3"), SystemClock()
    ledger, agreed = Ledger(database), AgreedClock(clock, Values(database, "value"))
    key = LedgerKey(file.derived_key(LABEL))
    ledger.sealed.open(key, clock.now(), was_sealed=False)
    worker, server_clock = _Worker(config.d), ServerClock(clock)
    resources = RoundResources(
        clock,
        server_clock,
        ledger,
        Outbox(clock, server_clock, agreed, ledger, asyncio.to_thread),
        _Permissive(),
        lambda: worker,
        ActivityTracker(lambda: None),
    )
    secagg = SecaggRound(resources, asyncio.to_thread, lambda: LIMITS, asyncio.sleep)
    update = TrainedUpdate(folder / "none", b"", 1, config.model_digest, 1, 0, 0)
    shown = ledger.shown_heads()
    client.offer()
    admission = Admission(shown.head, 3600, clock.now(), clock.monotonic())
    cpu, wall = time.process_time(), time.monotonic()
    trust = GroupTrust(parameters["ca_pem"], frozenset())
    result = await secagg.submit(
        _Permissive(), client, config, update, admission, JoinWindow(0.0, 60.0), trust
    )
    assert result.outcome.value == "sent", result
    return {
        "cpu_ms": (time.process_time() - cpu) * 1000,
        "wall_s": time.monotonic() - wall,
        "up": result.bytes_up,
        "down": result.bytes_down,
    }


if __name__ == "__main__":
    import agent.protocol.masking
    import agent.secagg.client
    import agent.transport.round_session  # noqa: F401

    print(json.dumps(asyncio.run(_device(json.load(sys.stdin)))))
    sys.stdout.flush()
    os._exit(0)
