"""Submits finished updates: those stored in the outbox, and a new one in the mode of its task."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.enrolment.client import EnrolmentClient
from agent.errors import InternalError
from agent.reasons import Reason, ReasonCode
from agent.rounds.activity import ActivityTracker
from agent.rounds.admission import Admission
from agent.rounds.join_window import JoinWindow, join_window
from agent.rounds.local_round import LocalRound
from agent.rounds.outbox import Outbox, send_stored
from agent.rounds.outcome import CycleResult, Outcome
from agent.rounds.secagg_round import GroupTrust, SecaggRound
from agent.rounds.update_store import UpdateStore

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig
    from agent.transport.client import AggregatorClient
    from agent.transport.statements import Offer

MIN_READY_POLL_S = 2
"""Shortest pause between the polls of a cycle that waits for its join window to be announced."""


class Submission:
    """Submits an update in the mode of its task, and settles whether it is kept."""

    def __init__(
        self,
        *,
        clock: Clock,
        enrolment_client: EnrolmentClient,
        outbox: Outbox,
        local: LocalRound,
        secagg: SecaggRound,
        updates: UpdateStore,
        activity: ActivityTracker,
        changed: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]],
        draw: Callable[[], float],
    ) -> None:
        """`draw` is uniform in [0, 1): when this device advertises within a join window."""
        self._clock = clock
        self._enrolment_client = enrolment_client
        self._outbox = outbox
        self._local = local
        self._secagg = secagg
        self._updates = updates
        self._activity = activity
        self._changed = changed
        self._sleep = sleep
        self._draw = draw

    @property
    def has_unsent(self) -> bool:
        """Whether something is charged and not acknowledged."""
        return self._outbox.has_unsent

    async def resend(self, permit: Permit, client: "AggregatorClient") -> CycleResult | None:
        """Send again what was charged but not acknowledged.

        Return the last result; None when nothing was waiting.
        """
        result = None
        for entry in self._outbox.waiting():
            result = await send_stored(self._outbox, permit, client, entry.attempt, entry.round_id)
            self._changed()
            self._updates.settle(result)
        return result

    async def submit(
        self,
        permit: Permit,
        client: "AggregatorClient",
        offer: "Offer",
        config: "RoundConfig | None",
        admission: Admission,
        poll_until: float,
    ) -> CycleResult | None:
        """Submit the finished update. None: no join window is announced yet, so poll again.

        `poll_until` (monotonic seconds) ends the polling; then the result is READY.
        """
        from agent.protocol.messages import Mode

        update, now = self._updates.current, self._clock.monotonic()
        if update is None:
            raise InternalError("NOTHING_TRAINED", "Training left nothing behind.")
        is_local = config is not None and config.mode is Mode.LOCAL
        window = (
            None
            if config is None
            else join_window(offer.join_opens, offer.join_closes, offer.time, self._draw())
        )
        if window is None and not is_local and now < poll_until:
            self._activity.finish()
            await self._sleep(max(MIN_READY_POLL_S, min(offer.next_poll_s, poll_until - now)))
            return None
        result = None
        try:
            if config is not None and is_local:
                result = await self._local.submit(permit, client, config, update, admission)
            elif config is not None and window is not None and window.is_near:
                enrolment = self._enrolment_client
                trust = GroupTrust(
                    enrolment.ca_pem,
                    enrolment.revoked(offer.crl_pem, offer.time),
                    partial(enrolment.group_auditor.check, permit, client),
                )
                result = await self._secagg.submit(
                    permit, client, config, update, admission, window, trust
                )
            else:
                return self._ready(window)
        finally:
            self._changed()
            self._updates.settle(result)
        return result

    def _takes_part_from(self) -> int | None:
        return self._enrolment_client.group_auditor.takes_part_from()

    def _ready(self, window: JoinWindow | None) -> CycleResult:
        """A finished update whose join window is later or not yet announced."""
        if window is None and (start := self._takes_part_from()) is not None:
            text, until = (
                "Rounds of this task are for devices that were enrolled longer ago.",
                start,
            )
        elif window is None:
            text, until = "The update is ready; the server will say when its group forms.", None
        else:
            text = "The update is ready and waits for its group to form."
            until = self._clock.now() + int(window.wait_s)
        return CycleResult(Outcome.READY, text, (Reason(ReasonCode.NO_ROUND, text, until=until),))
