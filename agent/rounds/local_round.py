"""Runs a round in `local` mode: the device adds all the noise itself and needs no group.

The update is sealed, charged, stored and sent, in this order.
"""

from typing import TYPE_CHECKING

from agent.consent.gate import Permit
from agent.rounds.admission import Admission
from agent.rounds.contribution import Contribution, RoundResources
from agent.rounds.outbox import send_stored
from agent.rounds.outcome import CycleResult, Outcome, TrainedUpdate

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig
    from agent.transport.client import AggregatorClient


class LocalRound:
    """Submits a finished update to a round that is open."""

    def __init__(self, resources: RoundResources) -> None:
        self._resources = resources

    async def submit(
        self,
        permit: Permit,
        client: "AggregatorClient",
        config: "RoundConfig",
        update: TrainedUpdate,
        admission: Admission,
    ) -> CycleResult:
        """Seal, charge and send. A round that closes during the sealing costs nothing.

        Raises PeerError ADMISSION_OVER, and what worker, disk and network raise.
        """
        activity = self._resources.activity
        contribution = Contribution(self._resources, permit, client, config, update, admission)
        permit.check()
        activity.send("Sealing and sending the update")
        body = await contribution.seal()
        if self._resources.server_clock.now_or_local() >= config.closes_at:
            return CycleResult(
                Outcome.ROUND_CLOSED,
                "The round has closed. Nothing was charged.",
                round_id=config.round_id,
            )
        if (refused := contribution.refusal()) is not None:
            return refused
        contribution.charge(body, config.closes_at)
        activity.send("Sending the update")
        return await send_stored(
            self._resources.outbox,
            permit,
            client,
            contribution.attempt,
            config.round_id,
            update.rows_used,
        )
