"""Rounds of secure aggregation over real TLS: an aggregator for small groups, its devices, and what
a round leaves in its database and its model.
"""

import numpy as np
import pytest
from safetensors.numpy import load

from agent.errors import AegisError
from agent.privacy.codec import noise_sd
from agent.protocol.messages import Mode
from server_stub.config.limits import Rate, Rates
from server_stub.rounds.lifecycle import State
from tests.fakes.group_devices import GroupDevice
from tests.fakes.live_server import LiveServer
from tests.fakes.timeouts import until

MESSAGES = ("advertise", "shares", "masked", "consistency", "unmask")
"""The messages of a device, in order."""
SMALL_GROUPS = {
    "mode": Mode.SECAGG,
    "min_group": 3,
    "min_sum": 2,
    "gamma_milli": 0,
    "g_max": 10,
    "lead_s": 0,
    "join_s": 60,
    "phase_s": 60,
    "planned": 1,
    "fast_spending": True,
    "epsilon_milli": 1_000_000,
    "lifetime_epsilon_milli": 1_000_000,
}
"""Little noise, so that a mean can be read from the model."""
UNLIMITED = Rate(1_000_000, 100_000.0)


def group_server(folder, ready_target, **options):
    """An aggregator that announces a window once `ready_target` devices are ready."""
    return LiveServer(
        folder,
        rates=Rates(*[UNLIMITED] * 5),
        **{**SMALL_GROUPS, "ready_target": ready_target, **options},
    )


def enrol_devices(server, count):
    """Devices whose updates differ."""
    token = server.token(uses=count)
    return [GroupDevice(server.enrol(token), 0.01 * (1 + number % 8)) for number in range(count)]


def poll_until_window(devices):
    """Report all devices ready; return the offer with the window that is announced for them."""
    for device in devices:
        device.report_ready()
    return [device.poll_until_offered() for device in devices][-1]


def join_window(devices):
    """Like `poll_until_window`; each device then makes its state machine."""
    offer = poll_until_window(devices)
    for device in devices:
        device.join(offer)
    return offer


def send_all(devices, *kinds):
    """Send these messages, each from every device."""
    for kind in kinds:
        for device in devices:
            device.send(kind)


def wait_for_end(server, round_id=1):
    """Wait until a round is over; return it as the database has it."""

    def ended():
        current = server.view.rounds.get(round_id)
        return current if current and current.state in (State.DONE, State.ABANDONED) else None

    return until(ended, what=f"the end of round {round_id}")


def stored_events(server, round_id=1):
    return server.view.round_events.events(round_id)


def count_events(server, kind):
    return sum(event.kind == kind for event in stored_events(server))


def assert_mean(server, devices, ended, version=2):
    """Assert that the model moved by the mean of exactly these devices' updates."""
    after, before = (
        load(server.view.models.get(number).content)["weights"] for number in (version, version - 1)
    )
    step = after - before
    expected = np.mean([device.value for device in devices])
    tolerance = 6 * noise_sd(ended.config, len(devices)) / np.sqrt(len(step))
    assert abs(step.mean() - expected) < tolerance


def refusal(call, *arguments):
    """The code with which a call is refused."""
    with pytest.raises(AegisError) as raised:
        call(*arguments)
    return raised.value.code
