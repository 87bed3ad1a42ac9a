"""The notice: the exact text a person agrees to, for one purpose, with an id that changes when its
meaning does.

The text is a versioned resource of the program (`notices/contribute.json`, one entry a locale); who
asks (operator, contact, recipients, retention) comes from the invitation. The id covers the
material version, the operator's facts and the privacy figures: change one of them and an earlier
yes no longer counts (C15). An editorial change or another locale keeps the id.
"""

from dataclasses import dataclass
from enum import Enum


class Decision(Enum):
    """What a person can say to a notice. Closing the dialog is DISMISSED and changes nothing."""

    GRANT = "grant"
    REFUSE = "refuse"
    DISMISSED = "dismissed"


@dataclass(frozen=True)
class OperatorFacts:
    """Who asks. From the invitation; shown before consent and part of the notice id."""

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
    """The one question that the two buttons answer."""
    first_layer: tuple[str, ...]
    """At most 150 words in all; the last paragraph says how to withdraw."""
    details: tuple[tuple[str, str], ...]
    """(heading, text) pairs of the second layer."""
    grant_label: str
    refuse_label: str
    details_label: str
    operator: OperatorFacts | None
    text_sha256: str
    """Digest of every word above, kept in the consent record (C14)."""
