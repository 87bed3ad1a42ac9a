"""Tests that sleep, read private names or assert nothing are found, and no others."""

import pytest

from tests.shape import suite
from tests.shape.source import read


def sleeping(root):
    return [name.rpartition("::")[2] for name in suite.sleeping_tests(read(root, ("tests",)))]


def reads(root):
    return [
        (read_.path, read_.name)
        for read_ in suite.private_reads(read(root, ("tests",)), read(root, ("agent",)))
    ]


def silent(root):
    return [
        name.rpartition("::")[2] for name in suite.tests_without_assertion(read(root, ("tests",)))
    ]


@pytest.mark.parametrize(
    "call", ["time.sleep(1)", "asyncio.sleep(DELAY_S)", "QTest.qWait(5)", "qtbot.wait(20)"]
)
def test_a_sleep_of_more_than_nothing_is_found(checkout, call):
    root = checkout({"tests/test_a.py": f"def test_quiet():\n    {call}\n    assert calls == []\n"})
    assert sleeping(root) == ["test_quiet"]


@pytest.mark.parametrize(
    "body",
    [
        "asyncio.sleep(0)",
        "while not found():\n        time.sleep(0.01)",
        "Fake(sleep=lambda: time.sleep(1))",
    ],
)
def test_yielding_and_waiting_for_something_are_no_sleep(checkout, body):
    root = checkout({"tests/test_a.py": f"def test_waits():\n    {body}\n    assert found()\n"})
    assert sleeping(root) == []


def test_a_helper_that_sleeps_counts_where_it_is_called_however_deep(checkout):
    text = """
    def settle():
        time.sleep(1)

    def test_calls_it():
        def scene():
            settle()
        scene()

    def test_passes_on_a_fake():
        async def passing(seconds):
            await asyncio.sleep(0.001)
        Fleet(sleep=passing)
    """
    assert sleeping(checkout({"tests/test_a.py": text})) == ["test_calls_it"]


PROGRAM = "class Thing:\n    def __init__(self):\n        self._held = 1\n\ndef _inner(): ...\n"


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("def test(thing):\n    assert thing._held\n", "_held"),
        ("from agent.thing import _inner\n", "_inner"),
        ("def test(monkeypatch):\n    monkeypatch.setattr('agent.thing._inner', None)\n", "_inner"),
        ("def test(thing):\n    assert getattr(thing, '_held')\n", "_held"),
    ],
    ids=["attribute", "import", "patched by its path", "getattr"],
)
def test_every_way_to_a_private_name_is_found(checkout, use, name):
    root = checkout({"agent/thing.py": PROGRAM, "tests/test_a.py": use})
    assert reads(root) == [("tests/test_a.py", name)]


@pytest.mark.parametrize(
    "use",
    [
        "class Fake:\n    def __init__(self):\n        self._held = 2\n\n"
        "def test(fake):\n    assert fake._held\n",
        "import os\n\ndef test():\n    os._inner()\n",
        "def test(thing):\n    assert thing._other\n    assert thing.__class__\n",
    ],
    ids=["a fake of the test's own", "a library", "no name of the program"],
)
def test_what_is_not_the_programs_is_left_alone(checkout, use):
    assert reads(checkout({"agent/thing.py": PROGRAM, "tests/test_a.py": use})) == []


def test_an_allow_list_names_a_read_without_its_line(checkout):
    root = checkout(
        {
            "agent/thing.py": PROGRAM,
            "tests/test_a.py": "\n\ndef test(thing):\n    assert thing._held\n",
        }
    )
    (found,) = suite.private_reads(read(root, ("tests",)), read(root, ("agent",)))
    assert (found.key, found.line) == ("tests/test_a.py: _held", 4)


@pytest.mark.parametrize(
    "body",
    [
        "assert x",
        "with pytest.raises(ValueError):\n        call()",
        "qtbot.waitUntil(ready)",
        "fake.assert_called()",
    ],
)
def test_whatever_can_fail_by_what_it_sees_is_an_assertion(checkout, body):
    assert silent(checkout({"tests/test_a.py": f"def test_it():\n    {body}\n"})) == []


def test_a_test_that_only_calls_is_found_also_in_a_class(checkout):
    text = (
        "class TestIt:\n    def test_calls(self):\n        call()\n\n"
        "def test_nothing():\n    pass\n\ndef helper():\n    pass\n"
    )
    files = {"tests/test_a.py": text, "tests/other.py": "def test_not_collected(): ...\n"}
    assert silent(checkout(files)) == ["test_calls", "test_nothing"]


def test_helpers_are_followed_one_level_down(checkout):
    files = {
        "tests/fakes/desk.py": """
            class Desk:
                def until(self):
                    assert self.found

            def check(value):
                assert value
        """,
        "tests/test_a.py": """
            from tests.fakes.desk import Desk, check

            def own(value):
                assert value

            def deeper(value):
                own(value)

            def test_own():
                own(1)

            def test_imported():
                check(1)

            def test_method():
                Desk().until()

            def test_two_levels():
                deeper(1)
        """,
    }
    assert silent(checkout(files)) == ["test_two_levels"]


@pytest.mark.parametrize(
    ("text", "unproved"),
    [
        ("def test_p1_asks(): assert x\ndef test_p2_p3_stops(): assert x\n", []),
        ("def test_p1_asks(): call()\ndef test_p2_p3_stops(): assert x\n", ["P1"]),
        ("def test_p12_asks(): assert x\n", ["P1", "P2", "P3"]),
        (
            "class M:\n    def rule(self): assert x\n\n"
            "test_p1_p2_any = M.TestCase\ntest_p3_other = N.TestCase\n",
            ["P3"],
        ),
        (
            "class M:\n    def rule(self): call()\n\ntest_p1_p2_p3_any = M.TestCase\n",
            ["P1", "P2", "P3"],
        ),
    ],
    ids=[
        "all",
        "no assertion",
        "no such number",
        "a state machine",
        "a state machine that asserts nothing",
    ],
)
def test_a_promise_is_proved_by_an_assertion_under_its_number(checkout, text, unproved):
    root = checkout({"tests/test_a.py": text})
    assert suite.unproved_promises(read(root, ("tests",)), range(1, 4)) == unproved
