"""Whole agents around one aggregator that lets them meet, in one process and without a network."""

import asyncio
import time

from tests.fakes.clock import FakeClock
from tests.fakes.device import Device
from tests.fakes.group_aggregator import LIMITS, FakeGroupAggregator
from tests.fakes.timeouts import TIMEOUT_S


async def quick(_):
    await asyncio.sleep(0.001)


class InProcessFleet:
    """`size` agents of one aggregator, which expects all of them."""

    def __init__(self, folder, size=3, clock=None, **options):
        """`options` are the devices'."""
        self.clock = clock or FakeClock(int(time.time()))
        self.server = FakeGroupAggregator(self.clock, size)
        self.devices = []
        for number in range(size):
            place = folder / f"d{number}"
            place.mkdir()
            made = Device(
                place,
                clock=self.clock,
                aggregator=self.server,
                **{"limits": lambda: LIMITS, "sleep": quick, **options},
            )
            self.devices.append(made)

    async def join(self):
        for device in self.devices:
            await device.call("enroll", invitation=self.server.invitation())
            await device.grant()
            device.add_rows(20)

    async def all_ready(self):
        """Everybody has trained; the window is announced to the last."""
        return [(await device.run_cycle()).outcome for device in self.devices[:-1]]

    async def meet(self, group_wait_s=60):
        """One pass of each, at once. Results, or the errors that ended them."""
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


PHASES = ["inbox advertise", "inbox shares", "seal", "inbox masked", "inbox consistency"]
"""What a device waits for when it is disturbed."""


async def wait_at(fleet, victim, place):
    """Run all devices until `victim` has to wait at `place`; the tasks."""
    if place == "seal":
        victim.worker.gates["seal"] = asyncio.Event()
    else:
        name, after = device_id(victim), place.split()[1]
        fleet.server.lies[after] = lambda true, who: None if who == name else true
    running = [asyncio.create_task(device.run_cycle(group_wait_s=60)) for device in fleet.devices]
    name = device_id(victim)
    reached = {
        "inbox advertise": "advertise",
        "inbox shares": "shares",
        "inbox masked": "masked",
        "inbox consistency": "consistency",
    }
    await until(
        lambda: (
            "seal" in victim.worker.calls
            if place == "seal"
            else reached[place] in fleet.server.said(name)
        )
    )
    return running
