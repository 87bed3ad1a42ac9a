"""The device registers once and connects under a live permit, even after a crash."""

import asyncio
import threading

import pytest

from agent.errors import OperatorActionError, UserActionError
from tests.fakes.aggregator import FakeClient


def connect(device):
    return device.agent.enrolment_client.connect(device.agent.gate.permit())


class HangingConnections:
    """Connections on which requests of one kind hang once `is_hanging` is set.

    A request goes on when its connection is closed.
    """

    def __init__(self, server, method):
        self.server, self.method = server, method
        self.is_hanging = False
        self.requests, self.clients = [], []
        self.reached = threading.Event()

    def client(self, *arguments):
        connections = self

        class Client(FakeClient):
            def __init__(self, *args):
                super().__init__(*args)
                self.closed = threading.Event()
                self.go_on = threading.Event()
                connections.clients.append(self)

            def _request(self, method, call):
                connections.requests.append(method)
                if method == connections.method and connections.is_hanging:
                    connections.reached.set()
                    assert self.go_on.wait(60)
                return call()

            def renew(self, csr_pem):
                return self._request("renew", lambda: FakeClient.renew(self, csr_pem))

            def log_head(self):
                return self._request("log_head", lambda: FakeClient.log_head(self))

            def log_proof(self, *args):
                return self._request("log_proof", lambda: FakeClient.log_proof(self, *args))

            def device(self):
                return self._request("device", lambda: FakeClient.device(self))

            def close(self):
                self.closed.set()
                self.go_on.set()

        return Client(self.server, arguments[3])

    def all_closed(self):
        return all(client.closed.is_set() for client in self.clients)


HANGING = [("log_head", 1), ("renew", 6)]
"""A request while a connection is made, and after how many days it is due."""


async def hanging_at(device, method, days):
    """Register the device; its next `method`, due after `days`, hangs."""
    connections = HangingConnections(device.server, method)
    device.agent.close()
    device.overrides["client_factory"] = connections.client
    device.start()
    await device.join()
    await connect(device)
    connections.clients[-1].close()
    device.clock.advance(days * 24 * 3600)
    connections.requests.clear()
    connections.is_hanging = True
    return connections


@pytest.mark.parametrize(("method", "days"), HANGING)
async def test_p2_withdrawing_while_a_connection_is_made_closes_it_and_nothing_follows(
    device, method, days
):
    connections = await hanging_at(device, method, days)
    running = asyncio.create_task(device.run_cycle())
    assert await asyncio.to_thread(connections.reached.wait, 60)
    await device.call("consent.withdraw", surface="tray")
    assert connections.all_closed()
    await running
    device.agent.blocking_pool.close(wait=True)
    assert connections.requests == [method]


@pytest.mark.parametrize(("method", "days"), HANGING)
async def test_p2_withdrawing_while_the_servers_data_is_fetched_ends_it(
    device, tmp_path, method, days
):
    connections = await hanging_at(device, method, days)
    running = asyncio.create_task(
        device.call("export", path=str(tmp_path / "all.json"), server=True)
    )
    assert await asyncio.to_thread(connections.reached.wait, 60)
    await device.call("consent.withdraw", surface="tray")
    connections.clients[-1].go_on.set()
    with pytest.raises(UserActionError) as raised:
        await running
    assert raised.value.code == "NO_CONSENT"
    assert connections.requests == [method]
    assert connections.all_closed()


async def test_a_connection_that_cannot_be_renewed_is_closed(device):
    connections = await hanging_at(device, "", 8)
    device.server.fail("renew", OperatorActionError("REJECTED_IDENTITY", "No.", ""))
    with pytest.raises(OperatorActionError):
        await connect(device)
    assert connections.all_closed()


async def test_the_first_connection_is_the_registration(device):
    await device.join()
    assert device.server.calls == []
    await connect(device)
    assert device.server.calls == ["register"]
    await connect(device)
    assert device.server.calls == ["register"]
    assert device.agent.effective.enrolment().is_registered


async def test_p10_a_device_killed_before_it_stored_its_registration_gets_the_same_one_again(
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


async def test_a_used_token_is_an_error_and_leaves_the_device_unregistered(device):
    await device.join()
    device.server.tokens["one-time-token"] = "another device's request"
    with pytest.raises(UserActionError) as raised:
        await connect(device)
    assert raised.value.code == "TOKEN_USED"
    assert not device.agent.effective.enrolment().is_registered


async def test_p1_after_a_withdrawal_no_registration_begins(device):
    await device.join()
    permit = device.agent.gate.permit()
    await device.call("consent.withdraw", surface="tray")
    with pytest.raises(UserActionError):
        await device.agent.enrolment_client.connect(permit)
    assert device.server.calls == []
    assert not device.agent.keys.has_identity()


async def test_a_failed_renewal_is_an_error_only_once_the_certificate_has_expired(device):
    await device.join()
    await connect(device)
    device.server.fail("renew", OperatorActionError("REJECTED_IDENTITY", "No.", ""))
    device.clock.advance(6 * 24 * 3600)
    await connect(device)
    device.clock.advance(2 * 24 * 3600)
    with pytest.raises(OperatorActionError):
        await connect(device)
