"""What person, invitation and machine policy say together: the settings, notice and budget that
hold.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.config import machine_policy
from agent.config.definitions import BY_KEY, Value
from agent.config.machine_policy import PolicyLine
from agent.config.policy_file import PolicyPlace
from agent.config.policy_source import PolicySource
from agent.config.settings import Settings, parse, strictest
from agent.consent import wording
from agent.consent.gate import LOOPBACK_HOSTS, Facts
from agent.consent.notice import Notice, OperatorFacts
from agent.errors import UserActionError
from agent.paths import Home
from agent.status import rounded_up
from agent.store.database import damaged
from agent.store.shapes import conforms, record
from agent.store.values import Values

if TYPE_CHECKING:
    from agent.privacy.budget import Budget
    from agent.protocol.invitation import Invitation

DEFAULT_MODE = "secagg"
_FIGURES = {
    "mode": str,
    "epsilon_milli": int,
    "delta_inverse": int,
    "period_days": int,
    "lifetime_epsilon_milli": int,
}


@dataclass(frozen=True)
class Enrolment:
    """A stored invitation, and what the server answered at registration."""

    server: str
    token: str
    """One-time; empty once the device has registered."""
    ca_pem: str
    signing_key: str
    """Ed25519, hex; "" until registration where the invitation did not name it."""
    root_sha256: str
    operator: OperatorFacts
    figures: dict[str, int | str] | None
    """mode, epsilon_milli, delta_inverse, period_days and lifetime_epsilon_milli, as the invitation
    proposes them."""
    task: dict[str, Any] | None = None
    """The Task as JSON, once registered."""

    @property
    def is_registered(self) -> bool:
        return self.task is not None


class EffectiveConfig:
    """Reads and changes settings and enrolment, and reads the policy.

    Everything that it returns is a value that does not change later.
    """

    def __init__(
        self,
        home: Home,
        values: Values,
        chosen: Values,
        environ: Mapping[str, str],
        policy_place: PolicyPlace | None = None,
    ) -> None:
        """`policy_place` replaces the machine's, in tests and for simulated devices."""
        self._home = home
        self._values = values
        self._chosen = chosen
        self._do_not_track = environ.get("DO_NOT_TRACK", "") not in ("", "0")
        self._policy = PolicySource(home, environ, self._server_host, policy_place)
        self.reload()

    def reload(self) -> None:
        """Read the stored settings and enrolment again."""
        stored = self._values.get("enrolment", {"operator": {}})
        self._enrolment = None if stored is None else _enrolment(stored)
        self._choices: dict[str, Value] = {}
        unreadable = []
        for key, stored in self._chosen.all().items():
            if key in BY_KEY:
                try:
                    self._choices[key] = parse(key, stored)
                except UserActionError:
                    self._choices[key] = strictest(key)
                    unreadable.append(key)
        self.unreadable_settings = tuple(unreadable)
        """Settings whose stored value has no meaning: the strictest one holds instead."""

    def policy(self) -> machine_policy.Policy:
        """Return the policy as it is now."""
        return self._policy.current()

    def policy_lines(self, policy: machine_policy.Policy | None = None) -> tuple[PolicyLine, ...]:
        """Return what becomes of each line of `policy`, the machine's if it is None."""
        policy = policy or self.policy()
        return machine_policy.weighed(
            policy.lines, Settings(self._choices, policy.bounds, _proposed(self._enrolment))
        )

    def settings(self) -> Settings:
        """Return the settings that hold now."""
        return Settings(self._choices, self.policy().bounds, _proposed(self._enrolment))

    def set(self, key: str, raw: object) -> None:
        """Change one of the person's settings.

        Raises UserActionError UNKNOWN_SETTING, BAD_VALUE, MANAGED.
        """
        value = self.settings().check_change(key, raw)
        self._chosen.put(key, value)
        self._choices[key] = value
        self.unreadable_settings = tuple(k for k in self.unreadable_settings if k != key)

    def enrolment(self) -> Enrolment | None:
        """Return the stored enrolment, None without one."""
        return self._enrolment

    def join(self, enrolment: Enrolment) -> None:
        """Store an enrolment. Raises UserActionError ALREADY_ENROLLED."""
        if self._enrolment is not None and self._enrolment.is_registered:
            raise UserActionError(
                "ALREADY_ENROLLED",
                "This device is already enrolled.",
                "Run aegis erase first to join again.",
            )
        self._keep(enrolment)

    def join_again(self, enrolment: Enrolment) -> None:
        """Store an enrolment in place of the present one, inside the caller's transaction.

        Call `reload` when that fails.
        """
        self._values.put_within("enrolment", asdict(enrolment))
        self._enrolment = enrolment

    def registered(self, task: dict[str, Any], signing_key: str) -> None:
        """Store what the server answered at registration, and forget the token."""
        if self._enrolment is not None:
            self._keep(replace(self._enrolment, token="", task=task, signing_key=signing_key))

    def task(self) -> dict[str, Any] | None:
        """Return the task as JSON: from the enrolment, or from the model repository where this
        device only fetches models.
        """
        task: dict[str, Any] | None = (
            self._enrolment.task
            if self._enrolment and self._enrolment.task
            else self._values.get("task", {})
        )
        return task

    def keep_task(self, task: dict[str, Any]) -> None:
        """Store the task that the model repository names."""
        self._values.put("task", task)

    def figures(self) -> wording.Figures:
        """Return the figures in the notice: the person's own, before policy makes them stricter."""
        wanted = Settings(self._choices, {}, _proposed(self._enrolment))
        mode = (
            str(self._enrolment.figures["mode"])
            if self._enrolment and self._enrolment.figures
            else DEFAULT_MODE
        )
        return wording.Figures(
            mode=mode,
            epsilon_milli=_thousandths(wanted.number("budget.epsilon")),
            # Rounded down, which rounds δ up; but 1/0.00001 is a little less than 100,000.
            delta_inverse=int(1 / wanted.number("budget.delta") + 1e-6),
            period_days=wanted.integer("budget.period_days"),
            lifetime_epsilon_milli=_thousandths(wanted.number("budget.lifetime_epsilon")),
            refresh_months=wanted.integer("consent.refresh_months"),
        )

    def budget(self) -> "Budget":
        """Return the budget that holds: the person's figures, made stricter by policy."""
        from agent.privacy.budget import Budget

        settings = self.settings()
        return Budget(
            epsilon=settings.number("budget.epsilon"),
            delta=settings.number("budget.delta"),
            period_days=settings.integer("budget.period_days"),
            lifetime_epsilon=settings.number("budget.lifetime_epsilon"),
        )

    def notice(self, locale: str) -> Notice:
        """Return the current notice."""
        return wording.compose(locale, _operator(self._enrolment), self.figures())

    def notice_id(self) -> str:
        """Return the id of the current notice, without composing its text."""
        return wording.notice_id(
            wording.material_version(), _operator(self._enrolment), self.figures()
        )

    def gate_facts(self) -> Facts:
        """Return what the consent gate reads besides the record."""
        policy = self.policy()
        return Facts(
            notice_id=self.notice_id(),
            refresh_months=self.settings().integer("consent.refresh_months"),
            policy_denied=policy.denied,
            policy_remedy=policy.remedy,
            do_not_track=self._do_not_track,
            demo_home=self._home.is_demo,
            server_host=self._server_host(),
        )

    def server_is_here(self) -> bool:
        """Whether the server runs on this computer, so that sending uses no network."""
        return self._server_host() in LOOPBACK_HOSTS

    def _server_host(self) -> str:
        return (urlsplit(self._enrolment.server).hostname or "") if self._enrolment else ""

    def _keep(self, enrolment: Enrolment) -> None:
        self._values.put("enrolment", asdict(enrolment))
        self._enrolment = enrolment


def from_invitation(invitation: "Invitation") -> Enrolment:
    """Return the enrolment that an invitation leads to."""
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
    """Return an enrolment without an invitation: only the server's address says who asks.

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
            f"AegisAI cannot join this server: {error}.",
            "Ask the operator for an invitation.",
        ) from error
    host = urlsplit(server).hostname or server
    operator = OperatorFacts(f"the operator of {host}", f"ask who runs {host}", "", "", server)
    return Enrolment(server, token, ca_pem, "", "", operator, None)


def _operator(enrolment: Enrolment | None) -> OperatorFacts | None:
    return enrolment.operator if enrolment else None


def _enrolment(stored: dict[str, Any]) -> Enrolment:
    """Read a stored enrolment. Raises UserActionError STORE_DAMAGED."""
    operator = record(OperatorFacts, stored["operator"], "operator")
    enrolment = record(Enrolment, {**stored, "operator": operator}, "enrolment")
    if not conforms(enrolment.figures, (_FIGURES, type(None))) or not conforms(
        enrolment.task, ({}, type(None))
    ):
        raise damaged("enrolment")
    return enrolment


def _proposed(enrolment: Enrolment | None) -> dict[str, Value]:
    """Return the invitation's figures as settings, within the product's bounds."""
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


def _thousandths(figure: float) -> int:
    """Rounded up: the notice names no less than what the budget allows."""
    return round(rounded_up(figure, 3) * 1000)


def _bounded(key: str, value: float) -> float:
    d = BY_KEY[key]
    return min(max(value, d.minimum or 0.0), d.maximum or value)
