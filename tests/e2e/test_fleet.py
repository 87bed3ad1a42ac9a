"""Simulated devices and a real aggregator: rounds over real TLS with the devices' own client
code.
"""

import asyncio

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import OperatorActionError
from server_stub.demo.device_fleet import VANISHED, Fleet
from server_stub.demo.local_server import LocalServer
from server_stub.rounds.lifecycle import State
from server_stub.simulation import data
from tests.fakes.timeouts import TIMEOUT_S

pytestmark = pytest.mark.system
OPTIONS = (
    "--mode",
    "local",
    "--epsilon",
    "8",
    "--rounds-planned",
    "8",
    "--round-seconds",
    "600",
    "--min-rows",
    "4",
)


def shares(count):
    made = generate(np.random.default_rng(3), 600)
    table = data.from_arrays(
        "generated", made.rows, made.labels, data.held_out_groups(made.groups, 3)
    )
    return data.deal(table, count, 40, 3)


def test_three_devices_make_a_model_while_a_fourth_vanishes(tmp_path):
    with (
        LocalServer(tmp_path / "server", (*OPTIONS, "--rounds-target", "3")) as server,
        Fleet(tmp_path / "devices", shares(4)) as fleet,
    ):

        async def scene():
            await fleet.join(server.start().invitation(4))
            opened = await server.open_round()
            parts = await fleet.round({2: "masked"})
            return parts, await server.finished(opened.round_id, TIMEOUT_S)

        parts, ended = asyncio.run(scene())
        assert [part.outcome for part in parts] == ["sent", "sent", VANISHED, "sent"]
        assert (ended.state, ended.updates, server.model().version) == (State.DONE, 3, 2)
        assert fleet.traffic().up > 4 * 300
        assert 2 < fleet.epsilon_spent(1e-5)[0] < 3.2


def test_what_the_server_refuses_at_its_start_is_said_in_its_words(tmp_path):
    with pytest.raises(OperatorActionError) as caught:
        LocalServer(tmp_path / "server", ("--epsilon", "8", "--rounds-planned", "0"))
    assert caught.value.code in ("CHILD_ENDED", "BAD_SETTING")
