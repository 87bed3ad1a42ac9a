"""Looks for samples in the chosen folders by the sources that are switched on.

The worker walks and reads; this side learns neither names nor checksums. It keeps one bit a folder,
"something changed", which a watch sets (agent.daemon.folder_watch), and stores what the worker
reports: at most so many new rows a day, each for so many days.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.clock import Clock
from agent.config.sample_sources import SampleSources
from agent.consent.gate import Permit
from agent.errors import AegisError, UserActionError
from agent.protocol.jobs import Job
from agent.protocol.sources import label_of
from agent.rounds.activity import ActivityTracker
from agent.rounds.readiness import Readiness
from agent.rounds.restrictions import Restrictions
from agent.store.samples import NewRow, Samples
from agent.store.values import Values

if TYPE_CHECKING:
    from agent.protocol.jobs import CollectResult
    from agent.supervisor.worker import Worker

log = logging.getLogger(__name__)

AGAIN_S = 24 * 3600
"""A folder is walked once a day even if no change was noticed: a watch sees its top level only."""
PAUSE_S = 3600
"""The least time between two looks, however often something changes."""
_KEY = "sources.searched"
_SHAPE = {"at": int, "files": int, "programs": int, "added": int, "unread": list}


@dataclass(frozen=True)
class Found:
    """What the last look found. It names no file."""

    at: int
    """Seconds since the epoch; 0: it never searched."""
    files: int = 0
    """Of all kinds."""
    programs: int = 0
    added: int = 0
    """New rows."""
    unread: tuple[tuple[str, str], ...] = ()
    """Sources that could not read what they know, each with a code."""


class Collector:
    """Looks when it is due, or when the person asks."""

    def __init__(
        self,
        *,
        clock: Clock,
        sources: SampleSources,
        samples: Samples,
        values: Values,
        worker: "Callable[[], Worker]",
        readiness: Readiness,
        restrictions: Restrictions,
        activity: ActivityTracker,
    ) -> None:
        self._clock = clock
        self._sources = sources
        self._samples = samples
        self._values = values
        self._worker = worker
        self._readiness = readiness
        self._restrictions = restrictions
        self._activity = activity
        self._unchanged: set[str] = set()
        """Folders in which nothing has changed since they were walked."""
        self._looking = asyncio.Lock()

    def watched(self) -> tuple[str, ...]:
        """Return the folders whose changes matter now: none unless a source may look."""
        if not self._sources.switched_on() or self._readiness.collecting_reasons():
            return ()
        return self._sources.folders()

    def folder_changed(self, folder: str) -> None:
        """Something changed in a folder."""
        self._unchanged.discard(folder)

    def choice_changed(self) -> None:
        """Another source, folder or log counts now: look again even where no file has changed."""
        self._unchanged.clear()

    def last(self) -> Found:
        """Return what the last look found."""
        stored = self._values.get(_KEY, _SHAPE)
        if stored is None:
            return Found(0)
        unread = tuple((str(source), str(code)) for source, code in stored["unread"])
        return Found(stored["at"], stored["files"], stored["programs"], stored["added"], unread)

    def tidy(self) -> int:
        """Remove rows that are too old or whose source is switched off; return their number."""
        return self._samples.expire(
            self._clock.now(), self._sources.keep_days, self._sources.switched_on()
        )

    async def before_cycle(self, permit: Permit) -> None:
        """Tidy, and look if it is due and may be now. A failure costs this look only.

        A device that has joined nobody does not look: it has nothing to train for.
        """
        async with self._looking:
            permit.check()
            self.tidy()
            folders = self._due() if self._sources.has_joined else ()
            if not folders or self._restrictions.on_training() or not self._may_open():
                return
            try:
                await self._search(permit, folders)
            except AegisError as error:
                permit.check()
                log.warning("collect.failed code=%s", error.code)
                self._note(Found(self._clock.now()))

    async def search(self, permit: Permit) -> Found:
        """Look in all chosen folders now, because the person asks.

        Raises UserActionError SOURCES_OFF, NO_FOLDERS and SANDBOX_INCOMPLETE, and what the worker
        raises.
        """
        if not self._sources.switched_on():
            raise UserActionError(
                "SOURCES_OFF",
                "No source of samples is switched on, so nothing was opened.",
                "See aegis sources show.",
            )
        if not self._sources.folders():
            raise UserActionError(
                "NO_FOLDERS",
                "You have chosen no folder, so nothing was opened.",
                "Choose one: aegis sources add FOLDER",
            )
        if reasons := self._readiness.collecting_reasons():
            raise UserActionError(reasons[0].code.value, reasons[0].text, "See aegis doctor.")
        async with self._looking:
            permit.check()
            self.tidy()
            return await self._search(permit, self._sources.folders())

    async def stop(self) -> None:
        """End a look under way, because a source or folder that it uses was given up."""
        if self._looking.locked():
            await self._worker().stop((Job.COLLECT,))

    def _may_open(self) -> bool:
        return not self._readiness.collecting_reasons()

    def _due(self) -> tuple[str, ...]:
        """Return the folders to walk now."""
        if not self._sources.switched_on():
            return ()
        elapsed = self._clock.now() - self.last().at
        if 0 <= elapsed < PAUSE_S:
            return ()
        folders = self._sources.folders()
        if not 0 <= elapsed < AGAIN_S:
            return folders
        return tuple(folder for folder in folders if folder not in self._unchanged)

    async def _search(self, permit: Permit, folders: tuple[str, ...]) -> Found:
        request = self._sources.request(folders)
        key = self._samples.key()
        # A change while the worker walks counts for the next look.
        self._unchanged.update(folders)
        self._activity.train("Looking for programs in the folders that you chose")
        try:
            result = await self._worker().collect(request, key)
        except BaseException:
            self._unchanged.difference_update(folders)
            raise
        finally:
            self._worker().resume()
            self._activity.finish()
        permit.check()
        if result.searched is None:
            self._unchanged.difference_update(folders)
        return self._store(result, request)

    def _store(self, result: "CollectResult", request: dict[str, Any]) -> Found:
        """Store what the worker reports. It is not trusted: each row is checked.

        A source may have been switched off meanwhile.
        """
        from agent.detector.schema import validate_row

        is_on = self._sources.switched_on()
        rows = [
            NewRow(one.features, label_of(one.source), one.source, bytes.fromhex(one.digest))
            for one in result.rows
            if one.source.value in request["sources"] and one.source in is_on
        ]
        for row in rows:
            validate_row(row.features)
        now = self._clock.now()
        contradicted = [bytes.fromhex(digest) for digest in result.contradicted]
        added = self._samples.collect(rows, contradicted, now, self._sources.rows_per_day)
        searched = result.searched
        found = Found(
            now,
            searched.files if searched else 0,
            searched.programs if searched else 0,
            added,
            tuple((one.source.value, one.code[:40]) for one in result.unread),
        )
        self._note(found)
        log.info("collect.done programs=%s added=%s", found.programs, found.added)
        return found

    def _note(self, found: Found) -> None:
        self._values.put(
            _KEY,
            {
                "at": found.at,
                "files": found.files,
                "programs": found.programs,
                "added": found.added,
                "unread": [list(pair) for pair in found.unread],
            },
        )
