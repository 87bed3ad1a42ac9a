"""The doctor looks only where it may, and gives each problem a remedy."""


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


async def checks(device):
    return {check["name"]: check for check in (await device.call("doctor"))["checks"]}


async def test_p1_the_machine_is_not_read_before_a_yes(device):
    assert (await checks(device))["this computer"]["ok"] is None


async def test_the_doctor_names_a_policy_that_forbids(device, tmp_path):
    (tmp_path / "policy.toml").write_text('contribute = false\nreason = "Not here."\n')
    check = (await checks(device))["policy"]
    assert (check["ok"], "Not here." in check["value"]) == (False, True)
    assert check["remedy"]


async def test_a_failed_check_has_a_remedy(device, monkeypatch):
    monkeypatch.setattr("agent.reports.doctor.MIN_FREE_BYTES", 2**62)
    device.agent.home.erase_request.write_text("{")
    failed = {name: check for name, check in (await checks(device)).items() if check["ok"] is False}
    assert {"disk", "erase request"} <= set(failed)
    assert all(check["remedy"] for check in failed.values())


async def test_the_doctor_finds_an_expired_certificate(device):
    await device.join()
    await device.run_cycle()
    device.clock.advance(30 * 24 * 3600)
    check = (await checks(device))["certificate"]
    assert (check["ok"], bool(check["remedy"])) == (False, True)
