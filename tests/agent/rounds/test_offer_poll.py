"""The ledger is opened for a cycle, and its head shown before anything is sealed."""

import shutil

import pytest

from agent.errors import InternalError, PeerError, UserActionError
from agent.protocol.ledger_heads import ShownHeads
from agent.rounds.outcome import Outcome
from server_stub.rounds.ledger_heads import KnownHead
from tests.fakes.charges import open_ledger
from tests.fakes.device import Device
from tests.fakes.in_process_fleet import device_id
from tests.fakes.twins import Keys, Twin, TwinServer


def test_p5_the_head_is_shown_before_the_update_is_sealed_or_charged(tmp_path):
    server = TwinServer(tmp_path)
    twin = Twin(server, tmp_path / "home", server.new_device(), Keys())
    assert twin.say_ready() == ""
    copy = twin.copy(tmp_path / "copy")
    assert copy.say_ready() == "LEDGER_RESERVED"
    assert copy.charge() == "NOT_READY"
    assert (twin.charge(), twin.send()) == ("", "")
    assert copy.say_ready() == "LEDGER_FORKED"
    assert len(copy.ledger.charges(as_found=True)) == 0
    # It is remembered.
    copy.crash()
    assert copy.say_ready() == "LEDGER_FORKED"


def test_p10_a_lost_answer_is_no_fork(tmp_path):
    server = TwinServer(tmp_path)
    twin = Twin(server, tmp_path / "home", server.new_device(), Keys())
    assert (twin.say_ready(), twin.charge()) == ("", "")
    assert twin.send(lose_answer=True) == "OFFLINE"
    twin.crash()
    assert twin.send() == ""
    server.next_round()
    assert (twin.say_ready(), twin.charge(), twin.send()) == ("", "", "")
    assert len(server.accepted()) == 2


def test_p5_an_admission_ends_before_another_copy_is_admitted(tmp_path):
    server = TwinServer(tmp_path)
    twin = Twin(server, tmp_path / "home", server.new_device(), Keys())
    assert twin.open() == ""
    copy = twin.copy(tmp_path / "copy")
    assert twin.say_ready() == ""
    server.clock.sleep_machine(100)  # its monotonic clock stood still
    assert copy.say_ready() == ""
    assert twin.charge() == "ADMISSION_OVER"
    assert (copy.charge(), copy.send()) == ("", "")


def test_p5_an_update_that_was_overtaken_by_a_copy_is_refused(tmp_path):
    server = TwinServer(tmp_path)
    twin = Twin(server, tmp_path / "home", server.new_device(), Keys())
    assert twin.open() == ""
    copy = twin.copy(tmp_path / "copy")
    assert (twin.say_ready(), twin.charge()) == ("", "")
    server.clock.advance(100)
    server.next_round()
    assert (copy.say_ready(), copy.charge(), copy.send()) == ("", "", "")
    assert twin.send() == "LEDGER_FORKED"
    assert len(server.accepted()) == 1


def test_a_server_that_was_set_back_learns_how_the_ledger_grew(tmp_path):
    server = TwinServer(tmp_path)
    twin = Twin(server, tmp_path / "home", server.new_device(), Keys())
    assert (twin.say_ready(), twin.charge(), twin.send()) == ("", "", "")
    head = server.store.devices.record(twin.device_id)["ledger"]["head"]
    # Another database, which knows the same home as it was before its charge.
    other = twin.device_id = server.new_device()
    first = ShownHeads(0, twin.ledger.shown_heads(every=True).heads[:1])
    server.store.ledger_heads.show(other, first, "", server.clock.now(), 0)
    assert twin.say_ready() == ""
    assert server.store.devices.record(other)["ledger"]["head"] == head


def test_p5_a_copy_from_before_the_ledger_was_sealed_counts_as_spent(tmp_path):
    server = TwinServer(tmp_path)
    twin = Twin(server, tmp_path / "home", server.new_device(), Keys())
    copy = twin.copy(tmp_path / "copy")
    assert twin.open() == ""
    assert copy.say_ready() == "LEDGER_MISSING"


async def test_the_key_store_learns_that_the_ledger_is_sealed(device):
    await device.join()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    file = device.agent.keys.identity_file()
    assert file.has_sealed_ledger()
    state = device.agent.ledger.sealed.state()
    assert (state.is_verified, state.unsealed) == (True, 0)
    with (
        pytest.raises(InternalError, match="needs the ledger's key"),
        device.agent.ledger.sealed.appending({}),
    ):
        pass


async def test_a_reserved_head_is_waited_for(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    open_ledger(device)
    shown = device.agent.ledger.shown_heads()
    until = device.clock.now() + 50
    device.server.heads[device_id(device)] = KnownHead(0, shown.head, "another", until)
    result = await device.run_cycle()
    assert (result.outcome, result.reasons[0].until) == (Outcome.WAITING, until)
    assert device.worker.calls == ["train"]
    device.clock.advance(50)
    assert (await device.run_cycle()).outcome is Outcome.SENT


async def test_p5_a_lie_about_the_head_ends_the_cycle_before_the_seal(device):
    await device.join()
    device.server.fail("ready", PeerError("BAD_ANSWER", "It failed.", ""))
    with pytest.raises(PeerError):
        await device.run_cycle()
    assert device.worker.calls == ["train"]
    assert device.agent.ledger.charges() == []


async def test_p12_a_locked_key_store_charges_nothing(device, monkeypatch):
    await device.join()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    device.server.next_round()
    monkeypatch.setattr(device.keystore, "get", _locked)
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "KEYRING_LOCKED"
    page = await device.call("ledger", verify=True)
    assert (page["verified"], len(page["charges"])) == (True, 1)


async def test_p5_two_agents_on_copies_of_one_home(tmp_path):
    """The whole agents, against the fake server."""
    device = Device(tmp_path / "one")
    await device.join()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    device.server.next_round()
    device.agent.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    device.start()
    twin = Device(tmp_path / "two", clock=device.clock, aggregator=device.server)
    twin.keystore = device.keystore
    twin.restart()
    try:
        assert (await twin.run_cycle()).outcome is Outcome.SENT
        device.server.next_round()
        with pytest.raises(UserActionError) as raised:
            await device.run_cycle()
        assert raised.value.code == "LEDGER_FORKED"
    finally:
        twin.close()
        device.close()


def _locked(_):
    raise UserActionError("KEYRING_LOCKED", "The keyring is locked.", "Unlock it.")
