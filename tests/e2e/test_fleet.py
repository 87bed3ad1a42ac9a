"""Simulated devices and a real aggregator: rounds over real TLS with the devices' own client
code.
"""

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import OperatorActionError
from agent.privacy.budget import FAST_SPENDING
from agent.privacy.policy import DeviceLimits
from server_stub.demo.device_fleet import DROPPED_OUT, Fleet
from server_stub.demo.local_server import LocalServer
from server_stub.demo.spending import most_spent
from server_stub.rounds.lifecycle import State
from server_stub.simulation import data
from tests.fakes.server_commands import INIT
from tests.fakes.timeouts import TIMEOUT_S

pytestmark = pytest.mark.system
OPTIONS = (
    *INIT[1:],
    "--mode",
    "local",
    "--epsilon",
    "8",
    "--rounds-planned",
    "8",
    "--fast-spending",
    "--round-seconds",
    "600",
    "--min-rows",
    "4",
)

LIMITS = DeviceLimits(spending=FAST_SPENDING)


def shares(count):
    rows = generate(np.random.default_rng(3), 600)
    table = data.from_arrays(
        "generated", rows.rows, rows.labels, data.held_out_groups(rows.groups, 3)
    )
    return data.deal(table, count, 40, 3)


async def test_three_devices_make_a_model_while_a_fourth_drops_out(tmp_path):
    with (
        LocalServer(tmp_path / "server", (*OPTIONS, "--rounds-target", "3")) as server,
        Fleet(tmp_path / "devices", shares(4), limits=LIMITS) as fleet,
    ):
        await fleet.join(server.start().invitation(4))
        opened = await server.open_round()
        results = await fleet.round({2: "masked"})
        ended = await server.finished(opened.round_id, TIMEOUT_S)
        assert [result.outcome for result in results] == ["sent", "sent", DROPPED_OUT, "sent"]
        assert (ended.state, ended.updates, server.model().version) == (State.DONE, 3, 2)
        assert fleet.traffic().up > 4 * 300
        assert 2 < most_spent(fleet.ledgers(), 1e-5).epsilon < 3.2


def test_an_error_at_the_start_of_the_server_is_raised_with_its_own_code(tmp_path):
    with pytest.raises(OperatorActionError) as caught:
        LocalServer(tmp_path / "server", ("--epsilon", "8", "--rounds-planned", "0"))
    assert caught.value.code in ("CHILD_ENDED", "BAD_SETTING")
