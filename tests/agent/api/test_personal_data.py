"""The export holds everything; a withdrawal ends its question to the server."""

import asyncio
import json

import pytest

from agent.errors import AegisError


async def test_p2_a_withdrawal_ends_an_export_that_asks_the_server(device, tmp_path, monkeypatch):
    await device.join()
    asked = asyncio.Event()

    async def answers_late(permit):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(device.agent.enrolment_client, "server_data", answers_late)
    exporting = asyncio.create_task(
        device.call("export", path=str(tmp_path / "mine.json"), server=True)
    )
    await asked.wait()
    await device.call("consent.withdraw", surface="tray")
    with pytest.raises(AegisError) as raised:
        await exporting
    assert (raised.value.code, (tmp_path / "mine.json").exists()) == ("NO_CONSENT", False)


async def test_c19_the_export_is_one_file_for_its_owner_only(device, tmp_path):
    await device.join()
    await device.run_cycle()
    target = tmp_path / "mine.json"
    target.write_text("an older one")
    answer = await device.call("export", path=str(target))
    assert answer == {"file": str(target), "bytes": target.stat().st_size}
    assert target.stat().st_mode & 0o777 == 0o600
    document = json.loads(target.read_bytes())
    assert len(document["sent_bytes"]) == len(document["ledger"]["outbox"]) == 1
    assert document["server"] is None


async def test_a_file_that_cannot_be_written_leaves_nothing_behind(device, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(AegisError) as raised:
        await device.call("export", path=str(tmp_path / "folder"))
    assert raised.value.code == "CANNOT_WRITE"
    assert not list(tmp_path.glob(".folder.*"))
