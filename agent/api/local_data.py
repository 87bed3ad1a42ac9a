"""Removes all data of one home."""

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.config.effective import EffectiveConfig
from agent.consent.record import Record
from agent.errors import AegisError
from agent.files import atomic_file
from agent.files.disk_errors import explained, is_full, write_error
from agent.models.store import ModelStore
from agent.paths import Home
from agent.reports.viewing_copies import ViewingCopies
from agent.store.database import Database

log = logging.getLogger(__name__)


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

    def check_writable(self) -> None:
        """Raise UserActionError HOME_READ_ONLY and the like where nothing can be removed.

        A full disk is no obstacle.
        """
        error = write_error(self.home.root)
        if error is not None and not is_full(error):
            raise explained(error)

    def make_room(self) -> None:
        """Turn consent off and remove what nobody needs to tell the server."""
        try:
            self.record.forget()
            self.discard_update()
        except (AegisError, OSError) as error:
            log.warning("erase.left error=%s", error)
        self.models.remove_files()
        for path in self.home.logs.glob("*"):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all data except a waiting erase request; afterwards the home is as good as new.

        Raises OSError. Safe to repeat.
        """
        self.record.forget()
        self.models.clear()
        shutil.rmtree(self.home.trust, ignore_errors=True)
        atomic_file.clear_drafts(self.home.root)
        self.home.model_seen_at.unlink(missing_ok=True)
        self.home.ledger_head.unlink(missing_ok=True)
        self.home.last_cycle.unlink(missing_ok=True)
        self.database.recreate()
        self.discard_update()
        self.effective.reload()
        self.record.reload()
        for path in self.home.logs.glob("*"):
            path.unlink(missing_ok=True)
        self.copies.remove()
