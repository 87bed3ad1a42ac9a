"""A small share of `make fuzz`: every input that is kept, and some new ones for each parser."""

import pytest

from tests.fuzz import parsers
from tests.fuzz.parsers import PARSERS, FindingError, Parser, bounded, require, seeds, valid_inputs
from tests.fuzz.runs import feed

INPUTS = 400
BY_NAME = {parser.name: parser for parser in PARSERS}


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_p11_what_was_found_once_is_not_found_again(parser, tmp_path):
    contents = seeds(parser.name)
    assert len(contents) >= 2
    for content in contents:
        bounded(parser, content, tmp_path)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_p11_a_parser_answers_or_refuses_whatever_it_is_fed(parser, tmp_path):
    findings = feed(parser, INPUTS, keep_in=tmp_path)
    assert findings == [], findings[0].trace


def test_the_kept_inputs_include_the_valid_ones():
    for name, contents in valid_inputs().items():
        kept = seeds(name)
        assert [content for content in contents.values() if content not in kept] == []


def eats(content, _):
    require(b"AEG1" not in content, "it must not")


def takes(content, _):
    bytearray(b"x" * (40 << 20) if content else b"")


@pytest.mark.parametrize("check", [eats, takes], ids=["a wrong answer", "too much memory"])
def test_a_finding_is_kept_as_the_smallest_input_that_fails(check, tmp_path, monkeypatch):
    monkeypatch.setattr(parsers, "MAX_MIB", 30)
    broken = Parser("envelope", BY_NAME["envelope"].inputs, check)
    (finding,) = feed(broken, 50, keep_in=tmp_path)
    assert "FindingError" in finding.trace
    parsers.forget_peak()
    with pytest.raises(FindingError):
        bounded(broken, finding.path.read_bytes(), tmp_path)
