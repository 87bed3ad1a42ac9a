"""docs/ERRORS.md explains every code, is what the source says, and covers CONTRACT.md."""

import re
from pathlib import Path

import pytest

from agent.reasons import ReasonCode
from agent.status import ConsentState
from server_stub.api.problems import STATUS

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*)`")
NO_CODES = re.compile(r"AEGIS_|XDG_|DO_NOT_TRACK")


@pytest.fixture
def generator(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "packaging")
    import errors_page

    return errors_page


def entries():
    return dict(part.split("\n", 1) for part in page().split("\n### ")[1:])


def page():
    return (ROOT / "docs/ERRORS.md").read_text("utf-8")


def test_the_page_is_what_the_source_says(generator):
    assert generator.page() == page(), "run make docs"


def test_every_code_of_the_contract_is_explained():
    contract = (ROOT / "docs/CONTRACT.md").read_text("utf-8")
    codes = {code for code in CODE.findall(contract) if not NO_CODES.match(code)}
    assert codes - {state.value for state in ConsentState} <= set(entries())
    assert len(codes) > 20


def test_every_reason_and_every_code_of_a_problem_document_is_explained():
    assert {code.value for code in ReasonCode} <= set(entries())
    assert set(STATUS) <= set(entries())
    for code, status in STATUS.items():
        assert f"- **HTTP status:** {status}" in entries()[code]


def test_every_code_has_its_parts_in_one_order():
    for code, text in entries().items():
        titles = re.findall(r"^- \*\*(.+?):\*\*", text, re.M)
        assert titles[:5] == ["Meaning", "Cause", "Remedy", "Who acts", "Raised in"], code


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ('[cause]\n[meaning]\n[remedy]\nODD = "Ask."\n', "no cause for ODD"),
        ('[cause]\nODD = "It is odd."\n[meaning]\n[remedy]\n', "no remedy for ODD"),
        ('[cause]\nODD = "x"\nNEW = "x"\n[meaning]\n[remedy]\nODD = "x"\n', "no such code NEW"),
    ],
)
def test_a_missing_text_or_one_too_many_is_named(generator, tmp_path, monkeypatch, texts, problem):
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "a.py").write_text('raise InternalError("ODD", "It was odd.")\n')
    (tmp_path / "texts.toml").write_text(texts)
    monkeypatch.setattr(generator, "TEXTS", tmp_path / "texts.toml")
    with pytest.raises(ValueError, match=problem):
        generator.page(tmp_path)


def test_the_command_says_whether_the_page_is_current(generator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generator, "page", lambda: "new")
    monkeypatch.setattr(generator, "PAGE", tmp_path / "ERRORS.md")
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    assert "is current" in capsys.readouterr().out
