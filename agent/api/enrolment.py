"""Methods that join an operator."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from agent.api.methods import Method, Result
from agent.config.effective import EffectiveConfig, from_invitation, from_token
from agent.errors import UserActionError
from agent.rounds.signals import Signals


@dataclass(frozen=True)
class EnrolmentMethods:
    """Stores an invitation; the server is contacted only once consent is granted."""

    effective: EffectiveConfig
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
        self.effective.join(enrolment)
        self.signals.user_changed()
        return {"operator": asdict(enrolment.operator), "server": enrolment.server}

    async def inspect(self, invitation: str) -> Result:
        """Return what an invitation says, and store nothing."""
        from agent.protocol.invitation import parse_invitation

        parsed = parse_invitation(invitation)
        return {
            "operator": asdict(from_invitation(parsed).operator),
            "server": parsed.server,
            "ca_sha256": parsed.ca_sha256,
        }
