"""What the operator decides about the server, its task and its rounds. Pure values."""

from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from typing import Any

from agent.detector.schema import SCHEMA
from agent.errors import OperatorActionError
from agent.privacy.policy import MAX_PHASE_S
from agent.protocol.invitation import Operator, check_server
from agent.protocol.limits import MAX_DIMENSION, MAX_GROUP
from agent.protocol.messages import Mode, Task
from agent.protocol.witness import AUTHORITY
from server_stub.config.host_names import general_name
from server_stub.config.limits import DevicePortLimits
from server_stub.rounds.lifecycle import RoundPlan, check_price

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerSettings:
    """The content of `server.json`. Unknown fields are errors."""

    operator: Operator
    task: Task
    rounds: RoundPlan = field(default_factory=RoundPlan)
    hosts: tuple[str, ...] = ()
    """Names and addresses of this server, besides the loopback ones."""
    url: str = ""
    """Where devices reach the server, for invitations. Empty: where it last ran."""
    host: str = "127.0.0.1"
    port: int = 8443
    operator_port: int = 8444
    next_poll_s: int = 1800
    """How often devices ask for offers."""
    period_days: int = 365
    lifetime_epsilon_milli: int = 3000
    limits: DevicePortLimits = field(default_factory=DevicePortLimits)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "task": self.task.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ServerSettings":
        """Read settings. Raises TypeError, ValueError, KeyError, or PeerError for a bad task."""
        known = {one.name for one in fields(cls)}
        if set(value) - known:
            raise ValueError(f"unknown settings: {', '.join(sorted(set(value) - known))}")
        settings = cls(
            **{
                **value,
                "operator": Operator(**value["operator"]),
                "task": Task.from_json(value["task"]),
                "rounds": RoundPlan(**value["rounds"]),
                "hosts": tuple(value["hosts"]),
                "limits": DevicePortLimits.from_json(value.get("limits", {})),
            }
        )
        settings.check()
        return settings

    def check(self) -> None:
        """Raise ValueError for a setting that is out of range."""
        for name, number, low, high in self._ranges():
            if type(number) is not int or not low <= number <= high:
                raise ValueError(f"{name}: expected {low} to {high}, got {number}")
        if type(self.rounds.fast_spending) is not bool:
            raise ValueError("fast_spending: expected true or false")
        for text in (*astuple(self.operator), *self.hosts):
            if type(text) is not str:
                raise ValueError(f"expected text, got {text!r:.80}")
            text.encode()  # Raises UnicodeEncodeError for text that is not valid Unicode.
        for host in self.hosts:
            general_name(host)
        if self.url:
            check_server(self.url)

    def _ranges(self) -> Iterator[tuple[str, int, int, int]]:
        """Each number with its name and its bounds."""
        plan = self.rounds
        yield "target", plan.target, 1, 1_000_000
        yield "seconds", plan.seconds, 1, 7 * 24 * 3600
        yield "minimum", plan.minimum, 1, 1_000_000
        yield "planned", plan.planned, 1, 100_000
        yield "epsilon_milli", plan.epsilon_milli, 1, 1_000_000
        yield "delta_inverse", plan.delta_inverse, 1000, 10**15
        yield "pause_s", plan.pause_s, 0, 30 * 24 * 3600
        yield "server_rate_milli", plan.server_rate_milli, 1, 100_000
        yield "g_max", plan.g_max, 2, MAX_GROUP
        yield "min_group", plan.min_group, 2, plan.g_max
        yield "min_sum", plan.min_sum, 2, plan.min_group
        yield "gamma_milli", plan.gamma_milli, 0, 500
        yield "phase_s", plan.phase_s, 1, MAX_PHASE_S
        yield "join_s", plan.join_s, 1, 15 * 60
        yield "lead_s", plan.lead_s, 0, 24 * 3600
        yield "ready_target", plan.ready_target, 0, 1_000_000
        yield "server_decay_milli", plan.server_decay_milli, 0, 2000
        yield "server_shrink_milli", plan.server_shrink_milli, 1, 1000
        yield "coordinates", plan.coordinates, 0, MAX_DIMENSION
        yield "port", self.port, 0, 65535
        yield "operator_port", self.operator_port, 0, 65535
        yield "next_poll_s", self.next_poll_s, 1, 7 * 24 * 3600
        yield "period_days", self.period_days, 1, 36_500
        yield "lifetime_epsilon_milli", self.lifetime_epsilon_milli, plan.epsilon_milli, 1_000_000


def default_task(mode: Mode = Mode.SECAGG) -> Task:
    """The task that a new server gets unless the operator decides otherwise."""
    return Task(
        task_id="malware-pe",
        schema=SCHEMA,
        model="logistic",
        d=116,
        mode=mode,
        train_steps=20,
        train_rate_milli=500,
        clip_milli=1000,
        min_rows=20,
        witness=AUTHORITY if mode is Mode.SECAGG else "",
    )


def min_group_settings(size: int) -> dict[str, int]:
    """The settings that allow groups of `size` devices.

    Groups smaller than the product's minimum are for tests only: a device refuses them unless it
    is set up for tests.
    """
    plan = RoundPlan()
    if size >= plan.min_group:
        return {"min_group": size}
    return {
        "min_group": size,
        "min_sum": max(2, -(-size * plan.min_sum // plan.min_group)),
        "gamma_milli": 0,
    }


def override(settings: ServerSettings, **options: Any) -> ServerSettings:
    """Return `settings` with the given options replaced; None leaves a setting alone.

    Raises OperatorActionError BAD_SETTING, PRICE_TOO_HIGH.
    """
    given = {name: value for name, value in options.items() if value is not None}
    of_plan = {one.name for one in fields(RoundPlan)} & given.keys()
    plan = replace(settings.rounds, **{name: given.pop(name) for name in of_plan})
    result = replace(settings, **given, rounds=plan)
    try:
        result.check()
    except ValueError as error:
        raise bad_setting(error) from error
    check_price(result.rounds)
    return result


def bad_setting(error: Exception, remedy: str = "Correct the option.") -> OperatorActionError:
    """The error for a setting that is out of range."""
    return OperatorActionError("BAD_SETTING", f"A setting is not valid: {error}.", remedy)
