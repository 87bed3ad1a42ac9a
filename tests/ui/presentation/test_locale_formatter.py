"""One and many."""

import pytest

from ui.presentation.locale_formatter import counted


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "one file"), (2, "2 files")])
def test_one_has_a_text_of_its_own(count, text):
    assert counted(count, "one file", "{count} files") == text
