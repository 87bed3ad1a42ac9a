"""The Sent page: the list of updates, the receipt, and the exact bytes."""

import pytest

from tests.fakes import agent_client as fakes
from tests.ui import ledgers, windows


def sent(window):
    return windows.page(window, "sentPage")


def table(window):
    return window.findChild(object, "sentTable")


def open_sent(app, theme, *, shown=None, count=2, ledger=None):
    """The page over a ledger; `shown` answers for the selected update."""
    window = windows.open_window(app, ledgers.status_of(count), "overview", theme)
    if shown is not None:
        window.client.answers["sent.show"] = shown
    if ledger is not None:
        window.client.answers["ledger"] = ledger
    window.open_page("sent")
    return window


def discarded(params):
    """An update whose bytes are gone."""
    return {
        "entry": {**fakes.ledger_answer()["outbox"][0], "attempt": params["attempt"]},
        "header": None,
        "path": None,
    }


ENTRY = fakes.ledger_answer()["outbox"][0]
RECEIPT = ENTRY["receipt"]


def with_receipt(**changes):
    return {**RECEIPT, "receipt": {**RECEIPT["receipt"], **changes}}


@pytest.mark.parametrize(
    ("receipt", "verdict"),
    [
        (RECEIPT, "The server's signed receipt names exactly these bytes."),
        (with_receipt(body_sha256="0" * 64), "The server's receipt names other bytes than these."),
        (with_receipt(bytes=935), "The server's receipt names other bytes than these."),
        (None, "The server has not confirmed it."),
    ],
    ids=["same", "another digest", "another size", "none"],
)
def test_the_receipt_is_compared_with_the_bytes(qapp, theme, receipt, verdict):
    def shown(_):
        return {"entry": {**ENTRY, "receipt": receipt}, "header": None, "path": None}

    assert verdict in windows.texts(sent(open_sent(qapp, theme, shown=shown)))


def test_the_newest_update_is_shown_first_with_header_and_bytes(qapp, theme, tmp_path):
    path = tmp_path / "update.bin"
    path.write_bytes(bytes(300))
    window = open_sent(qapp, theme, shown=fakes.sent_answer(path))
    assert windows.params(window, "sent.show") == [{"attempt": f"{2:032x}"}]
    content = sent(window).content.toPlainText()
    assert '"kind": "local-update"' in content
    assert "000000  00 00" in content
    assert (
        "A clipped, noised update of the model from version 12: all noise added on this device."
        in (windows.texts(sent(window)))
    )


def test_the_exact_bytes_can_be_saved(qapp, theme, tmp_path):
    path = tmp_path / "update.bin"
    path.write_bytes(b"exact bytes")
    window = open_sent(qapp, theme, shown=fakes.sent_answer(path))
    sent(window).save_to(tmp_path / "copy.bin")
    assert (tmp_path / "copy.bin").read_bytes() == b"exact bytes"


def test_a_file_that_cannot_be_written_says_why(qapp, theme, tmp_path):
    path = tmp_path / "update.bin"
    path.write_bytes(b"exact bytes")
    window = open_sent(qapp, theme, shown=fakes.sent_answer(path))
    sent(window).save_to(tmp_path / "no-folder" / "copy.bin")
    assert any("No such file" in text for text in windows.texts(sent(window)))


def test_discarded_bytes_cannot_be_saved(qapp, theme):
    window = open_sent(qapp, theme, shown=discarded)
    assert sent(window).content.toPlainText() == "The bytes were discarded when you withdrew."
    assert not sent(window).save.isEnabled()


def test_an_update_that_cannot_be_shown_says_why(qapp, theme):
    window = open_sent(qapp, theme, shown=fakes.refused("UNKNOWN", "There is no such update."))
    assert any("There is no such update." in text for text in windows.texts(sent(window)))


def test_without_updates_there_is_no_table(qapp, theme):
    empty = {**fakes.ledger_answer(), "charges": [], "outbox": []}
    window = open_sent(qapp, theme, count=0, ledger=empty)
    assert not table(window).isVisibleTo(window)
    assert any("No update has been sent" in text for text in windows.texts(sent(window)))


def test_the_latest_updates_are_listed_and_the_older_ones_counted(qapp, theme):
    window = open_sent(qapp, theme, count=203, ledger=ledgers.many(203), shown=discarded)
    shown = table(window)
    assert shown.rowCount() == 200
    assert (shown.item(0, 1).text(), shown.item(199, 1).text()) == ("202", "3")
    assert any("The 3 oldest are not listed here" in text for text in windows.texts(sent(window)))
    window.client.push(ledgers.status_of(203))
    assert len(windows.params(window, "ledger")) == 1


def test_the_selected_update_stays_selected_when_another_is_sent(qapp, theme):
    window = open_sent(qapp, theme, count=2, ledger=ledgers.many(2), shown=discarded)
    assert windows.params(window, "sent.show")[-1] == {"attempt": f"{1:032x}"}
    window.client.answers["ledger"] = ledgers.many(3)
    window.client.push(ledgers.status_of(3))
    assert (table(window).rowCount(), table(window).currentRow()) == (3, 1)
    assert windows.params(window, "sent.show")[-1] == {"attempt": f"{1:032x}"}
