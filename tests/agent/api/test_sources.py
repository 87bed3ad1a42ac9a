"""Sources of samples: off at first, one decision each, ended with the consent they are under."""

import asyncio

import pytest

from agent.config.sample_sources import SystemPlaces
from agent.consent.withdrawal import Withdrawal
from agent.errors import AegisError
from agent.paths import Home
from agent.protocol.jobs import Collected, CollectResult, Job, Searched, Unread
from agent.protocol.sources import Source
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    """A device whose system has package lists and a scanner's log, and a folder to choose."""
    (tmp_path / "info").mkdir()
    (tmp_path / "scan.log").touch()
    (tmp_path / "programs").mkdir()
    places = SystemPlaces(str(tmp_path / "info"), (str(tmp_path / "scan.log"),))
    device = Device(tmp_path, system_places=places)
    device.programs = str(tmp_path / "programs")
    yield device
    device.close()


async def switch(device, source="clamav", *, on=True, **more):
    answer = await device.call("sources.set", source=source, on=on, surface="cli", **more)
    return {one["source"] for one in answer["sources"] if one["on"]}


async def refused(call):
    with pytest.raises(AegisError) as raised:
        await call
    return raised.value.code


async def ready(device):
    await device.grant()
    await switch(device)
    await device.call("sources.add", path=device.programs)


def found(*rows, unread=()):
    collected = tuple(
        Collected(source, f"{digest:02x}" * 32, (digest,) * 29) for source, digest in rows
    )
    return CollectResult(collected, (), Searched(10, 4), unread)


async def test_c1_everything_is_off_at_first_and_nothing_is_opened(device):
    shown = (await device.call("sources.show"))["sources"]
    assert {"packages", "clamav"} <= {one["source"] for one in shown}
    assert not [one for one in shown if one["on"]]
    await device.join()
    await device.run_cycle()
    assert await refused(device.call("sources.search")) == "SOURCES_OFF"
    assert "collect" not in device.worker.calls


async def test_p1_a_source_is_switched_on_only_under_a_consent(device):
    assert await refused(switch(device)) == "NO_CONSENT"


async def test_c7_each_source_is_a_decision_of_its_own(device):
    await device.grant()
    assert await switch(device) == {"clamav"}
    purposes = [entry.purpose for entry in device.agent.record.entries()]
    assert purposes == ["contribute", "samples.clamav"]


async def test_c14_a_decision_is_recorded_with_the_words_and_survives_a_restart(device):
    await device.grant()
    await switch(device, locale="de_DE")
    entry = device.agent.record.entries()[-1]
    shown = (await device.call("sources.show"))["sources"]
    words = next(one["text_sha256"] for one in shown if one["source"] == "clamav")
    assert (entry.locale, entry.surface, entry.text_sha256) == ("de", "cli", words)
    device.restart()
    shown = (await device.call("sources.show"))["sources"]
    assert [one["source"] for one in shown if one["on"]] == ["clamav"]
    assert device.agent.gate.denial() is None


async def test_c15_words_other_than_those_read_change_nothing(device):
    await device.grant()
    assert await refused(switch(device, text_sha256="00" * 32)) == "NOTICE_CHANGED"
    assert len(device.agent.record.entries()) == 1


async def test_a_source_ends_with_the_yes_to_the_notice(device):
    await ready(device)
    await device.call("consent.withdraw", surface="cli")
    await device.grant()
    shown = (await device.call("sources.show"))["sources"]
    assert not [one for one in shown if one["on"]]


async def test_c22_policy_forbids_every_source(device, tmp_path):
    await ready(device)
    (tmp_path / "policy.toml").write_text('[settings]\n"sources.rows_per_day" = 0\n')
    assert await refused(device.call("sources.search")) == "SOURCES_OFF"
    assert await refused(switch(device, "packages")) == "MANAGED"
    assert await switch(device, on=False) == set()
    (tmp_path / "policy.toml").unlink()
    assert await refused(device.call("sources.search")) == "SOURCES_OFF"


async def test_a_source_that_does_not_exist_here_cannot_be_switched(device):
    await device.grant()
    for name in ("defender", "nonsense"):
        assert await refused(switch(device, name)) == "UNKNOWN_SOURCE"


async def test_a_look_stores_what_the_sources_said(device):
    await ready(device)
    device.worker.collected = found(
        (Source.CLAMAV, 1), (Source.PACKAGES, 2), unread=(Unread(Source.CLAMAV, "X"),)
    )
    answer = await device.call("sources.search")
    # A row of a source that is off is not stored, whatever the worker says.
    assert (answer["added"], answer["rows"]) == (1, {"clamav": 1})
    assert answer["unread"] == [{"source": "clamav", "code": "X"}]
    (asked,) = device.worker.collects
    assert (asked["folders"], list(asked["sources"])) == ([device.programs], ["clamav"])
    status = await device.call("pause")
    assert status["sources"] == [{"source": "clamav", "rows": 1, "on": True}]
    assert status["samples_malicious"] == 1


async def test_a_look_needs_a_folder(device):
    await device.grant()
    await switch(device)
    assert await refused(device.call("sources.search")) == "NO_FOLDERS"


async def test_p2_what_arrives_after_a_withdrawal_is_not_stored(device):
    await ready(device)
    device.worker.collected = found((Source.CLAMAV, 1))
    device.worker.gates["collect"] = asyncio.Event()
    looking = asyncio.create_task(device.call("sources.search"))
    while "collect" not in device.worker.calls:
        await asyncio.sleep(0.001)
    await device.call("consent.withdraw", surface="tray")
    device.worker.gates["collect"].set()
    assert await refused(looking) == "NO_CONSENT"
    assert device.agent.samples.counts().total == 0


async def looking(device):
    """Begin a look that waits in the worker; return its task."""
    device.worker.collected = found((Source.CLAMAV, 1))
    device.worker.gates["collect"] = asyncio.Event()
    task = asyncio.create_task(device.call("sources.search"))
    while "collect" not in device.worker.calls:
        await asyncio.sleep(0.001)
    return task


async def test_p2_what_arrives_after_its_source_was_switched_off_is_not_stored(device):
    await ready(device)
    await switch(device, "packages")
    task = await looking(device)
    await switch(device, on=False)
    assert device.worker.stopped_jobs == {Job.COLLECT}
    device.worker.gates["collect"].set()
    assert (await task)["added"] == 0
    assert device.agent.samples.counts().total == 0


async def test_giving_a_folder_up_ends_the_look_in_it(device):
    await ready(device)
    task = await looking(device)
    await device.call("sources.remove", path=device.programs)
    assert device.worker.stopped_jobs == {Job.COLLECT}
    device.worker.gates["collect"].set()
    await task


async def test_c22_a_policy_that_forbids_ends_a_look_under_way(device, tmp_path):
    await ready(device)
    task = await looking(device)
    (tmp_path / "policy.toml").write_text("contribute = false\n")
    await device.agent.cycles.stay_off()
    assert Job.COLLECT in device.worker.stopped_jobs
    assert await refused(task) == "DENIED_BY_POLICY"


async def test_withdrawing_removes_what_sources_found_and_nothing_else(device):
    await ready(device)
    device.worker.collected = found((Source.CLAMAV, 1))
    await device.call("sources.search")
    await device.call("samples.add", paths=["/x/a.exe"], label="benign")
    await device.call("consent.withdraw", surface="cli")
    assert device.agent.samples.counts_by_source() == {"person": 1}


async def test_a_withdrawal_by_a_mark_removes_what_sources_found_too(device):
    await ready(device)
    device.worker.collected = found((Source.CLAMAV, 1))
    await device.call("sources.search")
    assert Withdrawal(Home(device.home), {}).begin("tray")
    device.agent.record.catch_up()
    await device.agent.cycles.stay_off()
    assert device.agent.samples.counts().total == 0


async def test_p11_a_row_out_of_range_is_refused_with_all_others(device):
    await ready(device)
    bad = Collected(Source.CLAMAV, "22" * 32, (2**63,) * 29)
    good = Collected(Source.CLAMAV, "11" * 32, (1,) * 29)
    device.worker.collected = CollectResult((good, bad), (), Searched(2, 2), ())
    assert await refused(device.call("sources.search")) == "BAD_ROW"
    assert device.agent.samples.counts().total == 0


async def test_switching_off_removes_the_rows_of_that_source_only(device):
    await ready(device)
    await switch(device, "packages")
    device.worker.collected = found((Source.CLAMAV, 1), (Source.PACKAGES, 2))
    await device.call("sources.search")
    await device.call("samples.add", paths=["/x/a.exe"], label="benign")
    await switch(device, on=False)
    assert device.agent.samples.counts_by_source() == {"packages": 1, "person": 1}


async def test_folders_and_logs_are_the_persons(device, tmp_path):
    shown = await device.call("sources.add", path=device.programs)
    assert shown["folders"] == [device.programs]
    log = str(tmp_path / "scan.log")
    assert (await device.call("sources.log", path=log))["logs"] == [log]
    assert (await device.call("sources.remove", path=device.programs))["folders"] == []
    assert (await device.call("sources.remove", path=log))["logs"] == []
    assert await refused(device.call("sources.remove", path="/nowhere")) == "NOT_A_FOLDER"
