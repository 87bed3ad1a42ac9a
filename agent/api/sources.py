"""Methods about the sources of samples: their switches, the chosen folders, and a look by hand."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from agent.api.methods import Method, Result, check_paths
from agent.config.effective import EffectiveConfig
from agent.config.sample_sources import SampleSources
from agent.consent.gate import Gate
from agent.consent.record import Evidence, Record
from agent.consent.sources import source_text
from agent.errors import UserActionError
from agent.protocol.sources import SWITCHED, Source, label_of
from agent.rounds.collector import Collector
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.store.samples import Samples


@dataclass(frozen=True)
class SourceMethods:
    """Each switch is a decision of its own under the consent, and is recorded as one."""

    gate: Gate
    record: Record
    effective: EffectiveConfig
    sources: SampleSources
    collector: Collector
    samples: Samples
    runner: RoundRunner
    signals: Signals

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "sources.show": Method(self.show, {}, {"locale": str}),
            "sources.set": Method(
                self.set,
                {"source": str, "on": bool, "surface": str},
                {"locale": str, "text_sha256": str},
            ),
            "sources.add": Method(self.add, {"path": str}),
            "sources.remove": Method(self.remove, {"path": str}),
            "sources.log": Method(self.use_log, {"path": str}),
            "sources.search": Method(self.search),
        }

    async def show(self, locale: str = "") -> Result:
        counts, is_on = self.samples.counts_by_source(), self.sources.switched_on()
        last = self.collector.last()
        unread = dict(last.unread)
        shown = [
            {
                **asdict(source_text(source, locale)),
                "label": "malicious" if label_of(source) else "benign",
                "on": source in is_on,
                "rows": counts.get(source, 0),
                "problem": unread.get(source, ""),
            }
            for source in SWITCHED
            if source in self._existing()
        ]
        return {
            "sources": shown,
            "folders": list(self.sources.folders()),
            "logs": list(self.sources.logs()),
            "by_hand": counts.get(Source.PERSON, 0),
            "imported": counts.get(Source.TABLE, 0),
            "rows_per_day": self.sources.rows_per_day,
            "keep_days": self.sources.keep_days,
            "searched_at": last.at or None,
            "files": last.files,
            "programs": last.programs,
        }

    async def set(
        self, source: str, on: bool, surface: str, locale: str = "", text_sha256: str = ""
    ) -> Result:
        """Switch a source on or off. Off removes its rows and any update trained on them.

        Raises UserActionError UNKNOWN_SOURCE, NOTICE_CHANGED, MANAGED and, for on, NO_CONSENT.
        """
        if source not in self._existing():
            raise _unknown(source)
        text = source_text(source, locale)
        if on:
            self._check_on(text.text_sha256, text_sha256)
        if on != self.record.has_source(source, text.text_sha256):
            evidence = Evidence(
                self.effective.notice_id(), text.text_sha256, text.locale, surface[:40]
            )
            origin = self.effective.policy().origin
            self.record.decide_source(source, evidence, origin, is_on=on)
            self.collector.choice_changed()
        if not on:
            await self.collector.stop()
            if self.collector.tidy():
                await self.runner.discard()
        self.signals.user_changed()
        return await self.show(locale)

    async def add(self, path: str) -> Result:
        self.sources.add_folder(*check_paths([path]))
        self.collector.choice_changed()
        self.signals.user_changed()
        return await self.show()

    async def remove(self, path: str) -> Result:
        """Give a folder or log up. What was learned from it stays until it is too old."""
        if not self.sources.give_up(*check_paths([path])):
            raise UserActionError(
                "NOT_A_FOLDER",
                f"{path[:200]!r} is not one of your folders and logs.",
                "aegis sources show lists them.",
            )
        await self.collector.stop()
        self.signals.user_changed()
        return await self.show()

    async def use_log(self, path: str) -> Result:
        self.sources.use_log(*check_paths([path]))
        self.collector.choice_changed()
        self.signals.user_changed()
        return await self.show()

    async def search(self) -> Result:
        permit = self.gate.permit()
        if self.runner.is_busy:
            raise UserActionError(
                "CYCLE_RUNNING",
                "A cycle is under way, and it looks by itself.",
                "Try again when it has ended.",
            )
        found = await self.runner.run_until_withdrawn(permit, self.collector.search(permit))
        self.signals.user_changed()
        return {
            "files": found.files,
            "programs": found.programs,
            "added": found.added,
            "unread": [{"source": source, "code": code} for source, code in found.unread],
            "rows": self.samples.counts_by_source(),
        }

    def _existing(self) -> tuple[Source, ...]:
        """Return the sources with a switch: those that exist here, and those that are on."""
        on = self.sources.switched_on()
        return tuple(one for one in SWITCHED if one in on or one in self.sources.available())

    def _check_on(self, current: str, read: str) -> None:
        self.gate.permit()
        if not self.sources.rows_per_day:
            raise UserActionError(
                "MANAGED",
                "sources.rows_per_day is 0, so no source may look.",
                "Raise it, or ask your IT if they manage it.",
            )
        if read and read != current:
            raise UserActionError(
                "NOTICE_CHANGED",
                "These are not the current words of this source; nothing was changed.",
                "Read the current ones: aegis sources show.",
            )


def _unknown(source: str) -> UserActionError:
    return UserActionError(
        "UNKNOWN_SOURCE",
        f"There is no source {source[:40]!r} on this computer.",
        "aegis sources show lists those that there are.",
    )
