"""The one place that decides whether consent covers a step.

It issues Permits. Code that needs consent takes one and checks it again before every step (P1, P2).

1. A permit needs consent GRANTED for the current notice, an intact record, no policy that forbids,
   and no DO_NOT_TRACK.
2. It names its purpose. It expires when the person withdraws, when a policy forbids, when the
   notice changes and when consent expires: `check` decides afresh each time, without memory.
3. A decision by simulated devices (surface "demo") counts only in a home that the demo made and
   with a server on this machine.
4. The leave permit is a kind of its own: it allows the data-free `leave` and the erase request
   that a person asked for, nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from agent.clock import utc
from agent.consent.record import ConsentStatus, Record
from agent.errors import InternalError, UserActionError
from agent.reasons import ReasonCode
from agent.status import ConsentState

DEMO_SURFACE = "demo"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class Purpose(Enum):
    """What a permit allows."""

    CONTRIBUTE = "contribute"
    LEAVE = "leave"


@dataclass(frozen=True)
class Facts:
    """What the gate reads besides the record, afresh each time."""

    notice_id: str
    refresh_months: int
    policy_denied: str
    """Why the policy forbids taking part, or empty."""
    do_not_track: bool
    demo_home: bool
    server_host: str
    """Host of the operator's server, or empty."""
    policy_remedy: str = "Ask your IT."


@dataclass(frozen=True)
class Denial:
    """Why the answer is no."""

    code: ReasonCode
    message: str
    remedy: str


class Permit:
    """Proof that a purpose is allowed. Only the gate can make one."""

    def __init__(self, purpose: Purpose, check: Callable[[], Denial | None], key: object) -> None:
        if key is not _KEY:
            raise InternalError("PERMIT_FORGED", "Only the consent gate can issue a permit.")
        self.purpose = purpose
        self._check = check

    def check(self) -> None:
        """Raise UserActionError NO_CONSENT or DENIED_BY_POLICY when the permit has died."""
        if denial := self._check():
            raise UserActionError(denial.code.value, denial.message, denial.remedy)

    @property
    def is_alive(self) -> bool:
        return self._check() is None


_KEY: Final = object()


class Gate:
    """Combines consent, policy and the environment in one answer."""

    def __init__(self, record: Record, facts: Callable[[], Facts]) -> None:
        self._record = record
        self._facts = facts

    def consent_status(self) -> ConsentStatus:
        """Return the state of consent under the current notice."""
        facts = self._facts()
        return self._record.consent_status(facts.notice_id, facts.refresh_months)

    def denial(self) -> Denial | None:
        """Return why the answer is no, or None for yes."""
        facts = self._facts()
        if self._record.fault is not None:
            return Denial(
                ReasonCode.NO_CONSENT, self._record.fault.message, self._record.fault.remedy
            )
        if facts.policy_denied:
            return Denial(ReasonCode.DENIED_BY_POLICY, facts.policy_denied, facts.policy_remedy)
        consent_status = self._record.consent_status(facts.notice_id, facts.refresh_months)
        if consent_status.state is not ConsentState.GRANTED or consent_status.entry is None:
            return _not_given(consent_status)
        if facts.do_not_track:
            return Denial(
                ReasonCode.NO_CONSENT,
                "DO_NOT_TRACK is set, so AegisAI stays off.",
                "Unset DO_NOT_TRACK to take part.",
            )
        if consent_status.entry.surface == DEMO_SURFACE and not (
            facts.demo_home and facts.server_host in LOOPBACK_HOSTS
        ):
            return Denial(
                ReasonCode.NO_CONSENT,
                "The only consent on record is a simulated one.",
                "Read the notice and decide: aegis consent show.",
            )
        return None

    def permit(self) -> Permit:
        """Return a permit to contribute.

        Raises UserActionError NO_CONSENT or DENIED_BY_POLICY.
        """
        permit = Permit(Purpose.CONTRIBUTE, self.denial, _KEY)
        permit.check()
        return permit

    def leave_permit(self) -> Permit:
        """Return the permit for the data-free `leave` and the erase request.

        It needs no consent, because both end the processing.
        """
        return Permit(Purpose.LEAVE, lambda: None, _KEY)


def _not_given(consent_status: ConsentStatus) -> Denial:
    """Return the denial for a state other than GRANTED."""
    if consent_status.expired_by is not None:
        return Denial(
            ReasonCode.NO_CONSENT,
            f"By this computer's clock ({utc(consent_status.expired_by)}) your consent has expired."
            " Nothing runs until you renew it.",
            "If that date is wrong, set this computer's clock. Else read the notice and decide:"
            " aegis consent show.",
        )
    return Denial(
        ReasonCode.NO_CONSENT,
        _MESSAGES[consent_status.state],
        "Read the notice and decide: aegis consent show.",
    )


_MESSAGES = {
    ConsentState.UNASKED: "You have not been asked yet, so nothing runs.",
    ConsentState.REFUSED: "You said no, so nothing runs.",
    ConsentState.WITHDRAWN: "You withdrew your consent, so nothing runs.",
    ConsentState.STALE: "The notice has changed. Nothing runs until you agree to the new one.",
    ConsentState.GRANTED: "",
}
