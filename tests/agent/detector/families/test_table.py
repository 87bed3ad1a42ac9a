"""Families are found by name; an unknown one is refused."""

import pytest

from agent.detector.families.table import FAMILIES, family
from agent.errors import OperatorActionError


def test_each_family_is_found_by_its_name():
    for name in FAMILIES:
        assert family(name).name == name


def test_a_task_from_before_there_were_families_is_found():
    assert family("logistic").name == "logistic/1"


def test_p11_an_unknown_family_is_refused():
    with pytest.raises(OperatorActionError) as raised:
        family("forest/1")
    assert raised.value.code == "UNKNOWN_TASK"
