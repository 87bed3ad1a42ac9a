"""Runs the steps of one cycle, from a person's consent to an acknowledged update.

Every step checks the permit again; only the outbox sends.

1. Gate, then policy: without a live permit nothing below is even imported.
2. Identity and ledger: opened. The first cycle after the consent makes and registers the identity
   (the first connection ever).
3. Outbox: what was charged but not acknowledged is sent again, byte for byte, while its round is
   open (P4, P10).
4. Offer: signed, for the task of the enrolment, within this device's own bounds, not paid for
   before, within the budget.
5. Model: the one that the round names, verified before use (P8).
6. Training in the worker. The clipped update stays encrypted in scratch (its key:
   agent.rounds.checkpoint).
7. Submission. The update is reported as ready, with the ledger's head (agent.rounds.offer_poll).
   Then `local` (agent.rounds.local_round) seals and sends at once; `secagg`
   (agent.rounds.secagg_round) joins a group and seals once the group is complete. Each charge is
   durable before its bytes leave. The trained update is deleted once it can no longer be used.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.consent.gate import Gate, Permit
from agent.enrolment.client import EnrolmentClient
from agent.errors import AegisError, UserActionError
from agent.files.disk_errors import explained
from agent.reasons import Reason, ReasonCode
from agent.rounds.activity import ActivityTracker
from agent.rounds.admission import Admission
from agent.rounds.offer_check import OfferCheck
from agent.rounds.offer_poll import OfferPoll
from agent.rounds.outcome import CycleResult, waiting
from agent.rounds.restrictions import Restrictions
from agent.rounds.submission import Submission
from agent.rounds.trainer import Trainer
from agent.rounds.update_store import UpdateStore
from agent.transport.responses import ExcludedError, ReservedError

if TYPE_CHECKING:
    from agent.protocol.messages import Task
    from agent.transport.client import AggregatorClient
    from agent.transport.statements import Offer


class CycleSteps:
    """Runs the numbered steps, once for each call of `run`."""

    def __init__(
        self,
        *,
        gate: Gate,
        clock: Clock,
        enrolment_client: EnrolmentClient,
        offer_check: OfferCheck,
        trainer: Trainer,
        updates: UpdateStore,
        submission: Submission,
        restrictions: Restrictions,
        activity: ActivityTracker,
        offer_poll: OfferPoll,
    ) -> None:
        self._gate = gate
        self._clock = clock
        self._enrolment_client = enrolment_client
        self._offer_check = offer_check
        self._trainer = trainer
        self._updates = updates
        self._submission = submission
        self._restrictions = restrictions
        self._activity = activity
        self._offer_poll = offer_poll
        self._client: AggregatorClient | None = None

    async def run(self, *, hold_s: int | None, override: bool, group_wait_s: int) -> CycleResult:
        """Run one cycle; the parameters are those of `RoundRunner.run`."""
        self._restrictions.is_overridden = override
        permit = self._gate.permit()  # 1.
        self._enrolment_client.check_joined()
        if reasons := self._restrictions.on_sending():
            return waiting(reasons)
        try:
            self._client = client = await self._enrolment_client.connect(permit)  # 2.
            if self._submission.has_unsent and not self._enrolment_client.knows_time:
                await self._offer(client)  # 3. Is their round still open?
            await self._offer_poll.open_ledger(permit)
            resent = await self._submission.resend(permit, client)
            if resent is not None:
                return resent
            return await self._contribute(permit, client, hold_s, group_wait_s)
        except AegisError as error:
            raise await self._enrolment_client.explained(error) from error
        except OSError as error:
            raise explained(error) from error
        finally:
            self.disconnect()
            self._offer_poll.close_ledger()
            self._activity.finish()

    def disconnect(self) -> None:
        """Close the connection of the cycle under way: nothing more leaves over it."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _contribute(
        self, permit: Permit, client: "AggregatorClient", hold_s: int | None, group_wait_s: int
    ) -> CycleResult:
        """Run steps 4 to 7.

        It polls at least twice for a new update: first to learn the model, then to report the
        update for it as ready.
        """
        task = self._enrolment_client.task
        has_trained, bytes_down = False, 0
        poll_until = self._clock.monotonic() + group_wait_s
        while True:
            permit.check()
            try:
                offer, admission = await self._poll(client, hold_s)  # 4.
            except ExcludedError as error:
                return waiting((Reason(ReasonCode.EXCLUDED, error.message, until=error.until),))
            except ReservedError as error:
                return _backed_off(error.message, self._clock.now() + error.retry_after_s)
            config = self._offer_check.accepted_round(offer, task)
            result = self._offer_check.refusal(offer, config, task)
            if result is None and not self._updates.fits(offer.model_version, offer.model_digest):
                if has_trained:
                    result = _backed_off("The model changed while this device was training on it.")
                else:
                    result, fetched = await self._train(permit, client, offer, task)  # 5. and 6.
                    has_trained, admission, bytes_down = True, None, bytes_down + fetched
            if result is None and (reasons := self._not_yet(hold_s)):
                result = waiting(reasons)
            if result is None and admission is not None:
                result = await self._submission.submit(
                    permit, client, offer, config, admission, poll_until
                )
            if result is not None:
                return replace(
                    result, bytes_down=result.bytes_down + bytes_down, next_poll_s=offer.next_poll_s
                )

    async def _poll(
        self, client: "AggregatorClient", hold_s: int | None
    ) -> "tuple[Offer, Admission | None]":
        """4. Fetch the server's offer; report the finished update, if it may be used."""
        update = self._updates.current
        if update is None or self._updates.hold_reason(hold_s) is not None:
            return await self._offer(client), None
        offer, admission = await self._offer_poll.ready(client, update.model_version)
        self._enrolment_client.note_time(offer.time)
        return offer, admission

    async def _offer(self, client: "AggregatorClient") -> "Offer":
        offer = await self._offer_poll.offer(client)
        self._enrolment_client.note_time(offer.time)
        return offer

    async def _train(
        self, permit: Permit, client: "AggregatorClient", offer: "Offer", task: "Task"
    ) -> tuple[CycleResult | None, int]:
        """5. and 6. Return what ends the cycle, if anything, and the bytes of a fetched model.

        An interrupted training ends the cycle without an error.
        """
        if reasons := self._restrictions.on_training():
            return waiting(reasons), 0
        model, fetched = await self._enrolment_client.model(permit, client, offer, task)
        # The server would see the connection end with the training.
        client.close(for_good=False)
        try:
            await self._trainer.train(permit, task, model)
        except UserActionError as error:
            if error.code not in ("TRAINING_INTERRUPTED", "TRAINING_ELSEWHERE"):
                raise
            reasons = self._restrictions.on_training()
            return (waiting(reasons) if reasons else _backed_off(error.message)), fetched
        return None, fetched

    def _not_yet(self, hold_s: int | None) -> tuple[Reason, ...]:
        """Return why the finished update is not submitted now."""
        hold = self._updates.hold_reason(hold_s)
        return (hold,) if hold is not None else self._restrictions.on_sending()


def _backed_off(text: str, until: int | None = None) -> CycleResult:
    return waiting((Reason(ReasonCode.BACKOFF, text, until=until),))
