"""Withdrawing from the window or the icon works whether or not an agent answers."""

import pytest

from agent.consent.switch import Switch
from agent.consent.withdrawal import Withdrawal
from agent.errors import UserActionError
from agent.files import atomic_file
from agent.paths import Home
from agent.status import ConsentState
from tests.fakes import agent_client as fakes
from tests.ui import windows
from ui.tray import Tray
from ui.withdrawer import Withdrawer


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    Switch(home.consent_switch).turn_on("ab" * 32, fakes.NOW, "window")
    return home


@pytest.fixture
def files(home, tmp_path):
    return Withdrawal(home, {"XDG_RUNTIME_DIR": str(tmp_path / "run")})


class Told:
    """A withdrawer and what it told."""

    def __init__(self, client, files):
        self.withdrawer = Withdrawer(client, files, "tray", None, lambda: fakes.NOW)
        self.words, self.codes = [], []
        self.withdrawer.stopped.connect(self.words.append)
        self.withdrawer.failed.connect(lambda error: self.codes.append(error.code))


NO_AGENT = {"consent.withdraw": fakes.refused("NO_AGENT")}


def test_p2_without_an_agent_the_mark_holds_and_names_the_icon(qapp, files, home):
    told = Told(fakes.FakeAgentClient(None, NO_AGENT), files)
    told.withdrawer.withdraw()
    assert home.withdrawal_mark.read_bytes() == b"tray"
    assert ["AegisAI is not running" in words for words in told.words] == [True]
    assert not told.withdrawer.may_hold()


def test_p2_an_agent_that_answers_is_asked_and_tells_by_its_status(qapp, files, home):
    client = fakes.FakeAgentClient(fakes.status(), {"consent.withdraw": {}})
    told = Told(client, files)
    told.withdrawer.withdraw()
    assert client.calls == [("consent.withdraw", {"surface": "tray"})]
    assert (told.words, told.codes) == ([], [])
    assert not told.withdrawer.patience.isActive()


def test_p2_an_agent_that_is_silent_finds_the_mark(qapp, files, home):
    told = Told(fakes.FakeAgentClient(fakes.status()), files)
    told.withdrawer.withdraw()
    assert home.withdrawal_mark.exists()
    told.withdrawer.patience.timeout.emit()
    assert ["does not answer" in words for words in told.words] == [True]


def test_a_mark_that_the_agent_has_read_needs_no_words(qapp, files, home):
    told = Told(fakes.FakeAgentClient(fakes.status()), files)
    told.withdrawer.withdraw()
    home.withdrawal_mark.unlink()
    told.withdrawer.patience.timeout.emit()
    assert (told.words, told.codes) == ([], [])


def test_without_a_mark_and_without_an_answer_it_is_not_called_stopped(qapp):
    told = Told(fakes.FakeAgentClient(fakes.status()), fakes.no_consent_files())
    told.withdrawer.withdraw()
    told.withdrawer.patience.timeout.emit()
    assert (told.words, told.codes) == ([], ["AGENT_SILENT"])


def test_an_agent_that_could_not_save_it_says_so(qapp, files):
    answers = {"consent.withdraw": fakes.refused("NOT_SAVED")}
    told = Told(fakes.FakeAgentClient(fakes.status(), answers), files)
    told.withdrawer.withdraw()
    assert (told.words, told.codes) == ([], ["NOT_SAVED"])


def test_p2_where_nothing_can_be_written_it_is_not_called_saved(qapp, files, monkeypatch):
    def no_room(*_):
        raise OSError("no room")

    for name in ("write", "touch", "overwrite", "remove"):
        monkeypatch.setattr(atomic_file, name, no_room)
    told = Told(fakes.FakeAgentClient(None, NO_AGENT), files)
    told.withdrawer.withdraw()
    assert (told.words, told.codes) == ([], ["NOT_SAVED"])


def test_p2_the_icon_offers_to_stop_without_an_agent(qapp, files):
    tray = Tray(fakes.FakeAgentClient(None, NO_AGENT), files)
    assert tray.actions["consent"].text() == "Stop contributing"
    assert tray.actions["consent"].isEnabled()
    tray.show_icon()
    shown = []
    tray.icon.showMessage = lambda *message: shown.append(message[1])
    tray.actions["consent"].trigger()
    assert ["You have stopped contributing" in words for words in shown] == [True]
    assert not tray.actions["consent"].isEnabled()
    tray.hide_icon()


def test_p2_the_window_offers_to_stop_without_an_agent(qapp, theme, files):
    window = windows.open_window(qapp, None, "privacy", theme, withdrawal=files)
    window.client.answers |= NO_AGENT
    page = windows.page(window, "privacyPage")
    assert page.withdraw.isVisibleTo(window)
    assert page.withdraw.isEnabled()
    assert [each.isEnabled() for each in (page.export, page.erase, page.join)] == [False] * 3
    page.withdraw.click()
    message = window.findChild(object, "errorText")
    assert message.isVisibleTo(window)
    assert "You have stopped contributing" in message.text()
    assert not page.withdraw.isVisibleTo(window)
    assert not page.decide.isEnabled()


def test_a_no_in_the_window_that_no_agent_hears_is_told(qapp, theme, files):
    status = fakes.status(consent=ConsentState.GRANTED)
    window = windows.open_window(qapp, status, "privacy", theme, withdrawal=files)
    window.client.answers |= {"consent.withdraw": UserActionError("NO_AGENT", "gone", "")}
    windows.page(window, "privacyPage").withdraw.click()
    assert "also after a restart" in window.findChild(object, "errorText").text()
