"""An interrupted training is continued from its checkpoint, which only this device can open."""

import logging
from pathlib import Path

import pytest

from agent.errors import UserActionError
from agent.rounds.checkpoint import name_of
from tests.fakes.device import Device


@pytest.fixture
async def enrolled(device):
    await device.join()
    await device.run_cycle()
    return device


def test_a_training_is_named_after_its_model_and_its_rows():
    names = {
        name_of(model, rows, labels)
        for model in ("aa" * 32, "bb" * 32)
        for rows in (b"rows", b"other rows")
        for labels in (b"\0\1", b"\1\1")
    }
    assert len(names) == 8
    assert name_of("aa" * 32, b"rows", b"\0\1") in names


def test_a_training_that_never_began_has_no_place(device):
    checkpoints = device.agent.checkpoints
    assert checkpoints.find("one") is None
    begun = checkpoints.begin("one")
    assert begun.parent == device.home / "scratch"
    assert (checkpoints.find("one"), checkpoints.find("another")) == (begun, None)


def test_a_new_training_takes_the_place_of_the_old_one(device):
    checkpoints = device.agent.checkpoints
    first, second = checkpoints.begin("one"), checkpoints.begin("another")
    assert first != second
    assert (checkpoints.find("one"), checkpoints.find("another")) == (None, second)


async def test_a_training_is_found_again_after_a_restart(enrolled):
    begun = enrolled.agent.checkpoints.begin("one")
    enrolled.restart()
    assert enrolled.agent.checkpoints.find("one") == begun


def test_p2_without_consent_a_training_is_not_continued_after_a_restart(device):
    begun = device.agent.checkpoints.begin("one")
    begun.with_name(begun.name + ".checkpoint").write_bytes(b"encrypted")
    device.restart()
    assert device.agent.checkpoints.find("one") is None
    assert list(begun.parent.iterdir()) == []


async def test_p12_a_checkpoints_key_is_the_same_after_a_restart_and_stored_nowhere(enrolled):
    path = enrolled.agent.checkpoints.begin("one")
    key = enrolled.agent.checkpoints.job_key(path)
    enrolled.restart()
    assert enrolled.agent.checkpoints.job_key(path) == key
    assert len(key) == 32
    assert enrolled.agent.checkpoints.job_key(path.with_name("another")) != key
    assert key.hex() not in str(enrolled.agent.values.all())
    assert not any(key in file.read_bytes() for file in enrolled.home.rglob("*") if file.is_file())


async def test_p12_another_device_has_another_key_for_the_same_name(enrolled, tmp_path):
    (tmp_path / "other").mkdir()
    other = Device(tmp_path / "other")
    await other.join()
    await other.run_cycle()
    path = enrolled.agent.checkpoints.begin("one")
    keys = {each.agent.checkpoints.job_key(path) for each in (enrolled, other)}
    other.close()
    assert len(keys) == 2


def test_tidying_keeps_the_checkpoint_of_the_present_training_only(device):
    checkpoints = device.agent.checkpoints
    stale, current = checkpoints.begin("one"), checkpoints.begin("another")
    for path in (stale, current):
        path.write_bytes(b"half")
        path.with_name(path.name + ".checkpoint").write_bytes(b"encrypted")
    checkpoints.tidy()
    assert [path.name for path in current.parent.iterdir()] == [f"{current.name}.checkpoint"]
    checkpoints.forget()
    assert checkpoints.find("another") is None
    assert len(list(current.parent.iterdir())) == 1
    checkpoints.clear()
    assert list(current.parent.iterdir()) == []


def test_a_file_that_cannot_be_removed_is_logged_and_the_others_go(device, caplog):
    scratch = device.home / "scratch"
    (scratch / "a folder").mkdir()
    for name in ("0", "z"):
        (scratch / name).write_bytes(b"encrypted")
    with caplog.at_level(logging.WARNING):
        device.agent.checkpoints.clear()
    assert [path.name for path in scratch.iterdir()] == ["a folder"]
    (record,) = caplog.records
    assert record.message.startswith("scratch.kept error=")


async def test_training_continues_after_a_crash_and_not_after_a_withdrawal(device):
    await device.join()
    used = []

    async def interrupted(task, model, rows, labels, scratch, job_key):
        used.append((scratch, job_key))
        Path(scratch).write_bytes(b"half")
        Path(scratch + ".checkpoint").write_bytes(b"encrypted")
        raise UserActionError("TRAINING_INTERRUPTED", "Training was interrupted.", "It goes on.")

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
