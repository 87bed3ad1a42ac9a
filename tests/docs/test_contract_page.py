"""docs/CONTRACT.md says what the code does."""

from pathlib import Path

from agent.app import Overrides, build
from agent.config.definitions import DEFINITIONS
from agent.consent.record import TRANSITIONS, Act
from agent.reasons import OVERRIDABLE, ReasonCode
from agent.rounds.outcome import Outcome
from agent.status import ConsentState
from tests.fakes.device import policy_of_tests

PAGE = (Path(__file__).parents[2] / "docs" / "CONTRACT.md").read_text()


def rows_of(heading):
    section = PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    return rows[1:]


def shown(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.12g}" if isinstance(value, int | float) else value


def test_the_settings_table_is_the_list_of_definitions():
    wanted = [
        [
            f"`{d.key}`",
            d.kind.value,
            shown(d.default),
            f"{shown(d.minimum)} to {shown(d.maximum)}"
            if d.minimum is not None
            else ", ".join(d.choices),
            d.unit,
            d.tighter.value,
            d.help,
        ]
        for d in DEFINITIONS
    ]
    assert [[cell.strip(" |") for cell in row] for row in rows_of("## Settings")] == wanted


def test_every_method_is_described(tmp_path):
    agent = build(
        tmp_path / "home", Overrides(environ={}, policy_place=policy_of_tests(tmp_path / "none"))
    )
    assert {row[0].strip("`") for row in rows_of("## Local channel")} == agent.service.names | {
        "subscribe"
    }
    agent.close()


def test_every_reason_is_listed_in_order():
    listed = [(row[0].strip("`"), row[1].strip(" |")) for row in rows_of("## Reasons for waiting")]
    assert listed == [(code.value, "yes" if code in OVERRIDABLE else "") for code in ReasonCode]


def test_every_outcome_is_listed():
    assert [row[0].strip("`") for row in rows_of("### Outcomes of a cycle")] == [
        outcome.value for outcome in Outcome
    ]


def test_the_consent_table_is_the_machine():
    acts = (Act.GRANT, Act.REFUSE, Act.DISMISS, Act.WITHDRAW)
    listed = {row[0]: row[1:5] for row in rows_of("## Consent")}
    for state in ConsentState:
        moves = [TRANSITIONS.get((state, act)) for act in acts]
        assert listed[state.value] == [move.value if move else "–" for move in moves]
