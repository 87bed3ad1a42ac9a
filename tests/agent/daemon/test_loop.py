"""A running agent: one channel, cycles when they are due, and a quick end."""

import asyncio
import contextlib
import time
from functools import partial

import pytest

from agent.conditions.interface import NoConditions
from agent.daemon import scheduler
from agent.daemon.folder_watch import FolderWatch
from agent.daemon.scheduler import POLL_S
from agent.errors import UserActionError
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home
from agent.reasons import Reason, ReasonCode
from agent.rounds.outcome import TrainedUpdate
from agent.rounds.ready_slot import SLOT_S
from agent.rounds.runner import MANUAL_GROUP_WAIT_S
from tests.fakes.device import Device
from tests.fakes.timeouts import TIMEOUT_S, within


@contextlib.asynccontextmanager
async def running(device):
    loop = device.loop()
    task = asyncio.create_task(loop.run())
    path = socket_of(Home(device.home))
    while not path.exists():
        await asyncio.sleep(0.005)
    try:
        yield path
    finally:
        device.agent.signals.request_quit()
        await asyncio.wait_for(task, TIMEOUT_S)
        assert not path.exists()


async def ask(path, method, **params):
    def blocking():
        channel = Channel(path)
        try:
            return channel.call(method, params, TIMEOUT_S)
        finally:
            channel.close()

    return await asyncio.to_thread(blocking)


async def sent_after_its_hold(device, path):
    """Let the hold and the slot of the finished update pass, until the server has it."""
    device.server.stay_open()
    cycles, updates = device.agent.cycles, device.agent.runner.updates
    # The next cycle is planned by the time at which the last one ended, so wait for the plan too.
    await until(lambda: updates.current and cycles.next_at and cycles.next_at > device.clock.now())
    device.clock.advance(2 * SLOT_S)
    await ask(path, "settings.set", key="hold.minutes", value=0)
    await until(lambda: device.server.updates)


async def until(condition):
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.005)


def restart_under(device, conditions):
    """Start the agent again, on a machine in this state."""
    device.overrides["conditions"] = conditions
    device.restart()


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


async def test_p1_without_consent_there_is_no_cycle_and_no_timer(device):
    await device.call("enroll", invitation=device.server.invitation())
    async with running(device) as path:
        status = await ask(path, "status")
        assert (status["state"], status["next_at"]) == ("off", None)
        device.clock.advance(10**6)
        with pytest.raises(UserActionError) as raised:
            await ask(path, "run_now")
        assert raised.value.code == "NO_CONSENT"
        assert device.server.calls == []


async def test_joining_and_agreeing_registers_the_device_at_once_and_once(device):
    """It waits neither for rows to learn from nor for the two minutes after the start."""
    async with running(device) as path:
        await ask(path, "enroll", invitation=device.server.invitation())
        assert device.server.calls == []
        await device.grant()
        await until(lambda: device.agent.status().enrolled and not device.agent.runner.is_busy)
        await until(lambda: device.agent.cycles.next_at > device.clock.now())
        calls = list(device.server.calls)
        await ask(path, "settings.set", key="cpu.share_idle", value=10)
        assert device.server.calls == calls


async def test_run_now_runs_a_cycle_without_the_hold(device):
    await device.join()
    async with running(device) as path:
        await ask(path, "run_now")
        await until(lambda: device.server.updates)
        await until(lambda: not device.agent.runner.is_busy)
        assert (await ask(path, "status"))["sent"]["count"] == 1


async def test_a_cycle_runs_when_it_is_due(device):
    await device.join()
    async with running(device) as path:
        due = (await ask(path, "status"))["next_at"]
        assert 120 <= due - device.clock.now() <= 240
        device.clock.advance(300)
        await ask(path, "settings.set", key="hold.minutes", value=0)
        await sent_after_its_hold(device, path)


async def test_resuming_ends_the_wait_for_the_end_of_the_pause(device):
    await device.join()
    async with running(device) as path:
        await ask(path, "pause", seconds=8 * 3600)
        device.clock.advance(600)  # the cycle falls due during the pause
        await ask(path, "settings.set", key="hold.minutes", value=0)
        await until(lambda: device.agent.cycles.result is not None)
        await until(lambda: device.agent.cycles.next_at > device.clock.now() + 7 * 3600)
        status = await ask(path, "resume")
        assert (status["state"], [reason["code"] for reason in status["reasons"]]) == (
            "waiting",
            [],
        )
        await until(lambda: device.agent.cycles.next_at <= device.clock.now() + 60)
        device.clock.advance(60)
        await ask(path, "settings.set", key="hold.minutes", value=0)
        await sent_after_its_hold(device, path)


async def test_p2_consent_that_ends_in_the_middle_of_a_cycle_wipes_the_update(device, monkeypatch):
    monkeypatch.setattr("agent.daemon.loop.RECHECK_S", 0.01)

    await device.join()
    device.worker.gates["seal"] = asyncio.Event()
    async with running(device) as path:
        await ask(path, "run_now")
        await until(lambda: "seal" in device.worker.calls)
        await ask(
            path, "settings.set", key="budget.epsilon", value=2.0
        )  # another notice: the yes was for the first one
        await until(lambda: not device.agent.runner.is_busy)
        await until(lambda: device.agent.runner.updates.current is None)
        assert list((device.home / "scratch").iterdir()) == []
        assert device.agent.ledger.charges() == []


async def test_after_sleep_no_cycle_runs_at_once(device):
    await device.join()
    async with running(device) as path:
        device.clock.sleep_machine(8 * 3600)
        await ask(path, "settings.set", key="hold.minutes", value=0)
        await until(lambda: device.agent.cycles.next_at >= device.clock.now() + 120)
        assert device.server.calls == []


async def test_a_clock_that_was_ahead_and_is_set_right_does_not_stop_the_agent(device):
    right = device.clock.wall
    await device.join()
    device.clock.wall += 300 * 24 * 3600
    device.agent.runner.updates.keep(
        TrainedUpdate(device.home / "scratch" / "x", b"", 1, "", 20, *[device.clock.now()] * 2)
    )
    async with running(device) as path:
        assert (await ask(path, "status"))["next_at"] > right + 10**7
        device.clock.wall = right
        await ask(path, "settings.set", key="cpu.share_idle", value=10)
        await until(lambda: device.agent.cycles.next_at < right + 10**6)
        assert 120 <= device.agent.cycles.next_at - right <= 240
        assert device.agent.runner.updates.current.at == right


async def test_without_consent_models_come_daily_even_if_the_clock_was_ahead(
    device,
):
    checked = []

    await device.call("enroll", invitation=device.server.invitation())
    await device.call("settings.set", key="models.update_without_consent", value=True)
    right = device.clock.wall
    device.clock.wall += 300 * 24 * 3600

    async def update_model():
        checked.append(device.clock.now())
        return False

    device.agent.enrolment_client.update_model = update_model
    async with running(device) as path:
        await until(lambda: len(checked) == 1)
        device.clock.wall = right
        device.clock.advance(24 * 3600)
        await ask(path, "settings.set", key="cpu.share_idle", value=10)
        await until(lambda: len(checked) == 2)


async def test_p2_withdrawing_over_the_channel_stops_a_training_worker(device):
    await device.join()
    device.worker.gates["train"] = asyncio.Event()
    async with running(device) as path:
        await ask(path, "run_now")
        await until(lambda: "train" in device.worker.calls)
        assert (await ask(path, "status"))["state"] == "training"
        status = await ask(path, "consent.withdraw", surface="tray")
        assert (status["state"], device.worker.stopped > 0) == ("off", True)
        # Without a next time the loop has seen the end of the cycle and of consent.
        await until(lambda: device.agent.cycles.next_at is None)
    assert device.worker.calls == ["train"]


async def test_p3_a_policy_that_forbids_in_the_middle_stops_the_worker(
    device, tmp_path, monkeypatch
):
    monkeypatch.setattr("agent.daemon.loop.RECHECK_S", 0.01)

    await device.join()
    device.worker.gates["train"] = asyncio.Event()
    async with running(device) as path:
        await ask(path, "run_now")
        await until(lambda: "train" in device.worker.calls)
        (tmp_path / "policy.toml").write_text("contribute = false\n")
        await until(lambda: device.worker.stopped)
        status = await ask(path, "status")
        assert (status["state"], status["reasons"][0]["code"]) == ("off", "DENIED_BY_POLICY")


async def test_p3_a_policy_that_forbids_ends_the_watch_of_the_chosen_folders(
    device, tmp_path, monkeypatch
):
    class Watches:
        """Counts the folders that are watched."""

        open = 0

        def __init__(self, _changed):
            pass

        def watch(self, folders):
            Watches.open += len(folders)
            return True

        def close(self):
            Watches.open -= 1

    monkeypatch.setattr("agent.daemon.loop.TICK_S", 0.01)
    monkeypatch.setattr("agent.daemon.loop.FolderWatch", partial(FolderWatch, events=Watches))
    await device.join()
    await device.call("sources.set", source="wheels", on=True, surface="cli")
    (tmp_path / "programs").mkdir()
    await device.call("sources.add", path=str(tmp_path / "programs"))
    async with running(device):
        await until(lambda: Watches.open == 1)
        (tmp_path / "policy.toml").write_text("contribute = false\n")
        await until(lambda: Watches.open == 0)


async def test_a_condition_that_appears_suspends_training_until_it_lifts(device, monkeypatch):
    monkeypatch.setattr("agent.daemon.loop.RECHECK_S", 0.01)
    reasons = []

    class Battery(NoConditions):
        def may_train(self):
            return tuple(reasons)

    restart_under(device, Battery())
    await device.join()
    device.worker.gates["train"] = asyncio.Event()
    async with running(device) as path:
        device.clock.advance(300)
        await ask(path, "settings.set", key="hold.minutes", value=0)
        await until(lambda: "train" in device.worker.calls)
        reasons.append(Reason(ReasonCode.ON_BATTERY, "On battery."))
        await until(lambda: device.worker.is_suspended)
        status = await ask(path, "status")
        assert [reason["code"] for reason in status["reasons"]] == ["ON_BATTERY"]
        assert (
            status["state"],
            status["may_train"],
            status["may_send"],
            status["work"]["suspended"],
        ) == ("waiting", False, True, True)
        reasons.clear()
        await until(lambda: not device.worker.is_suspended)
        assert (await ask(path, "status"))["state"] == "training"
        device.worker.gates["train"].set()
        await sent_after_its_hold(device, path)


async def test_run_now_while_paused_watches_the_machine_during_that_cycle_only(device):
    """It overrides the pause, not the heat."""
    reasons = []

    class Machine(NoConditions):
        changed = None

        def may_train(self):
            return tuple(reasons)

        async def watch(self, changed):
            Machine.changed = changed
            try:
                await asyncio.Event().wait()
            finally:
                Machine.changed = None

    restart_under(device, Machine())
    await device.join()
    await device.call("pause")
    device.worker.gates["train"] = asyncio.Event()
    async with running(device) as path:
        assert Machine.changed is None
        await ask(path, "run_now")
        await until(lambda: "train" in device.worker.calls)
        await until(lambda: Machine.changed is not None)
        reasons.append(Reason(ReasonCode.HOT, "Too hot."))
        Machine.changed()
        assert device.worker.is_suspended
        reasons.clear()
        Machine.changed()
        assert not device.worker.is_suspended
        device.worker.gates["train"].set()
        await until(lambda: device.server.updates)
        await until(lambda: Machine.changed is None)


async def test_a_watch_of_the_machine_that_breaks_is_logged_and_starts_again(device, caplog):
    watches = []

    class Machine(NoConditions):
        async def watch(self, changed):
            watches.append(changed)
            if len(watches) == 1:
                raise ZeroDivisionError
            await super().watch(changed)

    restart_under(device, Machine())
    await device.join()
    async with running(device) as path:
        await until(lambda: "conditions.broken" in caplog.text)
        await ask(path, "settings.set", key="cpu.share_idle", value=10)
        await until(lambda: len(watches) == 2)


async def test_quit_ends_within_two_seconds_in_the_middle_of_a_job(device):
    await device.join()
    device.worker.gates["train"] = asyncio.Event()
    loop = device.loop()
    task = asyncio.create_task(loop.run())
    path = socket_of(Home(device.home))
    await until(path.exists)
    await ask(path, "run_now")
    await until(lambda: "train" in device.worker.calls)
    await ask(path, "quit")
    await within(2, task)
    with pytest.raises(NoAgentError):
        Channel(path)


async def test_a_bug_in_a_cycle_shows_as_an_error_and_backs_off(device, caplog):
    await device.join()
    device.server.fail("offer", ZeroDivisionError())
    async with running(device) as path:
        await ask(path, "run_now")
        await until(lambda: "cycle.broken" in caplog.text)
        status = await ask(path, "status")
        assert status["state"] == "error"
        assert status["next_at"] > device.clock.now()


async def test_the_running_agent_delivers_a_waiting_erase_request(device):
    await device.join()
    await device.run_cycle()
    device.server.fail("erase_by_secret", UserActionError("OFFLINE", "", ""))
    await device.call("erase")
    device.server.fail("erase_by_secret", None)
    async with running(device) as path:
        await until(lambda: not device.server.devices)
        assert (await ask(path, "status"))["erase_pending"] is False


async def test_an_unreachable_server_gets_the_erase_request_every_half_hour(device, monkeypatch):
    def locked(*_, **__):
        raise UserActionError("KEYRING_LOCKED", "", "")

    await device.join()
    await device.run_cycle()
    device.server.fail("erase_by_secret", UserActionError("OFFLINE", "", ""))
    monkeypatch.setattr(device.keystore, "delete", locked)
    await device.call("erase")
    device.server.calls.clear()
    async with running(device) as path:
        await until(lambda: device.server.calls)
        for value in range(10, 15):  # each wakes the loop
            await ask(path, "settings.set", key="cpu.share_idle", value=value)
        device.server.fail("erase_by_secret", None)
        monkeypatch.undo()
        device.clock.advance(POLL_S)
        await ask(path, "settings.set", key="cpu.share_idle", value=15)
        await until(lambda: not device.server.devices and not device.agent.keys.has_identity())
    # The loop asks one at a time, so an attempt before its time would be among these.
    assert device.server.calls == ["erase_by_secret"] * 2


async def test_a_full_disk_under_a_waiting_erase_does_not_end_the_agent(
    device, monkeypatch, caplog
):
    await device.join()
    await device.run_cycle()
    device.server.fail("erase_by_secret", UserActionError("OFFLINE", "", ""))
    await device.call("erase")
    device.server.fail("erase_by_secret", OSError(28, "No space left on device"))
    async with running(device) as path:
        await until(lambda: "erase.not_resumed" in caplog.text)
        assert (await ask(path, "status"))["erase_pending"] is True


async def test_an_erase_that_waits_is_tried_again_without_being_woken(device, monkeypatch):
    monkeypatch.setattr("agent.daemon.scheduler.POLL_S", 0.05)
    device.clock.elapsed = time.monotonic

    await device.join()
    await device.run_cycle()
    async with running(device) as path:
        await ask(path, "consent.withdraw", surface="tray")
        device.server.fail("erase_by_secret", UserActionError("OFFLINE", "", ""))
        assert (await ask(path, "erase"))["pending"] is True
        await until(lambda: device.server.calls.count("erase_by_secret") > 3)
        device.server.fail("erase_by_secret", None)
        await until(lambda: not device.server.devices)


async def test_a_full_disk_under_a_model_without_consent_does_not_end_the_agent(device, caplog):
    caplog.set_level("INFO")

    async def full():
        raise OSError(28, "No space left on device")

    await device.call("enroll", invitation=device.server.invitation())
    device.agent.enrolment_client.update_model = full
    async with running(device) as path:
        await ask(path, "settings.set", key="models.update_without_consent", value=True)
        await until(lambda: "model.not_updated" in caplog.text)
        assert (await ask(path, "status"))["state"] == "off"


@pytest.mark.parametrize(
    "error",
    [OSError(5, "Input/output error"), UserActionError("DISK_FULL", "", ""), ZeroDivisionError()],
    ids=repr,
)
async def test_the_agent_survives_whatever_breaks_between_two_cycles(
    device, monkeypatch, caplog, error
):
    monkeypatch.setattr("agent.daemon.loop.TICK_S", 0.01)
    broken = [error]

    await device.join()
    next_at = scheduler.next_at

    def breaks_once(*what):
        if broken:
            raise broken.pop()
        return next_at(*what)

    monkeypatch.setattr("agent.daemon.scheduler.next_at", breaks_once)
    async with running(device) as path:
        await until(lambda: "loop.broken" in caplog.text)
        await ask(path, "run_now")
        await until(lambda: device.server.updates)


async def test_p1_models_without_consent_come_once_a_day_and_only_where_the_person_chose_so(device):
    checked = []
    await device.call("enroll", invitation=device.server.invitation())

    async def update_model():
        checked.append(device.clock.now())
        return False

    device.agent.enrolment_client.update_model = update_model
    async with running(device) as path:
        await ask(path, "settings.set", key="cpu.share_idle", value=10)
        device.clock.advance(3600)
        chosen_at = device.clock.now()
        await ask(path, "settings.set", key="models.update_without_consent", value=True)
        await until(lambda: checked)
        for value in range(11, 14):  # each wakes the loop
            await ask(path, "settings.set", key="cpu.share_idle", value=value)
        device.clock.advance(24 * 3600)
        await ask(path, "settings.set", key="cpu.share_idle", value=14)
        await until(lambda: len(checked) == 2)
    assert checked == [chosen_at, chosen_at + 24 * 3600]
    assert device.server.calls == []


async def test_only_a_cycle_that_a_person_started_waits_for_its_group_to_meet(device):
    await device.join()
    waits, run = [], device.agent.cycles.run

    async def noted(**options):
        waits.append(options["group_wait_s"])
        return await run(**options)

    device.agent.cycles.run = noted
    async with running(device) as path:
        due = device.agent.cycles.next_at
        await ask(path, "run_now")
        await until(lambda: waits and device.agent.cycles.next_at != due)
        device.clock.advance(3600)
        await ask(path, "settings.set", key="hold.minutes", value=0)
        await until(lambda: len(waits) == 2)
    assert waits == [MANUAL_GROUP_WAIT_S, 0]
