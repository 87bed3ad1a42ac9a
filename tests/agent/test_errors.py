"""Every error carries a code, a sentence and a remedy, and its detail stays in the log."""

import pytest

from agent.errors import AegisError, traced

FAMILIES = AegisError.__subclasses__()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_what_a_person_and_a_script_see(family):
    error = family("DISK_FULL", "The disk is full.", "Free some space.", detail="errno 28")
    assert str(error) == "The disk is full. Free some space."
    assert error.to_json() == {
        "code": "DISK_FULL",
        "message": "The disk is full.",
        "remedy": "Free some space.",
    }
    assert error.detail == "errno 28"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_remedy_and_detail_may_be_empty(family):
    error = family("ODD", "It is odd.")
    assert (str(error), error.remedy, error.detail) == ("It is odd.", "", "")


def test_there_are_four_families_whose_names_end_in_error():
    assert len(FAMILIES) == 4
    assert all(family.__name__.endswith("Error") for family in FAMILIES)


def test_a_bug_is_named_with_its_place_and_traced_on_request(monkeypatch, capsys):
    with pytest.raises(ZeroDivisionError) as raised:
        1 / 0  # noqa: B018
    assert traced(raised.value).startswith("ZeroDivisionError in test_errors.py:")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("AEGIS_TRACE", "1")
    traced(raised.value)
    assert "Traceback" in capsys.readouterr().err
