"""Numbers, sizes and dates of a locale, and the translation that is loaded."""

import pytest
from PySide6.QtCore import QDateTime, QLocale

from ui import i18n
from ui.i18n import QtFormatter

GERMAN = QtFormatter(QLocale(QLocale.Language.German, QLocale.Country.Germany))
ENGLISH = QtFormatter(QLocale(QLocale.Language.English, QLocale.Country.UnitedKingdom))


@pytest.mark.parametrize(
    ("formatter", "number", "size"),
    [(ENGLISH, "1,234.50", "1.9 kB"), (GERMAN, "1.234,50", "1,9 kB")],
    ids=["English", "German"],
)
def test_numbers_and_sizes_are_written_as_the_locale_does(formatter, number, size):
    assert formatter.number(1234.5, 2) == number
    assert formatter.size(1872) == size


def test_a_whole_number_from_the_agent_is_a_number():
    """A limit arrives as an integer; Qt's number formats accept floating point only."""
    assert QtFormatter(QLocale.c()).number(10, 0) == "10"


def test_today_needs_no_date():
    now = QDateTime.currentSecsSinceEpoch()
    today, earlier = ENGLISH.moment(now), ENGLISH.moment(now - 400 * 24 * 3600)
    assert "/" not in today
    assert "/" in earlier
    assert len(earlier) > len(today)


def test_a_language_without_a_translation_is_english(qapp):
    formatter = i18n.install(qapp, QLocale(QLocale.Language.Icelandic))
    assert qapp.property("language") == "en"
    assert formatter.translate("View", "Off") == "Off"
    assert formatter.number(1234.5, 1) == "1,234.5"


def test_the_notice_is_requested_in_the_systems_language():
    assert "_" not in i18n.notice_locale()
    assert i18n.notice_locale() not in ("", "C")
