"""Codes, messages and remedies are read from the source as a person would read them."""

from pathlib import Path
from textwrap import dedent

import pytest


@pytest.fixture
def found(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "packaging")
    from code_search import Search

    def search(**files):
        """(code, message, remedy) of every way in which the modules raise a code."""
        for name, text in files.items():
            path = tmp_path / "agent" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(dedent(text))
        return [(item.code, item.message, item.remedy) for item in Search(tmp_path).raised()]

    return search


def test_an_error_is_read_with_its_message_and_remedy(found):
    text = 'raise PeerError("BAD_ROW", "A row " "is bad.", "Check it.")\n'
    assert found(a=text) == [("BAD_ROW", "A row is bad.", "Check it.")]


def test_what_the_source_cannot_say_is_shown_as_dots(found):
    text = """
    def check(count):
        raise PeerError("BAD_ROW", f"Got {count} of {len(NAMES)}.", REMEDY)

    REMEDY = "Check it."
    """
    assert found(a=text) == [("BAD_ROW", "Got … of ….", "Check it.")]


def test_a_function_that_passes_a_code_on_is_read_once_for_each_caller(found):
    text = """
    def _demand(holds, code, why):
        if not holds:
            raise _refused(code, why)

    def _refused(code, reason, remedy="Tell the operator."):
        return PeerError(code, f"RefusedInput: {reason}.", remedy)

    def check(x):
        _demand(x, "TOO_SMALL", "it is small")
        _demand(x, "TOO_LARGE", f"it is above {x}")
        raise _refused("OTHER_TASK", "another task", remedy="Ask.")
    """
    assert found(a=text) == [
        ("OTHER_TASK", "RefusedInput: another task.", "Ask."),
        ("TOO_LARGE", "RefusedInput: it is above ….", "Tell the operator."),
        ("TOO_SMALL", "RefusedInput: it is small.", "Tell the operator."),
    ]


def test_a_private_function_is_followed_in_its_own_module_only(found):
    helper = 'def _bad(code):\n    return PeerError(code, "Bad.", "Wait.")\n'
    assert found(a=helper + '_bad("ONE_CODE")\n', b='_bad("TWO_CODE")\n') == [
        ("ONE_CODE", "Bad.", "Wait.")
    ]


def test_a_method_is_not_confused_with_a_function_of_its_name(found):
    text = """
    class Settings:
        def set(self, code):
            raise UserActionError(code, "No.", "Ask.")

    set("NOT_A_CODE")
    settings.set("A_CODE")
    """
    assert found(a=text) == [("A_CODE", "No.", "Ask.")]


def test_code_and_message_of_one_condition_stay_together(found):
    text = """
    def fail(late):
        raise PeerError("LATE" if late else "EARLY", "Too late." if late else "Too early.", "Wait.")

    def answer(status):
        code = {404: "NOT_FOUND", 405: "METHOD"}.get(status, "BAD_MESSAGE")
        text = {404: "Nothing here.", 405: "Not so."}.get(status, "Unreadable.")
        return PeerError(code, text, "")
    """
    assert {(code, message) for code, message, _ in found(a=text)} == {
        ("LATE", "Too late."),
        ("EARLY", "Too early."),
        ("NOT_FOUND", "Nothing here."),
        ("METHOD", "Not so."),
        ("BAD_MESSAGE", "Unreadable."),
    }


def test_a_variable_holds_what_was_assigned_on_the_way(found):
    text = """
    def wait(low, hot):
        text = "Neither."
        if hot:
            text = "Hot."
            return Reason(ReasonCode.HOT, text, setting="limit.c")
        if low:
            text = "Low."
        return Reason(ReasonCode.BUSY, text)
    """
    assert found(a=text) == [
        ("BUSY", "Low.", ""),
        ("BUSY", "Neither.", ""),
        ("HOT", "Hot.", "Change the setting `limit.c`."),
    ]


def test_a_table_is_read_row_by_row(found):
    text = """
    KNOWN = {
        "REVOKED": (OperatorActionError, "It was revoked.", LATER),
        "EXPIRED": _Problem(PeerError, "It has expired.", LATER),
    }
    LATER = "Ask."
    BY_STATUS = {404: ("NOT_FOUND", "Nothing here."), 405: ("METHOD", "Not so.")}

    def explain(error):
        named = ((KeyError, "LOST", "is gone"), (ValueError, "ODD", "is odd"))
        for kind, code, why in named:
            if isinstance(error, kind):
                return PeerError(code, f"It {why}.", "Wait.")

    def answer(status):
        code, text = BY_STATUS.get(status, ("BAD_MESSAGE", "Unreadable."))
        return PeerError(code, text, "")
    """
    assert found(a=text) == [
        ("BAD_MESSAGE", "Unreadable.", ""),
        ("EXPIRED", "It has expired.", "Ask."),
        ("LOST", "It is gone.", "Wait."),
        ("METHOD", "Not so.", ""),
        ("NOT_FOUND", "Nothing here.", ""),
        ("ODD", "It is odd.", "Wait."),
        ("REVOKED", "It was revoked.", "Ask."),
    ]


def test_a_subclass_counts_where_its_parent_is_called(found):
    text = """
    class Busy(PeerError):
        def __init__(self, code, seconds):
            super().__init__(code, "Too much.", f"Wait {seconds} s.")

    class Plain(PeerError):
        pass

    def limit():
        raise Busy("TOO_MANY", 5)

    def check():
        raise Plain("ODD_SENDER", "It is odd.", "Wait.")
    """
    assert found(a=text) == [
        ("ODD_SENDER", "It is odd.", "Wait."),
        ("TOO_MANY", "Too much.", "Wait … s."),
    ]


def test_refused_files_and_convicted_members_have_codes_too(found):
    text = """
    class RefusedFileError(Exception): ...

    MESSAGES = {"NOT_PE": "Not a program."}

    def check(self, path):
        one = scene.verdict(path, "SECRET_FALSE")
        other = scene.verdict(path, code)
        return RefusedInput(path, "BAD_ROW", "A bad row.")
    """
    assert found(a=text) == [
        ("BAD_ROW", "A bad row.", ""),
        ("NOT_PE", "Not a program.", ""),
        ("SECRET_FALSE", "", ""),
    ]


def test_what_is_no_code_is_no_code(found):
    text = 'PeerError(code, "…", "")\nPeerError("lower", "…", "")\nprint("NOT_RAISED")\n'
    assert found(a=text) == []


def test_a_class_may_have_the_name_of_its_base(found):
    text = """
    class Formatter(logging.Formatter):
        pass

    Formatter("x")
    """
    assert found(a=text) == []
