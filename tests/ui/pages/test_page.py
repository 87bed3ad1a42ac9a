"""What all pages have in common."""

import pytest
from PySide6.QtWidgets import QLabel

from tests.fakes import agent_client as fakes
from ui.pages.page import READABLE_STEPS, Page
from ui.presentation.view_model import view_of
from ui.widgets import step


def headings(page):
    return [label.text() for label in page.findChildren(QLabel)]


def test_the_title_is_heading_and_accessible_name(qapp, theme):
    page = Page("testPage", "A title")
    assert page.accessibleName() == "A title"
    assert headings(page) == ["A title"]


def test_a_page_without_a_heading_still_has_its_accessible_name(qapp, theme):
    page = Page("testPage", "A title", has_heading=False)
    assert page.accessibleName() == "A title"
    assert headings(page) == []


def test_on_a_wide_screen_the_content_stays_readable(qapp, theme):
    page = Page("testPage", "A title")
    page.resize(4000, 600)
    page.show()
    assert page.body.parentWidget().width() <= READABLE_STEPS * step(page)


def test_every_page_must_show_a_status(qapp, theme):
    from tests.ui.plain_formatter import PlainFormatter

    page = Page("testPage", "A title")
    with pytest.raises(NotImplementedError):
        page.show_view(view_of(fakes.status(), PlainFormatter()), fakes.status())
