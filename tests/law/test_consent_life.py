"""The rules around the question, C1, C6 and C10 to C17, on a whole agent and the real windows.

Each check runs twice: on the program, and on a mutant that breaks the rule and must be found.
"""

import asyncio
import contextlib
import hashlib
import json
import re
import socket
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.api.consent import ConsentMethods
from agent.config import machine_policy
from agent.consent import gate, wording
from agent.consent.record import Record, add_months
from agent.errors import AegisError, UserActionError
from agent.rounds.outcome import Outcome
from agent.rounds.runner import RoundRunner
from agent.status import ConsentState
from tests.fakes import agent_client as fakes
from tests.fakes.device import Device
from tests.ui import windows
from ui.tray import Tray

ROOT = Path(__file__).parents[2]


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


@pytest.fixture
def connects(monkeypatch):
    """Every address that this process tries to connect to, except local sockets."""
    tried = []
    real = socket.socket.connect

    def connect(self, address):
        if self.family != socket.AF_UNIX:
            tried.append(address)
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


def fails(check, *args):
    """Whether a check finds the mutant."""
    try:
        check(*args)
    except AssertionError:
        return True
    return False


async def fails_async(check, *args):
    """As `fails`, for a check on a running agent."""
    try:
        await check(*args)
    except AssertionError:
        return True
    return False


# C1


async def check_c1(device, connects):
    await device.call("enroll", invitation=device.server.invitation())
    for attempt in (
        device.run_cycle,
        lambda: device.call("samples.add", paths=["/a.exe"], label="benign"),
    ):
        with contextlib.suppress(AegisError):
            await attempt()
    assert device.agent.status().consent.state is ConsentState.UNASKED
    assert device.server.calls == []
    assert device.worker.calls == []
    assert not (device.home / "identity.aead").exists()
    assert device.agent.samples.counts().total == 0
    assert connects == []


async def test_c1_before_a_choice_nothing_is_read_made_or_sent(
    device, connects, monkeypatch, tmp_path
):
    await check_c1(device, connects)
    monkeypatch.setattr(gate.Gate, "denial", lambda self: None)
    other = Device(tmp_path / "mutant")
    assert await fails_async(check_c1, other, connects)
    other.close()


# C6: nobody but a person says yes.


@pytest.mark.parametrize(
    "text",
    [
        'consent = "granted"\n',
        "[consent]\ngrant = true\n",
        "accept = true\n",
        '[settings]\n"consent" = true\n',
    ],
)
def test_c6_no_policy_can_consent(text):
    read = machine_policy.read(text.encode(), "policy.toml")
    assert read.denied
    assert not any(read.bounds.values())


def check_c6_sources(sources):
    """No installer, policy or start-up code grants."""
    found = [
        name
        for name, text in sources.items()
        if re.search(r"consent[. ]grant|Act\.GRANT|--accept", text)
    ]
    assert found == []


def test_c6_installers_and_policy_cannot_grant():
    sources = {
        str(path.relative_to(ROOT)): path.read_text("utf-8", "replace")
        for folder in (
            "packaging",
            "agent/config/machine_policy.py",
            "agent/config/definitions.py",
            "agent/config/settings.py",
            "agent/daemon/scheduler.py",
            "agent/daemon/loop.py",
        )
        for path in ([ROOT / folder] if (ROOT / folder).is_file() else (ROOT / folder).rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.stat().st_size < 200_000
        and path.name != "run.sh"
    }
    assert len(sources) >= 4
    check_c6_sources(sources)
    assert fails(check_c6_sources, {"postinst": "aegis consent grant --accept contribute-1"})


async def test_c6_the_command_needs_the_notices_id(device):
    notice = await device.call("consent.show")
    with pytest.raises(UserActionError) as raised:
        await device.call(
            "consent.grant",
            notice_id="yes",
            text_sha256=notice["text_sha256"],
            surface="cli",
            locale="en",
        )
    assert raised.value.code == "NOTICE_CHANGED"


# C10: as easy to withdraw as to agree.


def clicks(tray, client, method):
    """How many clicks it takes from the tray until the agent receives a call of `method`."""
    opened = []
    tray.windowRequested.connect(opened.append)
    tray.actions["consent"].trigger()
    if method in client.methods:
        return 1
    assert opened == ["consent"]  # the dialog's button is the second
    return 2


def check_c10(make_tray):
    granted, refused = (
        fakes.FakeAgentClient(fakes.status()),
        fakes.FakeAgentClient(fakes.status(consent=ConsentState.REFUSED)),
    )
    withdrawing = clicks(make_tray(granted), granted, "consent.withdraw")
    granting = clicks(make_tray(refused), refused, "consent.grant")
    assert withdrawing <= granting
    assert withdrawing == 1


class AskingTray(Tray):
    """Sends the person to a page before they can withdraw."""

    def _consent(self):
        self.windowRequested.emit("consent")


def test_c10_withdrawing_takes_no_more_steps_than_agreeing(qapp):
    trays = []

    def maker(kind):
        return lambda client: trays.append(kind(client, fakes.no_consent_files())) or trays[-1]

    check_c10(maker(Tray))
    assert fails(check_c10, maker(AskingTray))


async def test_c10_withdrawing_works_offline(device):
    await device.join()
    device.server.fail("offer", UserActionError("OFFLINE", "The server cannot be reached.", ""))
    status = await device.call("consent.withdraw", surface="tray")
    assert status["consent"]["state"] == "WITHDRAWN"
    assert device.server.calls == []


# C11: processing stops.


async def check_c11(device):
    await device.join()
    running = await device.cycle_suspended_at("train")
    await device.call("consent.withdraw", surface="tray")
    was_stopped = device.worker.stopped > 0
    device.worker.gates["train"].set()
    (result,) = await asyncio.gather(running, return_exceptions=True)
    assert was_stopped
    assert isinstance(result, BaseException) or result.outcome is Outcome.STOPPED
    assert "send_update" not in device.server.calls
    assert device.agent.ledger.unsent() == []


async def test_c11_withdrawing_stops_training_and_sends_nothing_more(device, monkeypatch, tmp_path):
    await check_c11(device)

    async def forget_nothing(self):
        return None

    monkeypatch.setattr(RoundRunner, "withdraw", forget_nothing)
    other = Device(tmp_path / "mutant")
    assert await fails_async(check_c11, other)
    other.close()


# C12: what cannot be undone is said, from the ledger.


def check_c12(text):
    assert "version 11" in text
    assert "12" not in text  # charged, but without a receipt
    assert "stay" in text


def test_c12_the_page_says_what_stays(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "privacy", theme)
    page = window.centralWidget().findChild(object, "privacyPage")
    check_c12(page.findChild(object, "stays").text())
    assert fails(check_c12, "Everything is undone.")
    assert fails(
        check_c12,
        "2 updates from this device were sent and stay summed into the models made from versions 11"
        " to 12.",
    )
    assert page.findChild(object, "stays").isVisibleTo(page)


# C13: a no costs nothing.


async def check_c13(device):
    model = await device.agent.scanning_models.current()
    await device.join()
    assert (await device.agent.scanning_models.current()) == model
    await device.call("consent.withdraw", surface="tray")
    assert (await device.agent.scanning_models.current()) == model


async def test_c13_scanning_uses_the_same_model_with_and_without_consent(
    device, monkeypatch, tmp_path
):
    await check_c13(device)
    other = Device(tmp_path / "mutant")

    async def lesser(agent=other.agent):
        return 1 if agent.gate.denial() is None else 0

    monkeypatch.setattr(other.agent.scanning_models, "current", lesser)
    assert await fails_async(check_c13, other)
    other.close()


# C14: consent can be proved.


async def check_c14(device):
    notice = await device.call("consent.show", locale="de-DE")
    await device.call(
        "consent.grant",
        notice_id=notice["notice_id"],
        text_sha256=notice["text_sha256"],
        surface="window",
        locale=notice["locale"],
    )
    (entry,) = device.agent.record.entries()
    assert (entry.purpose, entry.decision, entry.surface, entry.locale) == (
        "contribute",
        "granted",
        "window",
        notice["locale"],
    )
    assert entry.text_sha256 == notice["text_sha256"]
    assert re.fullmatch(r"[0-9a-f]{64}", entry.text_sha256)
    assert entry.at == device.clock.now()


async def test_c14_the_record_names_the_words_that_were_shown(device, monkeypatch, tmp_path):
    await check_c14(device)
    real = Record.act

    def careless(self, consent_status, act, evidence, purpose, origin):
        return real(
            self,
            consent_status,
            act,
            replace(evidence, text_sha256=hashlib.sha256(b"").hexdigest()),
            purpose,
            origin,
        )

    monkeypatch.setattr(Record, "act", careless)
    other = Device(tmp_path / "mutant")
    assert await fails_async(check_c14, other)
    other.close()


def test_c14_the_digest_changes_with_every_word_shown():
    notice = fakes.notice()
    figures = wording.Figures("local", 1000, 100_000, 365, 3000, 12)
    other = wording.compose(
        "en-DE", replace(fakes.operator_facts(), retention="For ever."), figures
    )
    assert notice.text_sha256 != other.text_sha256


# C15: a changed meaning asks again, a changed word does not.


async def check_c15(device, monkeypatch, folder):
    await device.join()
    before = device.agent.effective.notice("en").title
    monkeypatch.setattr(wording, "resources", edited_wording(folder))
    assert device.agent.effective.notice("en").title == f"{before}!"
    assert device.agent.gate.denial() is None
    await device.call("settings.set", key="budget.epsilon", value=0.9)
    assert device.agent.gate.consent_status().state is ConsentState.STALE
    with pytest.raises(AegisError):
        await device.run_cycle()
    assert "send_update" not in device.server.calls


def edited_wording(folder):
    """The notices with a changed word in every title, in place of the agent's own folder."""
    source = files(wording.__package__) / "notices" / f"{wording.PURPOSE}.json"
    notices = json.loads(source.read_text("utf-8"))
    for text in notices["locales"].values():
        text["title"] += "!"
    (folder / "notices").mkdir(exist_ok=True)
    (folder / "notices" / source.name).write_text(json.dumps(notices), "utf-8")
    return SimpleNamespace(files=lambda _: folder)


async def test_c15_a_new_meaning_stops_and_asks_again(device, monkeypatch, tmp_path):
    await check_c15(device, monkeypatch, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(wording, "notice_id", lambda *_: "contribute-1")
    other = Device(tmp_path / "mutant")
    assert await fails_async(check_c15, other, monkeypatch, tmp_path)
    other.close()


# C16: a yes grows old.


async def check_c16(device):
    await device.join()
    end = add_months(device.clock.wall, 12)
    device.clock.wall = end - 1
    assert device.agent.gate.denial() is None
    device.clock.wall = end
    assert device.agent.gate.consent_status().state is ConsentState.STALE
    assert device.agent.gate.denial() is not None


async def test_c16_after_twelve_months_it_stops_first_and_asks_second(
    device, monkeypatch, tmp_path
):
    await check_c16(device)
    monkeypatch.setattr("agent.consent.record.add_months", lambda at, months: at + 10**10)
    other = Device(tmp_path / "mutant")
    assert await fails_async(check_c16, other)
    other.close()


# C17: no nagging.


async def check_c17(device):
    notice = await device.call("consent.show")
    shown = {
        "notice_id": notice["notice_id"],
        "text_sha256": notice["text_sha256"],
        "surface": "window",
        "locale": notice["locale"],
    }
    await device.call("consent.refuse", **shown)
    for month in range(12):
        device.clock.wall += 30 * 24 * 3600
        assert not (await device.call("consent.prompt"))["allowed"], month
    device.clock.wall += 30 * 24 * 3600
    assert [(await device.call("consent.prompt"))["allowed"] for _ in range(3)] == [
        True,
        False,
        False,
    ]


async def test_c17_after_a_refusal_nobody_asks_for_twelve_months(device, monkeypatch, tmp_path):
    await check_c17(device)

    async def nag(self):
        return {"allowed": True}

    monkeypatch.setattr(ConsentMethods, "prompt", nag)
    other = Device(tmp_path / "mutant")
    assert await fails_async(check_c17, other)
    other.close()


def test_c17_a_closed_question_does_not_come_back_by_itself(qapp, theme):
    window = windows.open_window(qapp, fakes.new_home(), "consent", theme)
    window.dialog.close()
    count = window.client.methods.count("consent.show")
    for _ in range(3):
        window.client.push(fakes.new_home())
        window.open_page("privacy")
        window.open_page("overview")
    assert window.dialog is None
    assert window.client.methods.count("consent.show") == count
    assert window.client.methods.count("consent.dismiss") == 1


def test_every_rule_from_c1_to_c17_has_a_test():
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    missing = [number for number in range(1, 18) if f"def test_c{number}_" not in text]
    assert missing == []
