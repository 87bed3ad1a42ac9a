"""What the person, the invitation and the machine's policy say together: the settings that hold,
the notice, what the gate looks at.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.config import machine_policy as machine_policy
from agent.config.definitions import BY_KEY, Value
from agent.config.settings import Settings
from agent.consent import wording
from agent.consent.gate import Facts
from agent.consent.notice import Notice, OperatorFacts
from agent.errors import UserActionError
from agent.paths import Home
from agent.store.values import Values

if TYPE_CHECKING:
    from agent.privacy.budget import Budget
    from agent.protocol.invitation import Invitation

DEFAULT_MODE = "secagg"


@dataclass(frozen=True)
class Enrolment:
    """An invitation that was taken, and what enrolment answered."""

    server: str
    token: str
    """One-time; blanked once the server has answered."""
    ca_pem: str
    signing_key: str
    """Ed25519, hex; "" until registration where it did not come with an invitation."""
    root_sha256: str
    operator: OperatorFacts
    figures: dict[str, int | str] | None
    """mode, epsilon_milli, delta_inverse, period_days, lifetime_epsilon_milli as the invitation
    proposes them."""
    task: dict[str, Any] | None = None
    """The Task as JSON, once registered."""

    @property
    def is_registered(self) -> bool:
        return self.task is not None


class EffectiveConfig:
    """Reads and changes settings, enrolment and policy; everything it returns is a value that does
    not change later.
    """

    def __init__(
        self,
        home: Home,
        values: Values,
        chosen: Values,
        environ: Mapping[str, str],
        policy_file: Path,
    ) -> None:
        self._home = home
        self._values = values
        self._chosen = chosen
        self._do_not_track = environ.get("DO_NOT_TRACK", "") not in ("", "0")
        self._policy_file = policy_file
        self._policy_seen: tuple[object, machine_policy.Policy] | None = None
        self.reload()

    def reload(self) -> None:
        """Read again what the store holds."""
        held = self._values.get("enrolment")
        self._enrolment = (
            None
            if held is None
            else Enrolment(**{**held, "operator": OperatorFacts(**held["operator"])})
        )
        self._choices: dict[str, Value] = {
            key: value for key, value in self._chosen.all().items() if key in BY_KEY
        }

    def policy(self) -> machine_policy.Policy:
        """The machine's policy, read again when its file has changed."""
        try:
            held = self._policy_file.stat()
            stamp: object = (held.st_mtime_ns, held.st_size, held.st_ino)
        except OSError as error:
            stamp = error.errno
        if self._policy_seen is None or self._policy_seen[0] != stamp:
            self._policy_seen = (stamp, machine_policy.load(self._policy_file))
        return self._policy_seen[1]

    def settings(self) -> Settings:
        return Settings(self._choices, self.policy().bounds, _proposed(self._enrolment))

    def set(self, key: str, raw: object) -> None:
        """Change one of the person's settings.

        Raises UserActionError UNKNOWN_SETTING, BAD_VALUE, MANAGED.
        """
        value = self.settings().check_change(key, raw)
        self._chosen.put(key, value)
        self._choices[key] = value

    def enrolment(self) -> Enrolment | None:
        return self._enrolment

    def join(self, enrolment: Enrolment) -> None:
        """Keep an invitation. Raises UserActionError ALREADY_ENROLLED."""
        if self._enrolment is not None and self._enrolment.is_registered:
            raise UserActionError(
                "ALREADY_ENROLLED",
                "This device is enrolled already.",
                "Run aegis erase first to join anew.",
            )
        self._keep(enrolment)

    def registered(self, task: dict[str, Any], signing_key: str) -> None:
        """Note what enrolment answered; the token is forgotten."""
        if self._enrolment is not None:
            self._keep(replace(self._enrolment, token="", task=task, signing_key=signing_key))

    def task(self) -> dict[str, Any] | None:
        """The task as JSON: from enrolment, or from the repository where this device only takes
        models.
        """
        held: dict[str, Any] | None = (
            self._enrolment.task
            if self._enrolment and self._enrolment.task
            else self._values.get("task")
        )
        return held

    def keep_task(self, task: dict[str, Any]) -> None:
        self._values.put("task", task)

    def figures(self) -> wording.Figures:
        """The figures that the notice names: the person's, before policy makes them stricter."""
        wanted = Settings(self._choices, {}, _proposed(self._enrolment))
        mode = (
            str(self._enrolment.figures["mode"])
            if self._enrolment and self._enrolment.figures
            else DEFAULT_MODE
        )
        return wording.Figures(
            mode=mode,
            epsilon_milli=round(wanted.number("budget.epsilon") * 1000),
            delta_inverse=round(1 / wanted.number("budget.delta")),
            period_days=wanted.integer("budget.period_days"),
            lifetime_epsilon_milli=round(wanted.number("budget.lifetime_epsilon") * 1000),
            refresh_months=wanted.integer("consent.refresh_months"),
        )

    def budget(self) -> "Budget":
        """The privacy budget that holds: the person's figures, made stricter by policy."""
        from agent.privacy.budget import Budget

        holds = self.settings()
        return Budget(
            epsilon=holds.number("budget.epsilon"),
            delta=holds.number("budget.delta"),
            period_days=holds.integer("budget.period_days"),
            lifetime_epsilon=holds.number("budget.lifetime_epsilon"),
        )

    def notice(self, locale: str) -> Notice:
        """The notice that is current now."""
        return wording.compose(locale, self._operator(), self.figures())

    def notice_id(self) -> str:
        return wording.notice_id(wording.material_version(), self._operator(), self.figures())

    def gate_facts(self) -> Facts:
        return Facts(
            notice_id=self.notice_id(),
            refresh_months=self.settings().integer("consent.refresh_months"),
            policy_denied=self.policy().denied,
            do_not_track=self._do_not_track,
            demo_home=self._home.is_demo,
            server_host=(urlsplit(self._enrolment.server).hostname or "")
            if self._enrolment
            else "",
        )

    def server_is_here(self) -> bool:
        """Whether the server runs on this computer: then no network is used."""
        host = (urlsplit(self._enrolment.server).hostname or "") if self._enrolment else ""
        return host in ("localhost", "127.0.0.1", "::1")

    def _operator(self) -> OperatorFacts | None:
        return self._enrolment.operator if self._enrolment else None

    def _keep(self, enrolment: Enrolment) -> None:
        self._values.put("enrolment", asdict(enrolment))
        self._enrolment = enrolment


def from_invitation(invitation: "Invitation") -> Enrolment:
    """What is kept of an invitation."""
    asks, figures = invitation.operator, invitation.privacy
    return Enrolment(
        server=invitation.server,
        token=invitation.token,
        ca_pem=invitation.ca_pem,
        signing_key=invitation.signing_key,
        root_sha256=invitation.root_sha256,
        operator=OperatorFacts(
            asks.name, asks.contact, asks.recipients, asks.retention, invitation.server
        ),
        figures={**asdict(figures), "mode": figures.mode.value},
    )


def from_token(server: str, token: str, ca_pem: str) -> Enrolment:
    """An enrolment without an invitation: who asks is known by the server's address only.

    Raises UserActionError BAD_SERVER.
    """
    from agent.protocol.invitation import check_server

    try:
        check_server(server)
        if ca_pem.count("-----BEGIN CERTIFICATE-----") != 1:
            raise ValueError("the CA file must hold exactly one certificate")
        if not 8 <= len(token) <= 256 or not token.isascii() or not token.isprintable():
            raise ValueError("the token must be 8 to 256 printable characters")
    except ValueError as error:
        raise UserActionError(
            "BAD_SERVER",
            f"This server cannot be joined: {error}.",
            "Ask the operator for an invitation.",
        ) from error
    host = urlsplit(server).hostname or server
    operator = OperatorFacts(f"the operator of {host}", f"ask who runs {host}", "", "", server)
    return Enrolment(server, token, ca_pem, "", "", operator, None)


def _proposed(enrolment: Enrolment | None) -> dict[str, Value]:
    """The invitation's figures as settings, within the product's bounds."""
    if enrolment is None or enrolment.figures is None:
        return {}
    figures = enrolment.figures
    return {
        "budget.epsilon": _bounded("budget.epsilon", int(figures["epsilon_milli"]) / 1000),
        "budget.delta": _bounded("budget.delta", 1 / int(figures["delta_inverse"])),
        "budget.period_days": round(_bounded("budget.period_days", int(figures["period_days"]))),
        "budget.lifetime_epsilon": _bounded(
            "budget.lifetime_epsilon", int(figures["lifetime_epsilon_milli"]) / 1000
        ),
    }


def _bounded(key: str, value: float) -> float:
    d = BY_KEY[key]
    return min(max(value, d.minimum or 0.0), d.maximum or value)
