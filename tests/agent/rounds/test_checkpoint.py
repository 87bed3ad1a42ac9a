"""An interrupted training is continued from its checkpoint, which only this device can open."""

from pathlib import Path

from agent.errors import UserActionError


async def test_interrupted_training_goes_on_after_a_crash_and_not_after_a_withdrawal(device):
    await device.join()
    used = []

    async def interrupted(task, model, rows, labels, scratch, job_key):
        used.append((scratch, job_key))
        Path(scratch).write_bytes(b"half")
        Path(scratch + ".checkpoint").write_bytes(b"encrypted")
        raise UserActionError(
            "TRAINING_INTERRUPTED",
            "Training was interrupted and kept.",
            "It goes on where it was.",
        )

    device.worker.train = interrupted
    await device.run_cycle()
    device.restart()
    assert [path.suffix for path in (device.home / "scratch").iterdir()] == [".checkpoint"]
    await device.run_cycle()
    assert used[0] == used[1]
    assert used[0][1].hex() not in str(device.agent.values.all())
    device.add_rows(30)
    await device.run_cycle()
    assert not {*used[2]} & {*used[1]}  # other rows: another training
    await device.call("consent.withdraw", surface="tray")
    assert list((device.home / "scratch").iterdir()) == []
    await device.grant()
    await device.run_cycle()
    assert not {*used[3]} & {*used[2]}
