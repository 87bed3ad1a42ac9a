"""The export holds everything that is stored about a person, and no secret (C19)."""

import base64
import json

import pytest

from agent.errors import UserActionError


async def export(device, tmp_path):
    await device.call("export", path=str(tmp_path / "mine.json"))
    return json.loads((tmp_path / "mine.json").read_bytes())


async def test_c19_the_export_holds_everything_stored(device, tmp_path):
    await device.join()
    await device.run_cycle()
    document = await export(device, tmp_path)
    assert [entry["decision"] for entry in document["consent"]] == ["granted"]
    assert document["operator"]["name"] == "Test operator"
    assert len(document["samples"]) == 20
    (entry,) = document["ledger"]["outbox"]
    body = base64.b64decode(document["sent_bytes"][entry["attempt"]])
    assert len(body) == entry["bytes"]
    assert document["status"]["sent"]["count"] == 1


async def test_c19_the_export_names_the_folders_and_logs_that_the_person_chose(device, tmp_path):
    (tmp_path / "scan.log").touch()
    await device.call("sources.add", path=str(tmp_path))
    await device.call("sources.log", path=str(tmp_path / "scan.log"))
    assert (await export(device, tmp_path))["sources"] == {
        "folders": [str(tmp_path)],
        "logs": [str(tmp_path / "scan.log")],
    }


async def test_c19_an_empty_home_has_an_export_too(device, tmp_path):
    document = await export(device, tmp_path)
    assert (document["consent"], document["operator"], document["samples"]) == ([], None, [])


async def test_p12_the_export_holds_no_secret(device, tmp_path):
    await device.join()
    await device.run_cycle()
    identity = device.agent.keys.identity_file().load()
    text = json.dumps(await export(device, tmp_path))
    assert identity.erase_secret not in text
    assert "PRIVATE KEY" not in text
    assert "one-time-token" not in text


async def test_export_holds_everything_and_no_secret(device, tmp_path):
    import json

    await device.join()
    await device.run_cycle()
    target = tmp_path / "all.json"
    await device.call("export", path=str(target))
    text = target.read_text()
    document = json.loads(text)
    assert len(document["samples"]) == 20
    assert len(document["sent_bytes"]) == len(document["ledger"]["charges"]) == 1
    assert document["consent"][0]["decision"] == "granted"
    assert "PRIVATE KEY" not in text
    assert "ab" * 16 not in text
    assert document["server"] is None
    assert "device" not in device.server.calls
    await device.call("export", path=str(target), server=True)
    (entry,) = document["ledger"]["outbox"]
    held = json.loads(target.read_text())["server"]
    assert held == {
        "device_id": entry["receipt"]["receipt"]["device_id"],
        "updates": [entry["round_id"]],
    }
    await device.call("consent.withdraw", surface="cli")
    with pytest.raises(UserActionError, match="withdrew"):
        await device.call("export", path=str(target), server=True)
