"""Tells a group that this device has left: a code and no data (P2).

The round's secrets are wiped before a notice is made, so nothing depends on its arrival.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.consent.gate import Gate
from agent.enrolment.client import EnrolmentClient
from agent.errors import AegisError
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.identity.identity import Identity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaveNotice:
    """A `leave` message and the identity that signs its request."""

    round_id: int
    body: bytes
    identity: "Identity" = field(repr=False)


class LeaveSender:
    """Sends each notice once, in the background, over a connection of its own."""

    def __init__(self, gate: Gate, enrolment_client: EnrolmentClient, blocking: Blocking) -> None:
        self._gate = gate
        self._enrolment_client = enrolment_client
        self._blocking = blocking
        self._sending: set[asyncio.Task[None]] = set()
        """Kept here because the event loop references tasks only weakly."""

    def send_soon(self, notice: LeaveNotice) -> None:
        """Start sending. A notice that cannot be sent is logged and lost."""
        task = asyncio.create_task(self._send(notice))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def flush(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the notices under way."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=timeout_s)

    async def _send(self, notice: LeaveNotice) -> None:
        try:
            # Needs no consent: it ends the processing.
            self._gate.leave_permit().check()
            client = self._enrolment_client.connect_as(notice.identity)
            try:
                await self._blocking(
                    lambda: client.send_phase(notice.round_id, "leave", notice.body)
                )
            finally:
                client.close()
        except AegisError as error:
            log.info("round.leave_lost code=%s", error.code)
