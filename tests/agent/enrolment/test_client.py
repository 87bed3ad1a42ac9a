"""Registration, renewal and models: in the right order, under a live permit, and again after a
crash.
"""

import asyncio
import threading

import pytest

from agent.errors import OperatorActionError, PeerError, UserActionError
from tests.fakes.aggregator import FakeClient
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def connect(device):
    return device.agent.enrolment_client.connect(device.agent.gate.permit())


class Held:
    """Connections on which one kind of request hangs until it is let go or its connection is
    closed; every use is noted.
    """

    def __init__(self, server, method):
        self.server, self.method, self.free = server, method, True
        self.asked, self.clients = [], []
        self.reached = threading.Event()

    def client(self, *who):
        held = self

        class Client(FakeClient):
            def __init__(self, *args):
                super().__init__(*args)
                self.closed = threading.Event()
                self.go_on = threading.Event()
                held.clients.append(self)

            def _hang(self, method, call):
                held.asked.append(method)
                if method == held.method and not held.free:
                    held.reached.set()
                    assert self.go_on.wait(60)
                return call()

            def renew(self, csr_pem):
                return self._hang("renew", lambda: FakeClient.renew(self, csr_pem))

            def log_head(self):
                return self._hang("log_head", lambda: FakeClient.log_head(self))

            def log_proof(self, *args):
                return self._hang("log_proof", lambda: FakeClient.log_proof(self, *args))

            def device(self):
                return self._hang("device", lambda: FakeClient.device(self))

            def close(self):
                self.closed.set()
                self.go_on.set()

        return Client(self.server, who[3])


HANGING = [("log_head", 1), ("renew", 6)]


async def hung(device, method, days):
    """A registered device whose next `method`, due after so many days, hangs."""
    held = Held(device.server, method)
    device.agent.close()
    device.overrides["client_factory"] = held.client
    device.start()
    await device.join()
    await connect(device)
    held.clients[-1].close()
    device.clock.advance(days * 24 * 3600)
    held.asked.clear()
    held.free = False
    return held


@pytest.mark.parametrize(("method", "days"), HANGING)
async def test_p2_withdrawing_while_a_connection_is_made_closes_it_and_nothing_follows(
    device, method, days
):
    held = await hung(device, method, days)
    running = asyncio.create_task(device.run_cycle())
    assert await asyncio.to_thread(held.reached.wait, 60)
    await device.call("consent.withdraw", surface="tray")
    assert all(client.closed.is_set() for client in held.clients)
    await running
    device.agent.blocking_pool.close(wait=True)
    assert held.asked == [method]


@pytest.mark.parametrize(("method", "days"), HANGING)
async def test_p2_withdrawing_while_the_servers_data_is_fetched_ends_it(
    device, tmp_path, method, days
):
    held = await hung(device, method, days)
    running = asyncio.create_task(
        device.call("export", path=str(tmp_path / "all.json"), server=True)
    )
    assert await asyncio.to_thread(held.reached.wait, 60)
    await device.call("consent.withdraw", surface="tray")
    held.clients[-1].go_on.set()
    with pytest.raises(UserActionError) as raised:
        await running
    assert raised.value.code == "NO_CONSENT"
    assert held.asked == [method]
    assert all(client.closed.is_set() for client in held.clients)


async def test_a_connection_that_cannot_be_renewed_is_closed(device):
    held = await hung(device, "", 8)
    device.server.fail("renew", OperatorActionError("REJECTED_IDENTITY", "No.", ""))
    with pytest.raises(OperatorActionError):
        await connect(device)
    assert all(client.closed.is_set() for client in held.clients)


async def test_the_first_connection_is_the_registration(device):
    await device.join()
    assert device.server.calls == []
    await connect(device)
    assert device.server.calls == ["register"]
    await connect(device)
    assert device.server.calls == ["register"]
    assert device.agent.effective.enrolment().is_registered


async def test_p10_killed_between_answer_and_note_the_same_device_registers_again(
    device, monkeypatch
):
    await device.join()
    monkeypatch.setattr(
        device.agent.effective,
        "registered",
        lambda *_: (_ for _ in ()).throw(ZeroDivisionError),
    )
    with pytest.raises(ZeroDivisionError):
        await connect(device)
    device.restart()
    await connect(device)
    assert len(device.server.devices) == 1


async def test_a_used_token_is_named_and_nothing_is_kept_of_it(device):
    await device.join()
    device.server.tokens["one-time-token"] = "another device's request"
    with pytest.raises(UserActionError) as raised:
        await connect(device)
    assert raised.value.code == "TOKEN_USED"
    assert not device.agent.effective.enrolment().is_registered


async def test_p1_withdrawing_during_registration_ends_it_there(device):
    await device.join()
    permit = device.agent.gate.permit()
    await device.call("consent.withdraw", surface="tray")
    with pytest.raises(UserActionError):
        await device.agent.enrolment_client.connect(permit)
    assert device.server.calls == []
    assert not device.agent.keys.has_identity()


async def test_a_failed_renewal_matters_only_after_the_certificates_end(device):
    await device.join()
    await connect(device)
    device.server.fail("renew", OperatorActionError("REJECTED_IDENTITY", "No.", ""))
    device.clock.advance(6 * 24 * 3600)
    await connect(device)
    device.clock.advance(2 * 24 * 3600)
    with pytest.raises(OperatorActionError):
        await connect(device)


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
    assert device.agent.models.min_version().version == 1


async def test_models_without_consent_need_a_pinned_repository(device):
    await device.call("enroll", invitation=device.server.invitation())
    assert await device.agent.enrolment_client.update_model() is False
    assert device.server.calls == []


async def test_the_authority_is_looked_over_once_a_day_and_a_rewritten_log_ends_it(device):
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
        with pytest.raises(PeerError) as raised:
            await connect(device)
        assert raised.value.code == "ISSUANCE_LOG"
    device.server.log = honest
    await connect(device)


async def test_a_log_that_cannot_be_fetched_is_looked_at_later(device, monkeypatch):
    await device.join()
    with monkeypatch.context() as patch:
        patch.setattr(
            "agent.enrolment.log_audit.check_log",
            lambda *_: (_ for _ in ()).throw(PeerError("SERVER_ERROR", "x", "y")),
        )
        await connect(device)
        assert device.agent.values.get("issuance_log") is None
    await connect(device)
    assert device.agent.values.get("issuance_log")["size"] == 1
