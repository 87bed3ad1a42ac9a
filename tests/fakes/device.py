"""A whole agent on a temporary home, with fakes for time, the aggregator and the worker."""

import asyncio
import os
import time

from agent.app import Overrides, build
from agent.config import device_limits
from agent.config.policy_file import PolicyPlace
from agent.daemon.loop import Loop
from agent.paths import Home
from agent.protocol.sources import Source
from agent.sandbox.minimum import Offered
from agent.store.samples import NewRow
from tests.fakes.aggregator import FakeAggregator
from tests.fakes.clock import FakeClock
from tests.fakes.keystore import RecordingKeyStore
from tests.fakes.worker import FakeWorker

CONFINED = Offered(system_calls=True, landlock=1, private_agent=True)
ROW = tuple(range(29))


def policy_of_tests(path):
    """The place of a policy that this user may write."""
    return PolicyPlace(path, frozenset({os.getuid()}))


class Device:
    def __init__(
        self,
        folder,
        *,
        clock=None,
        aggregator=None,
        environ=None,
        worker=None,
        demo_limits=None,
        **overrides,
    ):
        """Make a device in `folder`.

        `worker` makes the worker from the scratch folder; without it a fake answers at once. With
        `demo_limits` the home counts as the demo's. `overrides` are those of agent.app.
        """
        self.overrides = overrides
        self.home = folder / "home"
        self.runtime = folder / "run"
        # The fake aggregator's certificates are valid today.
        self.clock = clock or FakeClock(int(time.time()))
        self.worker = worker(self.home / "scratch") if worker else FakeWorker()
        self.keystore = RecordingKeyStore()
        self.server = aggregator or FakeAggregator(self.clock)
        self.environ = {
            "XDG_RUNTIME_DIR": str(self.runtime),
            **(environ or {}),
        }
        self.policy_place = policy_of_tests(folder / "policy.toml")
        if demo_limits is not None:
            Home(self.home).prepare()
            device_limits.mark_demo(Home(self.home), demo_limits)
        self.start()

    def start(self):
        overrides = {
            "client_factory": self.server.client,
            "offered": lambda: CONFINED,
            **self.overrides,
        }
        self.agent = build(
            self.home,
            Overrides(
                clock=self.clock,
                key_store=self.keystore,
                worker=self.worker,
                environ=self.environ,
                policy_place=self.policy_place,
                **overrides,
            ),
        )

    def restart(self):
        """Restart as after kill -9: nothing in memory survives."""
        self.agent.close()
        self.start()

    def loop(self, draw=0.5):
        return Loop(self.agent, draw=lambda: draw)

    async def call(self, method, **params):
        return await self.agent.service.call(method, params)

    async def grant(self, surface="cli"):
        notice = await self.call("consent.show")
        return await self.call(
            "consent.grant",
            notice_id=notice["notice_id"],
            text_sha256=notice["text_sha256"],
            surface=surface,
            locale=notice["locale"],
        )

    async def join(self):
        """Store an invitation, consent, and add enough rows."""
        await self.call("enroll", invitation=self.server.invitation())
        await self.grant()
        self.add_rows(20)

    def add_rows(self, count):
        self.agent.samples.add(
            [NewRow((number, *ROW[1:]), number % 2, Source.PERSON) for number in range(count)],
            self.clock.now(),
        )

    async def run_cycle(self, hold_s=None, group_wait_s=0):
        return await self.agent.cycles.run(hold_s=hold_s, group_wait_s=group_wait_s)

    async def cycle_suspended_at(self, job):
        """Start a cycle whose worker waits in `job` until `worker.gates[job]` is set. A task."""
        self.worker.gates[job] = asyncio.Event()
        task = asyncio.create_task(self.run_cycle())
        async with asyncio.timeout(60):
            while job not in self.worker.calls:
                await asyncio.sleep(0.001)
        return task

    def close(self):
        self.agent.close()
