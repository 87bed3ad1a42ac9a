"""Methods that join an operator.

A copy of another device (LEDGER_FORKED) joins again with a new invitation: it gets an identity of
its own, keeps its samples and its ledger, and counts a whole budget period as spent, because the
other copy may spend it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from agent.api.methods import Method, Result
from agent.clock import Clock
from agent.config.effective import EffectiveConfig, Enrolment, from_invitation, from_token
from agent.errors import UserActionError
from agent.identity.key_store_choice import KeyStoreChoice
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.signals import Signals
from agent.store.ledger import Ledger, carried_over


@dataclass(frozen=True)
class EnrolmentMethods:
    """Stores an invitation; the server is contacted only once consent is granted."""

    clock: Clock
    agreed_clock: AgreedClock
    effective: EffectiveConfig
    ledger: Ledger
    keys: KeyStoreChoice
    signals: Signals

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "enroll": Method(
                self.enroll, {}, {"invitation": str, "server": str, "token": str, "ca_pem": str}
            ),
            "invitation.inspect": Method(self.inspect, {"invitation": str}),
        }

    async def enroll(
        self, invitation: str = "", server: str = "", token: str = "", ca_pem: str = ""
    ) -> Result:
        """Store an invitation: the one given, else the one that the machine's policy proposes."""
        if not (invitation or server):
            invitation = self.effective.policy().invitation
        if bool(invitation) == bool(server):
            raise UserActionError(
                "BAD_PARAMS",
                "Give either an invitation, or a server with its token and CA.",
                "Nothing was changed.",
            )
        if invitation:
            from agent.protocol.invitation import parse_invitation

            enrolment = from_invitation(parse_invitation(invitation))
        else:
            enrolment = from_token(server, token, ca_pem)
        if self.ledger.sealed.is_forked:
            self._join_again(enrolment)
        else:
            self.effective.join(enrolment)
        self.signals.user_changed()
        return {"operator": asdict(enrolment.operator), "server": enrolment.server}

    def _join_again(self, enrolment: Enrolment) -> None:
        """Give a copy an identity of its own. After a crash it is still a copy: repeat it.

        Raises UserActionError OTHER_AUTHORITY, CHAIN_BROKEN.
        """
        present = self.effective.enrolment()
        if present is not None and present.ca_pem != enrolment.ca_pem:
            raise UserActionError(
                "OTHER_AUTHORITY",
                "This invitation comes from a different operator than the one this device joined.",
                "Ask the same operator for an invitation, or run aegis erase first.",
            )
        self.keys.forget_identity()
        budget, clock = self.effective.budget(), self.clock
        # The other copy may have sent the same bytes: under a second name they would count twice.
        self.ledger.withdraw(clock.now())
        # Nobody has checked this computer's clock: an invitation is stored without a server.
        spent = carried_over(budget.rho_units, clock.now(), clock.uptime(), self.agreed_clock.now())
        try:
            with self.ledger.sealed.carrying_over(asdict(spent)):
                self.effective.join_again(enrolment)
        except BaseException:
            self.effective.reload()
            raise

    async def inspect(self, invitation: str) -> Result:
        """Return what an invitation says, and store nothing."""
        from agent.protocol.invitation import parse_invitation

        parsed = parse_invitation(invitation)
        return {
            "operator": asdict(from_invitation(parsed).operator),
            "server": parsed.server,
            "ca_sha256": parsed.ca_sha256,
        }
