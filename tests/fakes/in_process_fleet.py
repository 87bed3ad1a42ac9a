"""Whole agents around one aggregator of groups, in one process and without a network."""

import asyncio
import time

from tests.fakes.clock import FakeClock
from tests.fakes.device import Device
from tests.fakes.group_aggregator import LIMITS, FakeGroupAggregator
from tests.fakes.timeouts import TIMEOUT_S


async def short_sleep(_):
    """Stands in for a sleep of any length."""
    await asyncio.sleep(0.001)


class InProcessFleet:
    """`size` agents of one aggregator, which expects all of them."""

    def __init__(self, folder, size=3, clock=None, **options):
        """`options` are those of `Device`."""
        self.clock = clock or FakeClock(int(time.time()))
        self.server = FakeGroupAggregator(self.clock, size)
        self.devices = []
        for number in range(size):
            home = folder / f"d{number}"
            home.mkdir()
            device = Device(
                home,
                clock=self.clock,
                aggregator=self.server,
                **{"limits": lambda: LIMITS, "sleep": short_sleep, **options},
            )
            self.devices.append(device)

    async def join(self):
        """Every device takes the invitation, consents and has enough rows."""
        for device in self.devices:
            await device.call("enroll", invitation=self.server.invitation())
            await device.grant()
            device.add_rows(20)

    async def train_all_but_last(self):
        """Run a cycle of every device but the last; return their outcomes.

        The poll of the last device then announces the join window.
        """
        return [(await device.run_cycle()).outcome for device in self.devices[:-1]]

    async def run_cycles(self, group_wait_s=60):
        """Run one cycle of every device, all at once; return results or the errors raised."""
        return await asyncio.gather(
            *(device.run_cycle(group_wait_s=group_wait_s) for device in self.devices),
            return_exceptions=True,
        )

    def close(self):
        for device in self.devices:
            device.close()


def device_id(device):
    return device.agent.keys.identity_file().load().device_id


def outcomes(results):
    return [
        result.outcome.value
        if not isinstance(result, BaseException)
        else getattr(result, "code", repr(result))
        for result in results
    ]


async def until(condition, seconds=TIMEOUT_S):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


WAITING_POINTS = ["inbox advertise", "inbox shares", "seal", "inbox masked", "inbox consistency"]
"""Where a device can be made to wait in a round: for the outcome of a phase, or for its worker."""


async def run_until_waiting(fleet, victim, point):
    """Start a cycle of every device; return the tasks once `victim` waits at `point`."""
    victim_id, kind, _, phase = device_id(victim), *point.partition(" ")
    if kind == "seal":
        victim.worker.gates["seal"] = asyncio.Event()
    else:
        fleet.server.lies[phase] = lambda true, who: None if who == victim_id else true
    running = [asyncio.create_task(device.run_cycle(group_wait_s=60)) for device in fleet.devices]
    await until(
        lambda: (
            "seal" in victim.worker.calls
            if kind == "seal"
            else phase in fleet.server.phases_of(victim_id)
        )
    )
    return running
