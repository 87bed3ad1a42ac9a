"""Every source has words in every locale of the notice, and a yes is to their meaning."""

import pytest

from agent.consent.sources import source_text
from agent.consent.wording import locales
from agent.protocol.sources import SWITCHED

FORBIDDEN = ("anonym", "never personal", "verified by")


@pytest.mark.parametrize("source", SWITCHED)
@pytest.mark.parametrize("locale", locales())
def test_c7_a_source_says_what_is_read_and_what_it_takes_it_for(source, locale):
    shown = source_text(source, locale)
    assert shown.locale == locale
    assert {"en": "read", "de": "Gelesen"}[locale] in shown.text or source == "signed"
    assert any(word in shown.text for word in ("benign", "malicious", "gutartig", "schädlich"))
    assert not [word for word in FORBIDDEN if word in shown.text.lower()]


def test_a_yes_in_any_locale_is_to_the_same_meaning():
    english, german = source_text("clamav", "en_GB.UTF-8"), source_text("clamav", "de-DE")
    assert english.text != german.text
    assert english.text_sha256 == german.text_sha256
    assert source_text("clamav", "xx").text == english.text
    assert len({source_text(source, "").text_sha256 for source in SWITCHED}) == len(SWITCHED)
