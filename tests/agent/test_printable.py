"""What is shown cannot act on the terminal, the log or the window that shows it."""

import io
import json
import logging
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.printable import (
    ArgumentParser,
    LogFormatter,
    json_text,
    never_fail,
    printable,
    printable_values,
)

ANY_TEXT = st.text(st.characters(), max_size=40)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain name.exe", "plain name.exe"),
        ("C:\\x1b\\näme ε 日本 👩‍💻.exe", "C:\\x1b\\näme ε 日本 👩‍💻.exe"),
        ("a\x1b[31mred\x1b[0m", "a\\x1b[31mred\\x1b[0m"),
        ("a\x1b]0;title\x07", "a\\x1b]0;title\\x07"),
        ("csi \x9b31m", "csi \\x9b31m"),
        ("two\nlines\r\tand", "two\\nlines\\r\\tand"),
        ("nul\0del\x7f", "nul\\x00del\\x7f"),
        ("gpj\u202eexe.txt", "gpj\\u202eexe.txt"),
        ("\u2066iso\u2069 \u200b\ufeff\u2028", "\\u2066iso\\u2069 \\u200b\\ufeff\\u2028"),
        ("tag \U000e0041", "tag \\U000e0041"),
        (b"caf\xe9\xff.exe".decode("utf-8", "surrogateescape"), "caf\\xe9\\xff.exe"),
        ("\ud800", "\\ud800"),
    ],
)
def test_every_sort_of_character_is_shown(raw, shown):
    assert printable(raw) == shown


@given(ANY_TEXT)
def test_the_result_is_one_line_that_every_stream_takes(text):
    shown = printable(text)
    shown.encode()
    assert {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert printable(shown) == shown


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_json_reads_back_and_shows_nothing_that_acts(value):
    text = json_text(value)
    assert json.loads(text) == value
    assert printable(text) == text
    indented = json_text(value, indent=1)
    assert json.loads(indented) == value
    assert all(printable(line) == line for line in indented.split("\n"))


def test_values_keep_their_shape():
    value = {"a\n": ["\x1b", 1, None, True, 0.5, ("\x07",)]}
    assert printable_values(value) == {"a\\n": ["\\x1b", 1, None, True, 0.5, ["\\x07"]]}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_never_fails(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    never_fail()
    print("ε 日本 \udcff", flush=True)
    assert raw.getvalue()


def test_a_stream_that_cannot_be_set_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    never_fail()
    print("ε")
    assert sys.stdout.getvalue() == "ε\n"


def test_a_log_line_stays_one_line():
    form = LogFormatter("%(levelname)s %(message)s")
    record = logging.LogRecord("x", 20, "", 0, "name=%s", ("a\n\x1b[2J",), None)
    assert form.format(record) == "INFO name=a\\n\\x1b[2J"
    try:
        raise ValueError("evil \x1b]0;x\x07")
    except ValueError:
        record = logging.LogRecord("x", 40, "", 0, "broken", (), sys.exc_info())
    text = form.format(record)
    assert "\x1b" not in text
    assert text.startswith("ERROR broken\nTraceback")


def test_a_refused_command_line_is_quoted_safely(capsys):
    with pytest.raises(SystemExit):
        ArgumentParser(prog="x").parse_args(["\x1b[31m\udcff"])
    assert "\\x1b[31m\\xff" in capsys.readouterr().err
