"""Where device and server meet before anything is sealed: the ledger is opened, the server's offer
fetched, and the ledger's head shown with every report that an update is ready.

1. The key store opens the ledger for one cycle. A ledger that is missing, altered, set back or
   forked ends the cycle: it counts as spent.
2. The server admits a device whose ledger continues the head that it knows. It admits no second
   copy meanwhile, and a copy that went another way never again (LEDGER_FORKED).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.errors import AegisError, PeerError
from agent.protocol.ledger_heads import Ready
from agent.rounds.admission import Admission
from agent.rounds.agreed_clock import AgreedClock
from agent.store.ledger import Ledger
from agent.store.ledger_key import LABEL, LedgerKey
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.identity.identity import IdentityFile
    from agent.transport.client import AggregatorClient
    from agent.transport.statements import Offer


class OfferPoll:
    """The ledger and the server's offers, for the cycles of one process."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        identity_file: "Callable[[], IdentityFile]",
        session: str,
        blocking: Blocking,
        agreed_clock: AgreedClock,
    ) -> None:
        """`session` is the random name of this process."""
        self._clock = clock
        self._ledger = ledger
        self._identity_file = identity_file
        self._session = session
        self._blocking = blocking
        self._agreed_clock = agreed_clock

    async def open_ledger(self, permit: Permit) -> None:
        """Open the ledger with its key; seal one that never was.

        Raises UserActionError with the code of a ledger that counts as spent, and what the key
        store raises.
        """
        file = self._identity_file()
        key = LedgerKey(await self._blocking(lambda: file.derived_key(LABEL)))
        was_sealed = await self._blocking(file.has_sealed_ledger)
        permit.check()
        self._ledger.sealed.open(key, self._clock.now(), was_sealed=was_sealed)
        if not was_sealed:
            await self._blocking(file.note_sealed_ledger)

    def close_ledger(self) -> None:
        """Forget the ledger's key."""
        self._ledger.sealed.close()

    async def offer(self, client: "AggregatorClient") -> "Offer":
        """Fetch the server's offer."""
        offer = await self._blocking(client.offer)
        self._agreed_clock.note(offer.time)
        return offer

    async def ready(
        self, client: "AggregatorClient", model_version: int
    ) -> "tuple[Offer, Admission]":
        """Report an update that was trained on `model_version` as ready, and show the ledger's
        head.

        Raises UserActionError LEDGER_FORKED (the ledger then counts as spent for good), PeerError
        LEDGER_RESERVED, and what the server raises.
        """
        try:
            return await self._show(client, model_version, every=False)
        except PeerError as error:
            if error.code != "LEDGER_BEHIND":
                raise
        # The server was set back to an older state: it needs to see how the ledger grew since.
        return await self._show(client, model_version, every=True)

    async def _show(
        self, client: "AggregatorClient", model_version: int, *, every: bool
    ) -> "tuple[Offer, Admission]":
        shown = self._ledger.shown_heads(every=every)
        ready = Ready(model_version, self._session, shown)
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            offer = await self._blocking(lambda: client.ready(ready))
        except AegisError as error:
            if error.code == "LEDGER_FORKED":
                raise self._ledger.sealed.mark_forked(self._clock.now()) from error
            raise
        self._agreed_clock.note(offer.time)
        lease_s = offer.ledger.lease_s if offer.ledger else 0
        return offer, Admission(shown.head, lease_s, wall, monotonic)
