"""A scan uses the operator's verified model where there is one, else the bundled one (P8)."""

from agent.models.bundled import bundled_model


async def test_before_joining_a_scan_uses_the_bundled_model(device):
    assert await device.agent.scanning_models.current() == bundled_model()


async def test_after_a_cycle_a_scan_uses_the_operators_model(device):
    await device.join()
    await device.run_cycle()
    model = await device.agent.scanning_models.current()
    assert (model.version, model.content) == (1, device.server.content)
    assert not model.demonstration


async def test_p8_a_stored_model_that_was_altered_is_not_used(device):
    await device.join()
    await device.run_cycle()
    for path in (device.home / "models").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-8] + bytes(8))
        path.write_bytes(path.read_bytes()[:-1] + b"\x3f")
    assert await device.agent.scanning_models.current() == bundled_model()
