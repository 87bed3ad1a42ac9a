"""The region follows the country of the locale, and an unknown one gets the common paragraph."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.consent.regions import region_of, territory_of

REGIONS = {"EU", "OTHER", "GB", "CH", "US", "BR", "CA"}


@pytest.mark.parametrize(
    ("locale", "territory"),
    [
        ("de_AT.UTF-8", "AT"),
        ("en-GB", "GB"),
        ("pt_br", "BR"),
        ("zh_Hant_TW", "TW"),
        ("sr_RS@latin", "RS"),
        ("ca_ES.UTF-8@valencia", "ES"),
        ("en", ""),
        ("C.UTF-8", ""),
        ("POSIX", ""),
        ("es_419", ""),
        ("", ""),
    ],
)
def test_the_country_of_a_locale(locale, territory):
    assert territory_of(locale) == territory


@pytest.mark.parametrize(
    ("territory", "region"),
    [
        ("DE", "EU"),
        ("HR", "EU"),
        ("NO", "EU"),
        ("IS", "EU"),
        ("LI", "EU"),
        ("GB", "GB"),
        ("CH", "CH"),
        ("US", "US"),
        ("BR", "BR"),
        ("CA", "CA"),
        ("JP", "OTHER"),
        ("", "OTHER"),
    ],
)
def test_the_region_of_a_country(territory, region):
    assert region_of(territory) == region


def test_the_european_economic_area_has_thirty_members():
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    members = [a + b for a in letters for b in letters if region_of(a + b) == "EU"]
    assert len(members) == 30


@given(st.text(max_size=40))
def test_p11_any_text_has_a_region(locale):
    assert region_of(territory_of(locale)) in REGIONS
