"""Methods that show what was charged and sent."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from agent.api.methods import PAGE, PAGE_ROWS, Method, Result, page_bounds
from agent.reports.ledger import LedgerReport, outbox_json
from agent.reports.seal_check import SealCheck
from agent.reports.viewing_copies import ViewingCopies
from agent.store.ledger import Ledger


@dataclass(frozen=True)
class LedgerMethods:
    """Shows the ledger in pages, and one upload with its bytes."""

    ledger: Ledger
    report: LedgerReport
    seals: SealCheck
    copies: ViewingCopies

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "ledger": Method(self.page, {}, {**PAGE, "verify": bool}),
            "sent.show": Method(self.sent, {"attempt": str}),
        }

    async def page(self, offset: int = 0, limit: int = PAGE_ROWS, verify: bool = False) -> Result:
        bounds = page_bounds(offset, limit)
        note = await self.seals.check() if verify else ""
        return self.report.page(*bounds, verify=verify, seal_note=note)

    async def sent(self, attempt: str) -> Result:
        """Show one upload. `path` is a copy of its bytes; None when they are no longer stored."""
        entry = self.ledger.entry(attempt)
        body = self.ledger.body(attempt)
        shown: Result = {"entry": outbox_json(entry), "header": None, "path": None}
        if body is not None:
            from agent.protocol.envelope import decode

            shown["header"] = decode(body).header
            shown["path"] = os.fspath(self.copies.write(f"sent-{entry.attempt}.bin", body))
        return shown
