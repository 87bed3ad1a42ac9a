"""A scan uses the operator's verified model where there is one, else the bundled one (P8)."""

from agent.models.bundled import bundled_model
from agent.protocol.jobs import ModelFiles


async def test_before_joining_a_scan_uses_the_bundled_model(device):
    assert await device.agent.scanning_models.current() == bundled_model()


async def test_after_a_cycle_a_scan_uses_the_operators_model(device):
    await device.join()
    await device.run_cycle()
    model = await device.agent.scanning_models.current()
    assert (model.version, model.files) == (1, ModelFiles(device.server.content, family="logistic"))
    assert not model.demonstration


async def test_p8_a_stored_model_that_was_altered_is_not_used(device):
    await device.join()
    await device.run_cycle()
    for path in (device.home / "models").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-8] + bytes(8))
        path.write_bytes(path.read_bytes()[:-1] + b"\x3f")
    assert await device.agent.scanning_models.current() == bundled_model()


async def assert_told_alike(device):
    """Status, doctor and scan name the same model."""
    used = await device.agent.scanning_models.current()
    told = device.agent.status().model
    assert (told.version, told.demonstration) == (used.version, used.demonstration)
    checks = {check["name"]: check for check in (await device.call("doctor"))["checks"]}
    assert checks["model"]["value"].startswith(f"version {used.version}")
    assert ("demonstration" in checks["model"]["value"]) is used.demonstration
    return used


async def test_status_doctor_and_scan_agree_on_the_model(device):
    assert (await assert_told_alike(device)).demonstration
    await device.join()
    assert (await assert_told_alike(device)).version == 0
    await device.run_cycle()
    assert (await assert_told_alike(device)).version == 1


async def test_they_agree_on_a_demonstration_model_of_the_operator(device):
    device.server.facts["demonstration"] = 1
    await device.join()
    await device.run_cycle()
    used = await assert_told_alike(device)
    assert (used.version, used.demonstration) == (1, True)


async def test_they_agree_when_the_stored_model_is_damaged_or_gone(device):
    await device.join()
    await device.run_cycle()
    for path in (device.home / "models").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x3f")
    assert (await assert_told_alike(device)).version == 0
    for path in (device.home / "models").glob("*"):
        path.unlink()
    assert (await assert_told_alike(device)).version == 0
