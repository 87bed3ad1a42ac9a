"""The notice: the exact text that a person agrees to.

The text is a versioned resource of the program (`notices/contribute.json`, one entry per locale).
Who asks (operator, contact, recipients, retention) comes from the invitation. The id covers the
material version, the operator's facts and the privacy figures: a change to any of them ends an
earlier yes (C15). An editorial change or another locale keeps the id.
"""

from dataclasses import dataclass
from enum import Enum


class Decision(Enum):
    """A person's answer to a notice. Closing the dialog is DISMISSED and changes nothing."""

    GRANT = "grant"
    REFUSE = "refuse"
    DISMISSED = "dismissed"


@dataclass(frozen=True)
class OperatorFacts:
    """Who asks, as the invitation says; shown before consent and part of the notice id."""

    name: str
    contact: str
    recipients: str
    retention: str
    server: str


@dataclass(frozen=True)
class Notice:
    """A notice in one locale, ready to show."""

    notice_id: str
    purpose: str
    locale: str
    title: str
    question: str
    """The question that the two buttons answer."""
    first_layer: tuple[str, ...]
    """Paragraphs, at most 150 words in all; the last one says how to withdraw."""
    details: tuple[tuple[str, str], ...]
    """The second layer, as (heading, text) pairs."""
    grant_label: str
    refuse_label: str
    details_label: str
    operator: OperatorFacts | None
    text_sha256: str
    """Digest of every word above; the consent record stores it (C14)."""
