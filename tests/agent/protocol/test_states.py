"""The tables are complete, lead somewhere, and are what the page shows."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import PeerError
from agent.protocol.states import (
    DEVICE,
    GROUP,
    DeviceAction,
    DeviceEvent,
    DeviceState,
    GroupEvent,
    GroupState,
    page,
    step,
)

ENDS = {DeviceState.UNMASKED, DeviceState.LEFT, GroupState.DONE, GroupState.ABORTED}
TABLES = [(DEVICE, DeviceState, DeviceEvent), (GROUP, GroupState, GroupEvent)]


@pytest.mark.parametrize(("table", "states", "events"), TABLES)
def test_what_is_not_in_the_table_is_refused(table, states, events):
    for state in states:
        for event in events:
            if (state, event) in table:
                assert step(table, state, event) == table[state, event]
            else:
                with pytest.raises(PeerError) as raised:
                    step(table, state, event)
                assert raised.value.code == "OUT_OF_TURN"


@pytest.mark.parametrize(("table", "states", "events"), TABLES)
def test_every_state_is_reached_and_leads_to_an_end(table, states, events):
    reached = {next(iter(states))}
    while True:
        more = reached | {after for (state, _), (after, _) in table.items() if state in reached}
        if more == reached:
            break
        reached = more
    assert reached == set(states)
    ending = set(ENDS)
    for _ in states:
        ending |= {state for (state, _), (after, _) in table.items() if after in ending}
    assert set(states) <= ending
    assert not [state for state, _ in table if state in ENDS]


def test_p6_signing_and_opening_happen_at_most_once():
    """No way leads through SIGN or OPEN twice: the states after them never come back."""
    for once in (DeviceAction.SIGN, DeviceAction.OPEN):
        (start,) = [after for after, action in DEVICE.values() if action is once]
        visited, todo = set(), [start]
        while todo:
            state = todo.pop()
            for (before, _), (after, action) in DEVICE.items():
                if before is state:
                    assert action is not once
                    if after not in visited:
                        visited.add(after)
                        todo.append(after)


def test_the_page_shows_the_tables():
    page_text = (Path(__file__).parents[3] / "docs" / "PROTOCOL.md").read_text()
    assert page().strip() in page_text
    printed = subprocess.run(
        [sys.executable, "-m", "agent.protocol.states"],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert printed.stdout.strip() == page().strip()
