"""A device audits the authority's issuance log once a day and refuses one that was rewritten."""

import pytest

from agent.errors import PeerError


def connect(device):
    return device.agent.enrolment_client.connect(device.agent.gate.permit())


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
