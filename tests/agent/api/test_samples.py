"""Rows for training need a live consent; only checked rows are kept."""

import asyncio

import pytest

from agent.errors import AegisError


async def test_samples_are_stored_without_their_names_and_counted_once(device):
    await device.grant()
    answer = await device.call(
        "samples.add",
        paths=["/home/person/secret/a.exe", "/home/person/b.txt"],
        label="malicious",
    )
    assert (answer["added"], [item["path"] for item in answer["refused"]]) == (
        1,
        ["/home/person/b.txt"],
    )
    listed = await device.call("samples.list")
    assert [(row["source"], row["label"]) for row in listed["rows"]] == [("person", "malicious")]
    assert "secret" not in str(device.agent.samples.everything())
    answer = await device.call(
        "samples.add", paths=["/home/person/secret/a.exe"], label="malicious"
    )
    assert (answer["added"], answer["known"]) == (0, 1)
    store = b"".join(one.read_bytes() for one in device.home.glob("agent.sqlite3*"))
    assert b"a.exe" not in store


async def test_a_persons_word_about_a_file_replaces_an_earlier_one(device):
    await device.grant()
    await device.call("samples.add", paths=["/x/a.exe"], label="malicious")
    answer = await device.call("samples.mark", paths=["/x/a.exe", "/x/b.txt"], label="benign")
    assert (answer["added"], answer["known"], len(answer["refused"])) == (0, 1, 1)
    listed = await device.call("samples.list")
    assert [(row["source"], row["label"]) for row in listed["rows"]] == [("person", "benign")]


async def test_p2_rows_that_arrive_after_a_withdrawal_are_not_stored(device):
    await device.grant()
    device.worker.gates["extract"] = asyncio.Event()
    adding = asyncio.create_task(device.call("samples.add", paths=["/x/a.exe"], label="benign"))
    while "extract" not in device.worker.calls:
        await asyncio.sleep(0.001)
    await device.call("consent.withdraw", surface="tray")
    device.worker.gates["extract"].set()
    with pytest.raises(AegisError) as raised:
        await adding
    assert raised.value.code == "NO_CONSENT"
    assert device.worker.stopped
    assert device.agent.samples.counts().total == 0


async def test_c21_adding_samples_needs_consent_and_scanning_does_not(device):
    with pytest.raises(AegisError) as raised:
        await device.call("samples.add", paths=["/x/a.exe"], label="benign")
    assert raised.value.code == "NO_CONSENT"
    with pytest.raises(AegisError):
        await device.call("samples.import", path="/x/table.npz")
    assert device.worker.calls == []
    scanned = await device.call("scan", paths=["/x/a.exe"])
    assert (scanned["model_version"], scanned["demonstration"]) == (0, True)


async def test_p11_a_row_out_of_range_is_refused_with_all_others_of_its_answer(device, monkeypatch):
    from agent.protocol.jobs import ExtractedRow, ExtractResult

    async def lies(paths):
        return ExtractResult(
            tuple(ExtractedRow(path, "00" * 32, (value,) * 29) for path, value in paths), ()
        )

    await device.grant()
    monkeypatch.setattr(device.worker, "extract", lambda _: lies([("a", 0), ("b", -1)]))
    with pytest.raises(AegisError):
        await device.call("samples.add", paths=["/x"], label="benign")
    assert device.agent.samples.counts().total == 0


async def test_clearing_removes_the_rows_and_the_update_trained_on_them(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    assert device.agent.runner.updates.current is not None
    assert await device.call("samples.clear") == {"removed": 20}
    assert device.agent.runner.updates.current is None
    assert (await device.call("samples.list"))["total"] == 0


async def test_the_list_is_paged(device):
    device.add_rows(5)
    page = await device.call("samples.list", offset=3, limit=10)
    assert (page["total"], len(page["rows"])) == (5, 2)
