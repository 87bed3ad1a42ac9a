"""Checks the ledger's seals with the key from the key store, on request."""

from contextlib import suppress
from dataclasses import dataclass

from agent.consent.gate import Gate
from agent.errors import AegisError, UserActionError
from agent.identity.key_store_choice import KeyStoreChoice
from agent.store.ledger import Ledger
from agent.store.ledger_key import LABEL, LedgerKey
from agent.transport.blocking import Blocking


@dataclass(frozen=True)
class SealCheck:
    """Asks the key store, which never prompts for it."""

    gate: Gate
    keys: KeyStoreChoice
    ledger: Ledger
    blocking: Blocking

    async def check(self) -> str:
        """Check the seals; return one sentence about why they were not checked, or "".

        What the check finds shows in every later read of the ledger.
        """
        if self.gate.denial() is not None:
            return "Without your consent the key stays locked."
        if not self.keys.has_identity():
            return "This device has no key yet."
        try:
            file = self.keys.identity_file()
            key = LedgerKey(await self.blocking(lambda: file.derived_key(LABEL)))
            was_sealed = await self.blocking(file.has_sealed_ledger)
        except AegisError as error:
            return f"{error.message} {error.remedy}"
        with suppress(UserActionError):
            self.ledger.sealed.check(key, was_sealed=was_sealed)
        state = self.ledger.sealed.state()
        return "The ledger is sealed at its next use." if state.sealed_at is None else ""
