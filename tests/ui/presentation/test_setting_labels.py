"""The names of settings."""

from agent.config.definitions import DEFINITIONS
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.setting_labels import setting_labels

NOT_SHOWN = {"key_store", "budget.delta"}


def test_every_setting_that_a_person_sees_has_a_name_of_its_own():
    labels = setting_labels(PlainFormatter())
    assert set(labels) == {each.key for each in DEFINITIONS} - NOT_SHOWN
    assert len(set(labels.values())) == len(labels)
