"""Training is suspended while a restriction applies, and continued after an interruption."""

import asyncio

import pytest

from agent.conditions.interface import NoConditions
from agent.errors import UserActionError
from agent.reasons import Reason, ReasonCode
from agent.rounds.outcome import Outcome
from tests.fakes.device import Device

ON_BATTERY = Reason(ReasonCode.ON_BATTERY, "The computer runs on battery.")
HOT = Reason(ReasonCode.HOT, "The computer is hot.")


class Laptop(NoConditions):
    """A computer whose reasons against training a test sets."""

    reasons = ()

    def may_train(self):
        return self.reasons


@pytest.fixture
def laptop():
    return Laptop()


@pytest.fixture
def device(tmp_path, laptop):
    device = Device(tmp_path, conditions=laptop)
    yield device
    device.close()


async def test_the_finished_update_names_its_model_and_its_rows(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    update = device.agent.runner.updates.current
    assert (update.model_version, update.model_digest, update.rows_used, update.at) == (
        1,
        device.server.digest,
        20,
        device.clock.now(),
    )
    assert update.job_key.hex() not in repr(update)


async def test_training_is_suspended_while_a_reason_counts_and_resumed_after_it(device, laptop):
    await device.join()
    running = await device.cycle_suspended_at("train")
    assert not device.worker.is_suspended
    for reasons, is_suspended in (((ON_BATTERY,), True), ((), False), ((HOT,), True), ((), False)):
        laptop.reasons = reasons
        device.agent.cycles.enforce()
        assert device.worker.is_suspended is is_suspended
        assert (await device.call("status"))["state"] == ("waiting" if is_suspended else "training")
    device.worker.gates["train"].set()
    assert (await running).outcome is Outcome.SENT


async def test_nothing_is_trained_while_a_reason_counts(device, laptop):
    await device.join()
    laptop.reasons = (ON_BATTERY,)
    result = await device.run_cycle()
    assert (result.outcome, result.reasons) == (Outcome.WAITING, (ON_BATTERY,))
    assert device.worker.calls == []
    assert "model" not in device.server.calls


@pytest.mark.parametrize(("reason", "is_suspended"), [(ON_BATTERY, False), (HOT, True)])
async def test_train_once_now_resumes_only_what_the_persons_own_limits_suspend(
    device, laptop, reason, is_suspended
):
    await device.join()
    device.worker.gates["train"] = asyncio.Event()
    running = asyncio.create_task(device.agent.cycles.run(hold_s=None, override=True))
    async with asyncio.timeout(60):
        while "train" not in device.worker.calls:
            await asyncio.sleep(0.001)
    laptop.reasons = (reason,)
    device.agent.cycles.enforce()
    assert device.worker.is_suspended is is_suspended
    device.worker.gates["train"].set()
    await running


async def test_a_suspension_ends_with_its_training(device):
    """Nothing would lift it from the next job, such as an example that a person asked for."""
    await device.join()
    running = await device.cycle_suspended_at("train")
    device.worker.suspend()
    await device.call("pause")
    assert (await running).outcome is Outcome.STOPPED
    assert not device.worker.is_suspended
    assert device.worker.stopped_jobs == {"train", "collect", "seal"}


@pytest.mark.parametrize("code", ["TRAINING_INTERRUPTED", "TRAINING_ELSEWHERE"])
async def test_an_interruption_ends_the_cycle_without_an_error(device, monkeypatch, code):
    await device.join()

    async def interrupted(*_, **__):
        raise UserActionError(code, "Training was interrupted.", "It goes on.")

    monkeypatch.setattr(device.worker, "train", interrupted)
    result = await device.run_cycle()
    assert (result.outcome, result.reasons[0].code) == (Outcome.WAITING, ReasonCode.BACKOFF)
    assert result.text == "Training was interrupted."
    assert device.agent.cycles.error is None


async def test_any_other_failure_of_the_worker_is_an_error(device, monkeypatch):
    await device.join()

    async def broken(*_, **__):
        raise UserActionError("NO_MEMORY", "Memory is short.", "Close a program.")

    monkeypatch.setattr(device.worker, "train", broken)
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert device.agent.cycles.error.code == "NO_MEMORY"


async def test_an_interrupted_training_continues_under_the_same_key(device):
    await device.join()
    train, used = device.worker.train, []

    async def interrupted(task, model, rows, labels, scratch, job_key):
        used.append((scratch, job_key))
        if len(used) == 1:
            raise UserActionError(
                "TRAINING_INTERRUPTED", "Training was interrupted.", "It goes on."
            )
        return await train(task, model, rows, labels, scratch, job_key)

    device.worker.train = interrupted
    assert (await device.run_cycle()).outcome is Outcome.WAITING
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert used[0] == used[1]
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert used[2] != used[1]
