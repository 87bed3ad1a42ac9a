"""The dispatcher: parameters are checked before a method sees them, and the gate before anything is
read for training.
"""

import asyncio

import pytest

from agent.errors import AegisError, PeerError
from agent.rounds.outcome import Outcome
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nonsense", {}, "UNKNOWN_METHOD"),
        ("status", {"more": 1}, "BAD_PARAMS"),
        ("pause", {"seconds": "15"}, "BAD_PARAMS"),
        ("pause", {"seconds": True}, "BAD_PARAMS"),
        ("pause", {"seconds": -5}, "BAD_VALUE"),
        ("pause", {"seconds": 10**12}, "BAD_VALUE"),
        ("pause", {"until": 5}, "BAD_VALUE"),
        ("samples.add", {"paths": ["/x"]}, "BAD_PARAMS"),
        ("samples.add", {"paths": ["/x"], "label": "odd"}, "BAD_VALUE"),
        ("scan", {"paths": []}, "BAD_PARAMS"),
        ("scan", {"paths": [1]}, "BAD_PARAMS"),
        ("scan", {"paths": ["a\0b"]}, "BAD_PARAMS"),
        (
            "consent.grant",
            {"notice_id": "x", "text_sha256": "y", "surface": "cli", "locale": "en"},
            "NOTICE_CHANGED",
        ),
        ("consent.grant", {"notice_id": "x"}, "BAD_PARAMS"),
        ("enroll", {}, "BAD_PARAMS"),
        ("enroll", {"invitation": "x", "server": "y"}, "BAD_PARAMS"),
        ("enroll", {"invitation": "x" * 60_000}, "INVITATION_BAD"),
        ("invitation.inspect", {"invitation": "aegis1.x.y"}, "INVITATION_BAD"),
        ("settings.set", {"key": "cpu.share_idle", "value": []}, "BAD_VALUE"),
        ("export", {"path": "relative.json"}, "BAD_VALUE"),
        ("sent.show", {"attempt": "none"}, "NOT_FOUND"),
    ],
)
async def test_p11_a_bad_request_is_refused_and_changes_nothing(device, method, params, code):
    before = device.agent.status()
    with pytest.raises(AegisError) as raised:
        await device.agent.service.call(method, params)
    assert raised.value.code == code
    assert device.agent.status() == before


async def test_a_surface_is_a_short_word(device):
    with pytest.raises(PeerError):
        await device.grant(surface="x" * 100)
    assert device.agent.gate.consent_status().state.value == "UNASKED"


async def test_c10_withdrawing_is_easy_in_every_state(device):
    for prepare in (None, device.grant, None):
        if prepare:
            await prepare()
        status = await device.call("consent.withdraw", surface="tray")
        assert status["state"] == "off"
    await device.grant()
    await device.call("settings.set", key="budget.epsilon", value=2)
    assert (await device.call("consent.withdraw", surface="tray"))["consent"]["state"] == "REFUSED"


async def test_granting_twice_records_one_yes(device):
    await device.grant()
    await device.grant()
    assert len(device.agent.record.entries()) == 1


async def test_c2_dismissing_records_no_yes(device):
    notice = await device.call("consent.show")
    status = await device.call("consent.dismiss", notice_id=notice["notice_id"], surface="window")
    assert status["consent"]["state"] == "UNASKED"
    await device.grant()
    status = await device.call("consent.dismiss", notice_id=notice["notice_id"], surface="window")
    assert status["consent"]["state"] == "GRANTED"


async def test_inspecting_an_invitation_stores_nothing(device):
    shown = await device.call("invitation.inspect", invitation=device.server.invitation())
    assert shown["operator"]["name"] == "Test operator"
    assert len(shown["ca_sha256"]) == 64
    assert device.agent.effective.enrolment() is None


async def test_samples_are_added_with_their_names_only_and_counted_once(device):
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
    assert [(row["source"], row["label"]) for row in listed["rows"]] == [("a.exe", "malicious")]
    assert "person" not in str(device.agent.samples.everything())
    answer = await device.call(
        "samples.add", paths=["/home/person/secret/a.exe"], label="malicious"
    )
    assert (answer["added"], answer["known"]) == (0, 1)


async def test_p2_rows_that_come_after_a_withdrawal_are_not_kept(device):
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


async def test_the_doctor_asks_the_keyring_only_after_a_yes(device, monkeypatch):
    asked = []
    describe = device.keystore.describe
    monkeypatch.setattr(device.keystore, "describe", lambda: asked.append(1) or describe())

    checks = {check["name"]: check for check in (await device.call("doctor"))["checks"]}
    assert (asked, checks["keyring"]["ok"]) == ([], None)
    await device.join()
    await device.run_cycle()
    checks = {check["name"]: check for check in (await device.call("doctor"))["checks"]}
    assert (asked, checks["keyring"]["ok"]) == ([1], True)
    assert checks["trust roots"]["value"] == "1"
    assert checks["certificate"]["ok"] is True


def test_the_key_store_is_chosen_before_joining_only(tmp_path):
    from agent.app import Overrides, build

    agent = build(tmp_path / "home", Overrides(environ={"AEGIS_POLICY": str(tmp_path / "none")}))

    async def scene():
        assert agent.keys.key_store().describe().kind != "credential"
        await agent.service.call("settings.set", {"key": "key_store", "value": "credential"})
        assert agent.keys.key_store() is agent.keys.key_store()
        assert agent.keys.key_store().describe().kind == "credential"
        agent.home.identity.write_text("a remnant")
        await agent.service.call("settings.set", {"key": "key_store", "value": "os"})
        assert not agent.keys.has_identity()

    asyncio.run(scene())
    agent.close()


async def test_the_key_store_of_an_enrolled_device_stays(device):
    await device.join()
    await device.run_cycle()
    with pytest.raises(AegisError) as raised:
        await device.call("settings.set", key="key_store", value="credential")
    assert raised.value.code == "ALREADY_ENROLLED"
    assert device.agent.keys.has_identity()


@pytest.mark.parametrize("method", ["erase", "consent.withdraw"])
async def test_p2_a_window_that_closes_meanwhile_does_not_stop_it_half_way(device, method):
    await device.join()
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.WAITING
    params = {"surface": "tray"} if method == "consent.withdraw" else {}
    asked = asyncio.create_task(device.call(method, **params))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    async with asyncio.timeout(60):
        while device.agent.runner.trained is not None:
            await asyncio.sleep(0.005)
        while method == "erase" and (
            device.agent.samples.counts().total or (device.home / "identity.aead").exists()
        ):
            await asyncio.sleep(0.005)
    assert device.agent.gate.denial() is not None


async def test_p2_a_withdrawal_ends_an_export_that_asks_the_server(device, tmp_path, monkeypatch):
    await device.join()
    asked = asyncio.Event()

    async def answers_late(permit):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(device.agent.enrolment_client, "held_by_server", answers_late)
    exporting = asyncio.create_task(
        device.call("export", path=str(tmp_path / "mine.json"), server=True)
    )
    await asked.wait()
    await device.call("consent.withdraw", surface="tray")
    with pytest.raises(AegisError) as raised:
        await exporting
    assert (raised.value.code, (tmp_path / "mine.json").exists()) == ("NO_CONSENT", False)


def test_an_erasure_removes_copies_of_what_was_sent_and_leaves_the_windows_reachable(device):
    folder = device.runtime / "aegisai"
    folder.mkdir(parents=True, exist_ok=True)
    name = device.agent.home.name
    window, lock, copy = (
        folder / f"{name}-{rest}" for rest in ("window.sock", "window.sock.lock", "sent-abc.bin")
    )
    for path in (window, lock, copy):
        path.write_bytes(b"x")
    asyncio.run(device.call("erase"))
    assert [path.exists() for path in (window, lock, copy)] == [True, True, False]
