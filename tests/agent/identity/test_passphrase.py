"""A passphrase is chosen twice, typed once, asked for three times at most, and read from a pipe."""

import io

import pytest

from agent.errors import AegisError
from agent.identity.passphrase import MAX_PASSPHRASE_BYTES, Passphrase


@pytest.fixture
def typed(monkeypatch):
    """What the person types, in order; `typed.asked` lists the questions."""

    class Typed(list):
        """Also has the questions."""

    typed = Typed()
    typed.asked = []

    def getpass(question):
        typed.asked.append(question)
        return typed.pop(0)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", getpass)
    return typed


def code_of(call, *args):
    with pytest.raises(AegisError) as raised:
        call(*args)
    assert raised.value.remedy
    return raised.value.code


def at_terminal(right=b"right"):
    return Passphrase("", lambda secret: secret == right)


def test_a_new_passphrase_is_typed_twice(typed):
    typed += ["right", "right"]
    passphrase = at_terminal()
    assert passphrase.ask(True) == b"right"
    assert passphrase.ask(False) == b"right"
    assert len(typed.asked) == 2


def test_two_passphrases_that_differ_choose_nothing(typed):
    typed += ["right", "rigth", "a", "a"]
    passphrase = at_terminal()
    assert code_of(passphrase.ask, True) == "PASSPHRASES_DIFFER"
    assert code_of(passphrase.ask, True) == "PASSPHRASES_DIFFER"  # at once, unasked
    assert len(typed.asked) == 2
    passphrase.ask_anew()
    assert passphrase.ask(True) == b"a"


def test_a_wrong_passphrase_is_asked_for_three_times_and_then_refused_at_once(typed):
    typed += ["a", "b", "c", "x", "right"]
    passphrase = at_terminal()
    for _ in range(5):
        assert code_of(passphrase.ask, False) == "PASSPHRASE_WRONG"
    assert len(typed.asked) == 3
    passphrase.ask_anew()
    assert passphrase.ask(False) == b"right"
    assert "wrong" in typed.asked[-1]


@pytest.mark.parametrize("is_new", [True, False])
def test_nothing_typed_is_no_passphrase(typed, is_new):
    typed += ["", ""]
    assert code_of(at_terminal().ask, is_new) == "PASSPHRASE_MISSING"


def test_a_passphrase_needs_a_terminal_or_a_file(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert code_of(at_terminal().ask, False) == "PASSPHRASE_MISSING"


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_or_a_pipe_gives_its_first_line_once(tmp_path, monkeypatch, is_new):
    file = tmp_path / "passphrase"
    file.write_bytes(b"right\r\nsecond line")
    assert Passphrase(str(file), lambda secret: secret == b"right").ask(is_new) == b"right"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"right\n")))
    assert Passphrase("-", lambda secret: secret == b"right").ask(is_new) == b"right"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "PASSPHRASE_MISSING"),
        (b"\nright", "PASSPHRASE_MISSING"),
        (b"x" * (MAX_PASSPHRASE_BYTES + 1), "PASSPHRASE_MISSING"),
        (b"wrong\n", "PASSPHRASE_WRONG"),
    ],
)
def test_a_file_without_the_right_passphrase(tmp_path, content, code):
    file = tmp_path / "passphrase"
    file.write_bytes(content)
    assert code_of(Passphrase(str(file), lambda _: False).ask, False) == code


def test_a_file_that_cannot_be_read(tmp_path):
    assert code_of(Passphrase(str(tmp_path), lambda _: True).ask, False) == "CANNOT_READ"
