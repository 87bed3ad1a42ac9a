"""Refuses a round that the privacy budget (P5) or this device's own caps (P4) cannot pay for.

1. The device asks before training, before joining and before the charge. A server cannot loosen the
   caps, and one that lies about rounds and models cannot spend the budget faster than they allow.
2. Each refusal has a reason code of its own and says when it ends by itself, within a day. Only a
   spent budget lasts longer, and only a model that has had its share waits for the person.
3. A model is new only if it has other weights and a higher version than any that was charged for.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.clock import Clock, Uptime
from agent.config.effective import EffectiveConfig
from agent.errors import UserActionError
from agent.reasons import Reason, ReasonCode
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.last_offer import Asked, LastOffer
from agent.rounds.outcome import CycleResult, Outcome, capped, waiting
from agent.status import epsilon_in_words
from agent.store.ledger import UNKNOWN, Charge, Ledger
from agent.store.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.privacy.budget import Budget, Refused, SpendingCaps, Spent
    from agent.privacy.policy import DeviceLimits
    from agent.protocol.messages import RoundConfig

DAY_S = 24 * 3600
MAX_CHARGES_PER_DAY = 48
"""A server offers a round every 30 minutes."""
FIRST_LOOK = "first_look"
"""Key in the store: the present start of the computer, and when it began."""
_FIRST_LOOK_SHAPE = {"start": str, "at": int}
GO_ON = "model_allowed"
"""Key in the store: task and version of the model that the person let go on, and how many times."""
_GO_ON_SHAPE = {"task_id": str, "model_version": int, "times": int}


@dataclass(frozen=True)
class _Round:
    """A round to pay for: on which model, and at what price."""

    task_id: str
    model_version: int
    model_digest: str
    price: int
    asked_at: int
    """When the server asked this price for the first time."""


class BudgetGate:
    """Decides from the ledger and the settings, which it reads afresh each time."""

    def __init__(
        self,
        clock: Clock,
        effective: EffectiveConfig,
        ledger: Ledger,
        values: Values,
        limits: "Callable[[], DeviceLimits]",
    ) -> None:
        self._clock = clock
        self._effective = effective
        self._ledger = ledger
        self._values = values
        self._limits = limits
        self._last_offer = LastOffer(values)
        self._agreed_clock = AgreedClock(clock, values)

    def refusal(
        self, task_id: str, model_version: int, model_digest: str, config: "RoundConfig | None"
    ) -> CycleResult | None:
        """Return why this device may not pay for a round on this model, or None.

        `config` is None while no round is announced; the price is then assumed to be that of the
        last round offered in this task. Raises UserActionError CHAIN_BROKEN.
        """
        from agent.privacy.zcdp import rho_units

        self._note_first_look()
        charges, price = self._ledger.charges(), None if config is None else rho_units(config)
        asked = Asked(task_id, model_version, model_digest, price, self._clock.now())
        self._last_offer.note(asked, DAY_S)
        refused = self._over_budget(charges, self._last_round(charges, task_id, price))
        refused = refused or self._over_caps(charges)
        if refused is None or config is None:
            return refused
        return replace(refused, round_id=config.round_id)

    def spent(self, task_id: str) -> CycleResult | None:
        """Return why another round like this task's last one cannot be paid now, or None.

        Raises UserActionError CHAIN_BROKEN.
        """
        charges = self._ledger.charges()
        return self._over_budget(charges, self._last_round(charges, task_id))

    def allows_another(self, model_version: int, model_digest: str) -> bool:
        """Whether an update of this model may be sealed once more, today or later, without the
        person's permission.
        """
        from agent.privacy.budget import Limit

        charges, task_id = self._ledger.charges(), self._task_id()
        last = self._last_round(charges, task_id)
        refused = self._refused(
            charges, replace(last, model_version=model_version, model_digest=model_digest)
        )
        return refused is None or refused.limit is Limit.DAY

    def go_on(self) -> None:
        """Give the model that has had its share one more: the person said so.

        Raises UserActionError NOT_ASKED when this device does not wait for that.
        """
        charges = self._ledger.charges()
        last = self._last_round(charges, self._task_id())
        refused = self._over_budget(charges, last)
        if refused is None or refused.reasons[0].code is not ReasonCode.MODEL_SPENT:
            raise UserActionError(
                "NOT_ASKED",
                "No model waits for your permission to go on.",
                "aegis status says what AegisAI waits for.",
            )
        times = self._times_allowed(last) + 1
        self._values.put(
            GO_ON, {"task_id": last.task_id, "model_version": last.model_version, "times": times}
        )

    def dated(self, charges: list[Charge]) -> list[int]:
        """Return when each charge was made by this computer's present clock: now less its age."""
        from agent.privacy.budget import Moment, age_s

        now = Moment(self._clock.now(), self._clock.uptime())
        looked = self._values.get(FIRST_LOOK, _FIRST_LOOK_SHAPE) or {}
        started_at = looked["at"] if looked.get("start") == now.uptime.start else None
        moments = [Moment(one.at, Uptime(one.start, one.uptime_s)) for one in charges]
        return [now.at - age_s(moment, now, started_at) for moment in moments]

    def in_period_from(self, charges: list[Charge]) -> list[int]:
        """Return when the period of each charge began: this computer's clock and the server's
        signed time must both say that it is over.
        """
        dates = zip(self.dated(charges), self._agreed_dates(charges), strict=True)
        return [max(each) for each in dates]

    def _agreed_dates(self, charges: list[Charge]) -> list[int]:
        now, agreed = self._clock.now(), self._agreed_clock
        stamps = [None if one.agreed_s == UNKNOWN else one.agreed_s for one in charges]
        return [
            now - agreed.age_s(stamp, charge.at)
            for stamp, charge in zip(stamps, charges, strict=True)
        ]

    def _note_first_look(self) -> None:
        """Remember when this start of the computer began, by the clock of its first offer.

        An offer comes over TLS, which a clock that is far off does not accept.
        """
        uptime = self._clock.uptime()
        looked = self._values.get(FIRST_LOOK, _FIRST_LOOK_SHAPE) or {}
        if looked.get("start") != uptime.start:
            at = self._clock.now() - uptime.seconds
            self._values.put(FIRST_LOOK, {"start": uptime.start, "at": at})

    def _last_round(self, charges: list[Charge], task_id: str, price: int | None = None) -> _Round:
        """Return a round like the last one offered, at `price` where that is known.

        A price that no round may have counts for a day only. After that it is unknown: the server
        may have lowered it, and announces no round to a device that does not want one.
        """
        asked, now = self._last_offer.of(task_id) or Asked(task_id), self._clock.now()
        most = _most_a_round(self._effective.budget(), self._limits().spending)
        paid = next((one for one in reversed(charges) if one.task_id == task_id), None)
        if price is None and asked.rho_units is not None:
            is_recent = 0 <= now - asked.at < DAY_S
            price = asked.rho_units if asked.rho_units <= most or is_recent else None
        if price is None:
            price = max(1, min(most, paid.rho_units)) if paid else 1
        return _Round(
            task_id,
            asked.model_version or (paid.model_version if paid else 0),
            asked.model_digest or (paid.model_digest if paid else ""),
            price,
            asked.at,
        )

    def _task_id(self) -> str:
        task = self._effective.task()
        return "" if task is None else str(task["task_id"])

    def _times_allowed(self, asked: _Round) -> int:
        """Return how many times the person let this model go on."""
        allowed = self._values.get(GO_ON, _GO_ON_SHAPE) or {}
        model = (allowed.get("task_id"), allowed.get("model_version"))
        return allowed["times"] if model == (asked.task_id, asked.model_version) else 0

    def _refused(self, charges: list[Charge], asked: _Round) -> "Refused | None":
        from agent.privacy.budget import Refused, decide

        answer = decide(
            self._effective.budget(),
            self._limits().spending,
            self._history(charges, asked),
            self._clock.now(),
            asked.price,
            models_allowed=1 + self._times_allowed(asked),
        )
        return answer if isinstance(answer, Refused) else None

    def _history(self, charges: list[Charge], asked: _Round) -> "list[Spent]":
        from agent.privacy.budget import Spent

        return [
            Spent(
                at,
                charge.rho_units,
                charge.task_id == asked.task_id
                and (
                    charge.model_version >= asked.model_version
                    or charge.model_digest == asked.model_digest
                ),
                agreed_at,
            )
            for at, agreed_at, charge in zip(
                self.dated(charges), self._agreed_dates(charges), charges, strict=True
            )
        ]

    def _over_budget(self, charges: list[Charge], asked: _Round) -> CycleResult | None:
        refused = self._refused(charges, asked)
        if refused is None:
            return None
        return _explained(refused, asked, self._effective.budget(), self._limits().spending)

    def _over_caps(self, charges: list[Charge]) -> CycleResult | None:
        """Return which cap on the rounds or bytes of a day is reached."""
        now = self._clock.now()
        today = [
            (at, charge.body_bytes)
            for at, charge in zip(self.dated(charges), charges, strict=True)
            if at > now - DAY_S
        ]
        if len(today) >= MAX_CHARGES_PER_DAY:
            return capped(
                "This device has taken part in the most rounds it may in a day.",
                today[-MAX_CHARGES_PER_DAY][0] + DAY_S,
            )
        limit = self._effective.settings().integer("network.bytes_per_day")
        if self._ledger.bytes_since(now - DAY_S) >= limit:
            return capped(
                "Today's upload limit is reached.",
                _below(limit, today, now),
                "network.bytes_per_day",
            )
        return None


def _explained(
    refused: "Refused", asked: _Round, budget: "Budget", caps: "SpendingCaps"
) -> CycleResult:
    """Say in words why a round is not paid for."""
    from agent.privacy.budget import Limit
    from agent.privacy.zcdp import epsilon

    until = refused.may_take_part_at
    match refused.limit:
        case Limit.PERIOD:
            text = "The privacy budget is used up."
            reason = Reason(ReasonCode.BUDGET_SPENT, text, until=until)
            return CycleResult(Outcome.BUDGET_SPENT, text, (reason,), may_take_part_at=until)
        case Limit.DAY:
            text = "This device has given all that it gives in a day."
            reason = Reason(ReasonCode.DAY_SPENT, text, until=until)
        case Limit.MODEL:
            text = (
                f"One model has had 1/{caps.model_parts} of this device's privacy budget, and no"
                " newer one has come. It gets no more unless you allow it."
            )
            reason = Reason(ReasonCode.MODEL_SPENT, text)
        case Limit.ROUND:
            most = epsilon(_most_a_round(budget, caps), budget.delta)
            text = (
                f"The server asks for ε {epsilon_in_words(epsilon(asked.price, budget.delta))} in"
                f" one round; this device gives at most ε {epsilon_in_words(most)}."
            )
            until = asked.asked_at + DAY_S
            reason = Reason(ReasonCode.ROUND_TOO_EXPENSIVE, text, until=until)
    return replace(waiting((reason,)), may_take_part_at=until)


def _most_a_round(budget: "Budget", caps: "SpendingCaps") -> int:
    return budget.rho_units // caps.round_parts


def _below(limit: int, today: list[tuple[int, int]], now: int) -> int:
    """Return when so many of today's bytes are a day old that the rest is below `limit`."""
    left = sum(size for _, size in today)
    for at, size in today:
        left -= size
        if left < limit:
            return at + DAY_S
    return now + DAY_S
