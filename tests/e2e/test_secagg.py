"""A round of secure aggregation outlives its aggregator's processes: they are killed in its middle,
devices go on, and nothing is lost or counted twice.
"""

import pytest

from server_stub.rounds.lifecycle import State
from tests.fakes.group_devices import GroupDevice
from tests.fakes.group_rounds import MESSAGES, assert_mean, join_window, wait_for_end
from tests.fakes.server_process import ServerProcess

pytestmark = pytest.mark.system
DEVICES = 4
KILLED_AT = ("advertise", "masked", "unmask")
OPTIONS = (
    "--group-floor",
    "3",
    "--ready-target",
    str(DEVICES),
    "--lead-seconds",
    "0",
    "--join-seconds",
    "120",
    "--phase-seconds",
    "120",
)
BUDGET = ("--epsilon", "300", "--rounds-planned", "1", "--fast-spending", "--min-rows", "4")


def test_p10_an_aggregator_killed_in_the_middle_of_its_phases_loses_nothing(tmp_path):
    with ServerProcess(tmp_path, *OPTIONS, *BUDGET) as server:
        assert server.created["mode"] == "secagg"
        assert (
            server.created["group_floor"]
            == "test floor: groups of 3 devices or more, sums of 2 or more"
        )
        token = server.token(DEVICES)
        devices = [
            GroupDevice(server.enrol(token), 0.01 * (1 + number)) for number in range(DEVICES)
        ]
        join_window(devices)
        for kind in MESSAGES:
            for number, device in enumerate(devices):
                if kind in KILLED_AT and number == 2:
                    server.kill()
                    server.start()
                    for one in devices:
                        one.reconnect(server)
                device.send(kind)
        ended = wait_for_end(server)
        assert (ended.state, ended.updates, ended.model_version) == (State.DONE, DEVICES, 2)
        assert_mean(server, devices, ended)
        shown = server.command("rounds", "show", "1")
        assert [(group["state"], group["survivors"]) for group in shown["groups"]] == [
            ("done", DEVICES)
        ]
        assert server.command("stats")["updates"] == DEVICES
