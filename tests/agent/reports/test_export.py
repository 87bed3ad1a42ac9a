"""The export holds everything that is stored about a person, and no secret (C19)."""

import base64
import json


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
