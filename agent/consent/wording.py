"""Composes the notice from the packaged text, the operator's facts and the privacy figures."""

import json
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from agent.consent.notice import Notice, OperatorFacts
from agent.consent.regions import region_of, territory_of
from agent.protocol.canonical import digest

PURPOSE = "contribute"
FALLBACK_LOCALE = "en"


@dataclass(frozen=True)
class Figures:
    """The privacy figures that a person agrees to, as integers: floats could change the notice id
    from one machine to the next.
    """

    mode: str
    """"local" or "secagg"."""
    epsilon_milli: int
    """ε of one period in thousandths."""
    delta_inverse: int
    """1/δ."""
    period_days: int
    lifetime_epsilon_milli: int
    refresh_months: int


def notice_id(material: int, operator: OperatorFacts | None, figures: Figures) -> str:
    """Return an id that covers what a person agrees to: material version, operator, figures.

    It covers neither the locale nor editorial changes (C15).
    """
    facts = {
        "purpose": PURPOSE,
        "material": material,
        "operator": None if operator is None else asdict(operator),
        "figures": asdict(figures),
    }
    return f"{PURPOSE}-{material}-{digest(facts)[:16]}"


def compose(locale: str, operator: OperatorFacts | None, figures: Figures) -> Notice:
    """Return the notice in the nearest locale that exists: the language alone, then English."""
    source = _source()
    name, text = _nearest(source["locales"], locale)
    values = _values(text, operator, figures, name)
    opening = text["operator_known" if operator else "operator_unknown"]
    first_layer = tuple(paragraph.format(**values) for paragraph in (opening, *text["first_layer"]))
    territory = territory_of(locale)
    regional = text["regions"][region_of(territory)]
    details = tuple(
        (heading, body.format(**values)) for heading, body in (*text["details"], regional)
    )
    shown = (
        text["title"],
        text["question"],
        *first_layer,
        *(part for pair in details for part in pair),
        text["grant_label"],
        text["refuse_label"],
    )
    return Notice(
        notice_id=notice_id(source["material"], operator, figures),
        purpose=PURPOSE,
        locale=f"{name}-{territory}" if territory else name,
        title=text["title"],
        question=text["question"],
        first_layer=first_layer,
        details=details,
        grant_label=text["grant_label"],
        refuse_label=text["refuse_label"],
        details_label=text["details_label"],
        operator=operator,
        text_sha256=digest([*shown, text["details_label"]]),
    )


def locales() -> tuple[str, ...]:
    """Return the locales in which the notice is written."""
    return tuple(_source()["locales"])


def material_version() -> int:
    """Return the version of the text's meaning."""
    return int(_source()["material"])


def _source() -> dict[str, Any]:
    text = resources.files(__package__).joinpath(f"notices/{PURPOSE}.json").read_text("utf-8")
    source: dict[str, Any] = json.loads(text)
    return source


def _nearest(texts: dict[str, Any], locale: str) -> tuple[str, dict[str, Any]]:
    language = locale.replace("-", "_").split("_")[0].split(".")[0].lower()
    name = language if language in texts else FALLBACK_LOCALE
    return name, texts[name]


def _values(
    text: dict[str, Any], operator: OperatorFacts | None, figures: Figures, locale: str
) -> dict[str, str]:
    values = {
        "mode_sentence": text["mode_sentences"][figures.mode],
        "trust_sentence": text["trust_sentences"][figures.mode],
        "epsilon": _decimal(figures.epsilon_milli, locale),
        "lifetime_epsilon": _decimal(figures.lifetime_epsilon_milli, locale),
        "delta": f"1/{figures.delta_inverse:,}".replace(",", "\u202f"),
        "period_days": str(figures.period_days),
        "refresh_months": str(figures.refresh_months),
    }
    if operator is None:
        return values | {
            "controller": text["controller_unknown"],
            "recipients": text["recipients_unknown"],
            "retention": text["retention_unknown"],
            "server": text["server_unknown"],
        }
    return values | {
        "operator": operator.name,
        "contact": operator.contact,
        "controller": text["controller_known"].format(
            operator=operator.name, contact=operator.contact
        ),
        "recipients": operator.recipients or operator.name,
        "retention": operator.retention,
        "server": operator.server,
    }


def _decimal(milli: int, locale: str) -> str:
    shown = f"{milli / 1000:g}"
    return shown.replace(".", ",") if locale == "de" else shown
