"""Removes all data of one home."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from agent import atomic_file
from agent.config.effective import EffectiveConfig
from agent.consent.record import Record
from agent.models.store import ModelStore
from agent.paths import Home
from agent.reports.viewing_copies import ViewingCopies
from agent.store.database import Database


@dataclass(frozen=True)
class LocalData:
    """What an erasure removes from this computer, apart from the identity."""

    home: Home
    database: Database
    effective: EffectiveConfig
    record: Record
    models: ModelStore
    copies: ViewingCopies
    discard_update: Callable[[], None]
    """Deletes the trained update, if there is one."""

    def remove(self) -> None:
        """Remove all data except a waiting erase request; afterwards the home is as good as new.

        Raises OSError. Safe to repeat.
        """
        self.discard_update()
        self.models.clear()
        shutil.rmtree(self.home.trust, ignore_errors=True)
        atomic_file.clear_drafts(self.home.root)
        self.home.model_seen_at.unlink(missing_ok=True)
        self.home.ledger_head.unlink(missing_ok=True)
        self.home.last_cycle.unlink(missing_ok=True)
        self.database.recreate()
        self.effective.reload()
        self.record.reload()
        for path in self.home.logs.glob("*"):
            path.unlink(missing_ok=True)
        self.copies.remove()
