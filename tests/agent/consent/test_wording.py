"""The notice: short, complete, and with an id that changes when its meaning does."""

from dataclasses import replace

import pytest

from agent.consent.notice import OperatorFacts
from agent.consent.wording import Figures, compose, locales

FIGURES = Figures("secagg", 1000, 100_000, 365, 3000, 12)
OPERATOR = OperatorFacts(
    "Example Security Cooperative",
    "privacy@example.org",
    "The operator only.",
    "Ninety days.",
    "https://fl.example.org",
)


@pytest.mark.parametrize("locale", locales())
@pytest.mark.parametrize("operator", [None, OPERATOR])
@pytest.mark.parametrize("mode", ["local", "secagg"])
def test_c8_c9_the_first_layer_is_short_and_says_how_to_withdraw(locale, operator, mode):
    notice = compose(locale, operator, replace(FIGURES, mode=mode))
    assert sum(len(paragraph.split()) for paragraph in notice.first_layer) <= 150
    assert "aegis consent withdraw" in notice.first_layer[-1]
    assert len(notice.details) == len(compose("en", operator, FIGURES).details)
    shown = " ".join((*notice.first_layer, *(text for pair in notice.details for text in pair)))
    assert "{" not in shown
    assert "3" in notice.first_layer[2]
    if operator:
        assert all(
            fact in shown
            for fact in (
                operator.name,
                operator.contact,
                operator.recipients,
                operator.retention,
                operator.server,
            )
        )


@pytest.mark.parametrize("locale", locales())
def test_c27_forbidden_words_are_not_used(locale):
    notice = compose(locale, OPERATOR, FIGURES)
    shown = " ".join(
        (
            notice.title,
            notice.question,
            *notice.first_layer,
            *(text for pair in notice.details for text in pair),
        )
    ).lower()
    assert not any(word in shown for word in ("anonym", "never personal", "100%", "guarantee"))


def test_c15_the_id_covers_operator_and_figures_but_not_the_locale():
    base = compose("en", OPERATOR, FIGURES)
    assert compose("de", OPERATOR, FIGURES).notice_id == base.notice_id
    assert compose("de", OPERATOR, FIGURES).text_sha256 != base.text_sha256
    others = [compose("en", None, FIGURES)]
    others += [
        compose("en", replace(OPERATOR, **{name: "other"}), FIGURES) for name in vars(OPERATOR)
    ]
    others += [
        compose("en", OPERATOR, replace(FIGURES, **{name: value}))
        for name, value in (
            ("mode", "local"),
            ("epsilon_milli", 2000),
            ("delta_inverse", 10_000),
            ("period_days", 30),
            ("lifetime_epsilon_milli", 5000),
            ("refresh_months", 6),
        )
    ]
    ids = [notice.notice_id for notice in (base, *others)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("de_AT.UTF-8", "de-AT"),
        ("pt-BR", "en-BR"),
        ("C.UTF-8", "en"),
        ("", "en"),
        ("DE", "de"),
        ("zh_Hant_TW", "en-TW"),
    ],
)
def test_the_nearest_locale_is_taken(asked, got):
    notice = compose(asked, OPERATOR, FIGURES)
    assert notice.locale == got
    assert compose(notice.locale, OPERATOR, FIGURES) == notice


@pytest.mark.parametrize(
    ("locale", "named"),
    [
        ("en_US", "HIPAA"),
        ("en_GB", "Information Commissioner"),
        ("en_IE", "GDPR"),
        ("de_CH", "Eidgenössischen"),
        ("en", "wherever"),
    ],
)
def test_the_notice_names_the_rules_of_the_region_and_keeps_its_id(locale, named):
    notice = compose(locale, OPERATOR, FIGURES)
    assert named in notice.details[-1][1]
    assert notice.notice_id == compose("en", OPERATOR, FIGURES).notice_id
