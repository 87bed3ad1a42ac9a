"""A model is verified before it is installed, and is the one that the round names (P8)."""

import pytest

from agent.errors import PeerError


def connect(device):
    return device.agent.enrolment_client.connect(device.agent.gate.permit())


async def test_p8_a_model_is_fetched_once_and_only_the_rounds_own_is_taken(device):
    await device.join()
    permit = device.agent.gate.permit()
    client = await connect(device)
    config, task = device.server.config, device.server.task
    model, down = await device.agent.enrolment_client.model(permit, client, config, task)
    assert (model.version, down) == (1, len(model.content))
    assert (await device.agent.enrolment_client.model(permit, client, config, task))[1] == 0
    device.server.publish(2, [0.5] * 116)
    from dataclasses import replace

    other = replace(config, model_version=2, model_digest="ff" * 32)
    with pytest.raises(PeerError) as raised:
        await device.agent.enrolment_client.model(permit, client, other, task)
    assert raised.value.code == "MODEL_NOT_THE_ROUNDS"
    assert device.agent.models.floor().version == 1


async def test_models_without_consent_need_a_pinned_repository(device):
    await device.call("enroll", invitation=device.server.invitation())
    assert await device.agent.enrolment_client.update_model() is False
    assert device.server.calls == []
