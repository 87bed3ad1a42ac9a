"""The Activity page: readings, bytes sent each day, the self-check."""

from dataclasses import replace

from agent.status import SentView
from tests.fakes import agent_client as fakes
from tests.ui import ledgers, windows


def activity(window):
    return windows.page(window, "activityPage")


def test_it_shows_every_reading_with_its_source_or_the_reason_why_it_is_unknown(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "activity", theme)
    shown = windows.texts(activity(window))
    for text in ("Plugged in", "yes", "read from power_supply", "Metered network", "Unknown"):
        assert text in shown


def test_without_readings_it_says_that_nothing_is_measured(qapp, theme):
    window = windows.open_window(qapp, fakes.new_home(), "activity", theme)
    assert any("Nothing is measured now" in text for text in windows.texts(activity(window)))


def test_the_last_of_thirty_days_is_today(qapp, theme):
    last = fakes.NOW - 29 * fakes.DAY
    status = replace(ledgers.status_of(2), sent=SentView(2, 1872, last))
    window = windows.open_window(qapp, status, "overview", theme)
    window.client.answers["ledger"] = ledgers.many(2, newest_at=last)
    window.open_page("activity")
    assert activity(window).sparkline.values == (936.0, *[0.0] * 29)


def test_it_counts_the_latest_updates_and_only_received_ones(qapp, theme):
    window = windows.open_window(qapp, ledgers.status_of(1500), "overview", theme)

    def answer(params):
        ledger = ledgers.many(1500)(params)
        ledger["outbox"][-1].update(state="withdrawn")
        return ledger

    window.client.answers["ledger"] = answer
    window.open_page("activity")
    assert activity(window).sparkline.values == (*[936.0] * 29, 0.0)


def test_a_pushed_status_asks_for_the_ledger_only_when_something_was_sent(qapp, theme):
    window = windows.open_window(qapp, ledgers.status_of(2), "activity", theme)
    window.client.push(ledgers.status_of(2))
    assert len(windows.params(window, "ledger")) == 1
    window.client.push(ledgers.status_of(3))
    assert len(windows.params(window, "ledger")) == 2


def test_the_self_check_shows_each_result_with_its_remedy(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "activity", theme)
    activity(window).check.click()
    windows.settle()
    shown = windows.texts(activity(window))
    for text in (
        "Works: SecretService",
        "Unknown: no source",
        "Needs fixing: offline",
        "Check the network.",
    ):
        assert text in shown
    assert activity(window).check.isEnabled()


def test_a_self_check_that_fails_says_why_and_can_be_repeated(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "activity", theme)
    window.client.answers["doctor"] = fakes.refused()
    activity(window).check.click()
    windows.settle()
    assert any("The server cannot be reached." in text for text in windows.texts(activity(window)))
    assert activity(window).check.isEnabled()


def test_without_an_agent_no_check_is_offered(qapp, theme):
    window = windows.open_window(qapp, None, "activity", theme)
    assert not activity(window).check.isEnabled()
