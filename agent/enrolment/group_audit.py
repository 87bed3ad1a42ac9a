"""Checks the members of a group against the authority's issuance log, where the task asks for it.

The log's head must continue the one that this device audited last (agent.enrolment.log_audit).
"""

from typing import TYPE_CHECKING, Any

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.enrolment.log_audit import LogAuditor
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig
    from agent.transport.client import AggregatorClient

DAY_S = 24 * 3600
SLACK_S = 2 * 3600
"""How much slower than the authority's this computer's clock may be."""


class GroupAuditor:
    """Audits one roster at a time. Changes nothing.

    `days`: the task's `peer_days`; with 0 nothing is checked.
    """

    def __init__(
        self, clock: Clock, log_auditor: LogAuditor, blocking: Blocking, ca_pem: str, days: int
    ) -> None:
        self._clock = clock
        self._log_auditor = log_auditor
        self._blocking = blocking
        self._ca_pem = ca_pem
        self._days = days

    def takes_part_from(self) -> int | None:
        """When this device is enrolled for long enough, in seconds since the epoch; None if it is,
        or if the task does not ask.
        """
        first = self._log_auditor.first_audit(self._ca_pem)
        if not self._days or first is None:
            return None
        start = first + self._days * DAY_S
        return start if start > self._clock.now() else None

    async def check(
        self,
        permit: Permit,
        client: "AggregatorClient",
        config: "RoundConfig",
        roster: bytes,
    ) -> None:
        """Check that every certificate of a roster stands in the log, enrolled `days` before.

        Raises PeerError ROSTER_ENROLMENT, ISSUANCE_LOG, WRONG_CONTEXT, BAD_MESSAGE, and what the
        network raises.
        """
        if not self._days:
            return
        from hashlib import sha256

        from agent.protocol import codec
        from agent.protocol.issuance import check_growth, read_head
        from agent.protocol.peer_enrolment import EnrolledBefore, check_members

        members = codec.decode_roster(roster, codec.round_context(config)).members
        certificates = [sha256(member.certificate).hexdigest() for member in members]

        async def request(call: Any) -> dict[str, Any]:
            permit.check()
            answer: dict[str, Any] = await self._blocking(call)
            return answer

        head = read_head(await request(client.log_head), self._ca_pem)
        previous = self._log_auditor.last_head(self._ca_pem)
        if previous is not None:
            growth = await request(lambda: client.log_consistency(previous.size, head.size))
            check_growth(previous, head, growth)
        answer = await request(lambda: client.log_members(certificates, head.size))
        latest = self._clock.now() + SLACK_S - self._days * DAY_S
        known = self._log_auditor.size_after(self._ca_pem, latest)
        check_members(head, answer, certificates, EnrolledBefore(latest, known))
