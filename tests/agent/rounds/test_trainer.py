"""Training can be suspended, interrupted and continued, and its suspension ends with it."""

from agent.errors import UserActionError
from agent.rounds.outcome import Outcome


async def test_a_hold_ends_with_its_training(device):
    """Nobody would lift it from the next one, say the example before the next decision."""

    await device.join()
    running = await device.cycle_waiting_in("train")
    device.worker.hold()
    await device.call("pause")
    assert (await running).outcome is Outcome.STOPPED
    assert not device.worker.is_held
    assert device.worker.stopped_jobs == {"train", "seal"}


async def test_interrupted_training_goes_on_where_it_was(device):
    await device.join()
    train, used = device.worker.train, []

    async def interrupted(task, model, rows, labels, scratch, job_key):
        used.append((scratch, job_key))
        if len(used) == 1:
            raise UserActionError(
                "TRAINING_INTERRUPTED",
                "Training was interrupted and kept.",
                "It goes on where it was.",
            )
        return await train(task, model, rows, labels, scratch, job_key)

    device.worker.train = interrupted
    assert (await device.run_cycle()).outcome is Outcome.WAITING
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert used[0] == used[1]
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert used[2] != used[1]
