"""The Join page: an invitation is inspected before anything is contacted."""

import pytest

from tests.fakes import agent_client as fakes
from tests.ui import windows


@pytest.fixture
def window(qapp, theme):
    return windows.open_window(qapp, fakes.new_home(), "join", theme)


@pytest.fixture
def join(window):
    return windows.page(window, "joinPage")


def test_nothing_is_asked_before_the_person_checks_the_invitation(window, join):
    assert not join.check.isEnabled()
    join.invitation.setPlainText("aegis1.x.y")
    assert join.check.isEnabled()
    assert window.client.calls == []


def test_line_breaks_of_a_mail_are_removed(window, join):
    join.invitation.setPlainText(" aegis1.x\n  .y\n")
    join.check.click()
    assert windows.params(window, "invitation.inspect") == [{"invitation": "aegis1.x.y"}]


def test_it_shows_who_asks_before_it_joins(window, join):
    join.invitation.setPlainText("aegis1.x.y")
    join.check.click()
    shown = windows.texts(join.who)
    assert join.who.isVisibleTo(window)
    assert "Northwind Security Institute" in shown
    assert any("3f0c7a91 d2b84e65" in text for text in shown)
    assert windows.params(window, "enroll") == []


def test_an_edited_invitation_must_be_checked_again(window, join):
    join.invitation.setPlainText("aegis1.x.y")
    join.check.click()
    join.invitation.setPlainText("aegis1.x.z")
    assert not join.who.isVisibleTo(window)


def test_a_bad_invitation_is_refused_with_its_reason(window, join):
    window.client.answers["invitation.inspect"] = fakes.refused(
        "BAD_INVITATION", "The invitation is incomplete.", "Paste all of it."
    )
    join.invitation.setPlainText("aegis1.x")
    join.check.click()
    assert "The invitation is incomplete." in join.problem.text()
    assert not join.who.isVisibleTo(window)


def test_joining_asks_the_question_and_forgets_the_invitation(window, join):
    join.invitation.setPlainText("aegis1.x.y")
    join.check.click()
    join.join.click()
    assert windows.params(window, "enroll") == [{"invitation": "aegis1.x.y"}]
    assert window.dialog is not None
    assert join.invitation.toPlainText() == ""


def test_it_can_be_skipped(window, join):
    join.skip.click()
    assert window.page == "overview"
    assert window.client.calls == []
