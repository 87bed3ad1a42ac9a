"""Collects everything stored about this person in one document (C19)."""

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from agent import __version__
from agent.clock import Clock
from agent.config.effective import EffectiveConfig
from agent.config.sample_sources import SampleSources
from agent.consent.record import Record
from agent.reports.ledger import LedgerReport
from agent.status import Status
from agent.store.ledger import Ledger
from agent.store.samples import Samples

EXPORT_VERSION = 1
ALL_ROWS = 1_000_000


@dataclass(frozen=True)
class Export:
    """Builds the document."""

    clock: Clock
    effective: EffectiveConfig
    record: Record
    samples: Samples
    sources: SampleSources
    ledger: Ledger
    ledger_report: LedgerReport
    status: Callable[[], Status]

    def document(self) -> dict[str, Any]:
        """Return the document (docs/schemas/export.schema.json). It holds no secrets.

        Raises UserActionError CHAIN_BROKEN.
        """
        enrolment = self.effective.enrolment()
        bodies = {entry.attempt: self.ledger.body(entry.attempt) for entry in self.ledger.entries()}
        return {
            "export_version": EXPORT_VERSION,
            "app_version": __version__,
            "made_at": self.clock.now(),
            "consent": [asdict(entry) for entry in self.record.entries()],
            "settings": [entry.to_json() for entry in self.effective.settings().all()],
            "operator": None if enrolment is None else asdict(enrolment.operator),
            "ledger": self.ledger_report.page(0, ALL_ROWS, verify=True),
            "sent_bytes": {
                attempt: base64.b64encode(body).decode()
                for attempt, body in bodies.items()
                if body is not None
            },
            "samples": self.samples.everything(),
            "sources": {
                "folders": list(self.sources.folders()),
                "logs": list(self.sources.logs()),
            },
            "status": self.status().to_json(),
        }
