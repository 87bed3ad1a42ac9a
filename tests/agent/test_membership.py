"""Registration, renewal and models: in the right order, under a live permit, and again after a crash."""

import asyncio

import pytest

from agent.errors import NeedsOperator, NeedsUser, PeerFault
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def connect(device):
    return device.agent.membership.connect(device.agent.gate.permit())


def test_the_first_connection_is_the_registration(device):
    async def scene():
        await device.join()
        assert device.server.calls == []
        await connect(device)
        assert device.server.calls == ["register"]
        await connect(device)
        assert device.server.calls == ["register"]
        assert device.agent.terms.enrolment().is_registered

    asyncio.run(scene())


def test_p10_killed_between_answer_and_note_the_same_device_registers_again(device, monkeypatch):
    async def scene():
        await device.join()
        monkeypatch.setattr(device.agent.terms, "registered", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
        with pytest.raises(ZeroDivisionError):
            await connect(device)
        device.restart()
        await connect(device)
        assert len(device.server.devices) == 1

    asyncio.run(scene())


def test_a_used_token_is_named_and_nothing_is_kept_of_it(device):
    async def scene():
        await device.join()
        device.server.tokens["one-time-token"] = "another device's request"
        with pytest.raises(NeedsUser) as raised:
            await connect(device)
        assert raised.value.code == "TOKEN_USED"
        assert not device.agent.terms.enrolment().is_registered

    asyncio.run(scene())


def test_p1_withdrawing_during_registration_ends_it_there(device):
    async def scene():
        await device.join()
        permit = device.agent.gate.permit()
        await device.call("consent.withdraw", surface="tray")
        with pytest.raises(NeedsUser):
            await device.agent.membership.connect(permit)
        assert device.server.calls == []
        assert not device.agent.identity_file_exists()

    asyncio.run(scene())


def test_a_failed_renewal_matters_only_after_the_certificates_end(device):
    async def scene():
        await device.join()
        await connect(device)
        device.server.fail("renew", NeedsOperator("REJECTED_IDENTITY", "No.", ""))
        device.clock.advance(6 * 24 * 3600)
        await connect(device)
        device.clock.advance(2 * 24 * 3600)
        with pytest.raises(NeedsOperator):
            await connect(device)

    asyncio.run(scene())


def test_p8_a_model_is_fetched_once_and_only_the_rounds_own_is_taken(device):
    async def scene():
        await device.join()
        permit = device.agent.gate.permit()
        client = await connect(device)
        config, task = device.server.config, device.server.task
        model, down = await device.agent.membership.model(permit, client, config, task)
        assert (model.version, down) == (1, len(model.content))
        assert (await device.agent.membership.model(permit, client, config, task))[1] == 0
        device.server.publish(2, [0.5] * 116)
        from dataclasses import replace

        other = replace(config, model_version=2, model_digest="ff" * 32)
        with pytest.raises(PeerFault) as raised:
            await device.agent.membership.model(permit, client, other, task)
        assert raised.value.code == "MODEL_NOT_THE_ROUNDS"
        assert device.agent.model_store().floor().version == 1

    asyncio.run(scene())


def test_models_without_consent_need_a_pinned_repository(device):
    async def scene():
        await device.call("enroll", invitation=device.server.invitation())
        assert await device.agent.membership.update_model() is False
        assert device.server.calls == []

    asyncio.run(scene())


def test_the_authority_is_looked_over_once_a_day_and_a_rewritten_log_ends_it(device):
    async def scene():
        await device.join()
        await connect(device)
        noted = device.agent.values.get("issuance_log")
        assert noted["size"] == 1
        device.server.log.append(b"another device's")
        await connect(device)
        assert device.agent.values.get("issuance_log") == noted
        device.clock.advance(86_400)
        await connect(device)
        assert device.agent.values.get("issuance_log")["size"] == 2
        checks = {check["name"]: check for check in (await device.call("doctor"))["checks"]}
        assert checks["issuance log"]["ok"]
        assert checks["issuance log"]["value"].startswith("2 entries, this certificate among them")

        honest = list(device.server.log)
        for forged in ([b"forged", *honest], [honest[0], b"forged", b"more"], honest[:1]):
            device.server.log = forged
            device.clock.advance(86_400)
            with pytest.raises(PeerFault) as raised:
                await connect(device)
            assert raised.value.code == "ISSUANCE_LOG"
        device.server.log = honest
        await connect(device)

    asyncio.run(scene())


def test_a_log_that_cannot_be_fetched_is_looked_at_later(device, monkeypatch):
    async def scene():
        await device.join()
        with monkeypatch.context() as patch:
            patch.setattr("agent.transport.audit.audit", lambda *_: (_ for _ in ()).throw(PeerFault("SERVER_ERROR", "x", "y")))
            await connect(device)
            assert device.agent.values.get("issuance_log") is None
        await connect(device)
        assert device.agent.values.get("issuance_log")["size"] == 1

    asyncio.run(scene())
