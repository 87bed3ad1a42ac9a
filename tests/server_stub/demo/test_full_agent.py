"""The full agent learns from real programs, and says what keeps it from sending its update.

That it takes part in rounds is shown by tests/e2e/test_demo.py.
"""

import pytest

from server_stub.demo import full_agent
from server_stub.demo.full_agent import (
    LONG_START_S,
    MAX_FILES,
    RETRY_S,
    programs_here,
    send_one_update,
)

WAITING = {"state": "waiting", "activity": "", "progress": None}
TRAINING = {"state": "training", "activity": "Training on 40 local rows", "progress": None}
NO_ROUND = [{"code": "NO_ROUND", "text": "No round is open."}]


class Agent:
    """Answers `status` as listed, one second after the other, and the last answer for ever."""

    def __init__(self, *statuses):
        self._statuses = list(statuses)
        self.now, self.starts = 0.0, 0

    def call(self, method, _):
        if method == "run_now":
            self.starts += 1
            return {}
        self.now += 1
        answer = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        return {"sent": {"count": 0}, "reasons": [], **answer}

    async def send(self, sent_before=0, seconds=60):
        return await send_one_update(
            self.call, sent_before, lambda: self.now >= seconds, lambda: self.now
        )


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(full_agent, "POLL_S", 0)


def test_the_environment_holds_real_programs():
    assert any(path.name == "cli-64.exe" for path in programs_here())


def test_only_windows_programs_are_taken_and_not_too_many(tmp_path):
    for number in range(MAX_FILES + 5):
        (tmp_path / f"{number:04d}.EXE").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.dll").mkdir()
    found = programs_here(tmp_path)
    assert len(found) == MAX_FILES
    assert {path.suffix for path in found} == {".EXE"}


async def test_an_idle_agent_is_asked_to_start_until_its_update_is_sent():
    agent = Agent(*[WAITING] * 3, TRAINING, {**WAITING, "sent": {"count": 3}})
    assert await agent.send(sent_before=2) == ""
    assert agent.starts == 3 / RETRY_S


async def test_a_busy_agent_is_left_alone():
    agent = Agent(*[{**TRAINING, "progress": 0.5}] * 5, {**WAITING, "sent": {"count": 1}})
    assert await agent.send() == ""
    assert agent.starts == 0


async def test_the_agents_own_reason_explains_why_it_sent_nothing():
    assert await Agent({**WAITING, "reasons": NO_ROUND}).send() == "No round is open."
    assert await Agent(WAITING).send() == "It was not ready in time."


async def test_a_training_that_does_not_begin_is_blamed_on_another_one():
    """The agent's last reason would be that the model changed meanwhile."""
    waits = int(LONG_START_S) + 5
    agent = Agent(*[TRAINING] * waits, {**WAITING, "reasons": NO_ROUND})
    obstacle = await agent.send()
    assert f"waited {waits - 1} s for its training to begin" in obstacle
    assert "one training at a time" in obstacle


async def test_a_training_that_begins_soon_or_makes_progress_is_blamed_on_nothing():
    short = [TRAINING] * (int(LONG_START_S) - 5)
    progress = [{**TRAINING, "progress": 0.2}]
    agent = Agent(*short, *progress, *short, *progress * 30, {**WAITING, "reasons": NO_ROUND})
    assert await agent.send() == "No round is open."
