"""A round in `local` mode: the update is sealed with all its noise, charged, stored and sent; there
are no peers.
"""

import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.errors import PeerError
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.outbox import FINAL, Outbox, check_sealed
from agent.rounds.outcome import CycleResult, Outcome, Trained

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig
    from agent.supervisor.worker import Worker
    from agent.transport.client import AggregatorClient


class LocalRound:
    """Gives a finished update to a round that is open."""

    def __init__(
        self,
        clock: Clock,
        budget_gate: BudgetGate,
        outbox: Outbox,
        worker: "Callable[[], Worker]",
        doing: Callable[[str, str], None],
    ) -> None:
        """`doing` takes kind and sentence of the activity."""
        self._clock = clock
        self._budget_gate = budget_gate
        self._outbox = outbox
        self._worker = worker
        self._doing = doing

    async def give(
        self, permit: Permit, client: "AggregatorClient", config: "RoundConfig", trained: Trained
    ) -> CycleResult:
        """Seal, charge, send; nothing is charged for a round that closed meanwhile.

        Raises what worker, disk and network raise.
        """
        permit.check()
        attempt = secrets.token_hex(16)
        self._doing("sending", "Sealing and sending the update")
        body = await self._worker().seal(
            config, os.fspath(trained.scratch), trained.job_key, attempt
        )
        check_sealed(body, config, attempt)
        permit.check()
        if self._clock.now() >= config.closes_at:
            return CycleResult(
                Outcome.ROUND_CLOSED,
                "The round has closed. Nothing was charged.",
                round_id=config.round_id,
            )
        if (
            refused := self._budget_gate.refusal(config.task_id, config.model_digest, config)
        ) is not None:
            return refused
        self._outbox.charge(config, attempt, body, config.closes_at)
        self._doing("sending", "Sending the update")
        return await send_stored(
            self._outbox, permit, client, attempt, config.round_id, trained.rows_used
        )


async def send_stored(
    outbox: Outbox,
    permit: Permit,
    client: "AggregatorClient",
    attempt: str,
    round_id: int,
    rows_used: int = 0,
) -> CycleResult:
    """Send an outbox entry and say how it went."""
    try:
        entry = await outbox.send(permit, client, attempt)
    except PeerError as error:
        if error.code not in FINAL:
            raise
        return CycleResult(
            Outcome.ROUND_CLOSED, f"{error.message} The charge stands.", round_id=round_id
        )
    text = "The update was sent and acknowledged."
    return CycleResult(
        Outcome.SENT, text, round_id=round_id, bytes_up=entry.bytes, rows_used=rows_used
    )
