"""Every error carries a code, a sentence and a remedy, and its detail stays in the log."""

import pytest

from agent.errors import AegisError

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
