"""Which sources of samples are switched on, which exist on this computer, and where they look.

A source that does not exist here has no switch. Asking whether it exists opens nothing.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from agent.config.effective import EffectiveConfig
from agent.consent.record import Record
from agent.consent.sources import source_text
from agent.errors import UserActionError
from agent.protocol.sources import MAX_FOLDERS, SWITCHED, Source
from agent.store.values import Values

_KEY = "sources"
"""Of the value that holds the chosen folders and logs."""
_SHAPE = {"folders": list, "logs": list}
_HISTORY = r"Microsoft\Windows Defender\Scans\History\Service\DetectionHistory"


@dataclass(frozen=True)
class SystemPlaces:
    """Where this system keeps what sources read; empty where it has no such thing."""

    package_lists: str = ""
    scanner_logs: tuple[str, ...] = ()
    detection_history: str = ""


def system_places(platform: str, environ: Mapping[str, str]) -> SystemPlaces:
    """Return the usual places of a system. Pure."""
    if platform == "win32":
        data = environ.get("PROGRAMDATA", r"C:\ProgramData")
        return SystemPlaces(detection_history=f"{data}\\{_HISTORY}")
    if platform == "linux":
        logs = ("/var/log/clamav/clamav.log", "/var/log/clamav/clamscan.log")
        return SystemPlaces("/var/lib/dpkg/info", logs)
    return SystemPlaces()


class SampleSources:
    """The person's choice of sources and folders, as far as consent and policy let it count."""

    def __init__(
        self,
        record: Record,
        effective: EffectiveConfig,
        values: Values,
        places: SystemPlaces,
        finds_program: Callable[[str], object] = shutil.which,
    ) -> None:
        """`finds_program` says whether a command is installed."""
        self._record = record
        self._effective = effective
        self._values = values
        self._places = places
        self._finds_program = finds_program

    def available(self) -> tuple[Source, ...]:
        """Return the sources that exist on this computer."""
        tests: dict[Source, Callable[[], bool]] = {
            Source.PACKAGES: lambda: os.path.isdir(self._places.package_lists),  # noqa: PTH112
            Source.WHEELS: self._has_python,
            Source.SIGNED: lambda: bool(self.authorities()) and find_spec("lief") is not None,
            Source.CLAMAV: lambda: bool(self._existing_logs() or self._finds_program("clamscan")),
            Source.DEFENDER: lambda: os.path.isdir(self._places.detection_history),  # noqa: PTH112
        }
        return tuple(source for source in SWITCHED if tests[source]())

    def switched_on(self) -> tuple[Source, ...]:
        """Return the sources that the person switched on and no policy forbids.

        It does not ask whether the consent still stands: the gate does.
        """
        if not self.rows_per_day:
            return ()
        return tuple(
            source
            for source in SWITCHED
            if self._record.has_source(source, source_text(source, "").text_sha256)
        )

    @property
    def has_joined(self) -> bool:
        """Whether this device has taken an invitation."""
        return self._effective.enrolment() is not None

    @property
    def rows_per_day(self) -> int:
        return self._effective.settings().integer("sources.rows_per_day")

    @property
    def keep_days(self) -> int:
        return self._effective.settings().integer("sources.keep_days")

    def authorities(self) -> tuple[str, ...]:
        """Return the SHA-256 (hex) of the certificates that the task trusts for signatures."""
        task = self._effective.task() or {}
        return tuple(str(task.get("signing_authorities", "")).split())

    def folders(self) -> tuple[str, ...]:
        """Return the folders that the person chose."""
        return tuple(map(str, self._stored()["folders"]))

    def logs(self) -> tuple[str, ...]:
        """Return the logs of ClamAV that the person chose."""
        return tuple(map(str, self._stored()["logs"]))

    def add_folder(self, path: str) -> None:
        """Choose a folder.

        Raises UserActionError NOT_A_FOLDER and TOO_MANY_FOLDERS.
        """
        path, chosen = os.path.abspath(path), self.folders()  # noqa: PTH100 - paths stay text
        if not os.path.isdir(path) or os.path.dirname(path) == path:  # noqa: PTH112, PTH120
            raise UserActionError(
                "NOT_A_FOLDER",
                f"{path[:200]!r} is not a folder that can be chosen.",
                "Choose a folder with programs, and not a whole disk.",
            )
        if path in chosen:
            return
        if len(chosen) >= MAX_FOLDERS:
            raise UserActionError(
                "TOO_MANY_FOLDERS",
                f"AegisAI looks in at most {MAX_FOLDERS} folders.",
                "Remove one first: aegis sources remove FOLDER",
            )
        self._keep("folders", [*chosen, path])

    def give_up(self, path: str) -> bool:
        """Give a folder or log up; return whether it was chosen."""
        path = os.path.abspath(path)  # noqa: PTH100 - paths stay text
        chosen = {"folders": self.folders(), "logs": self.logs()}
        found = [name for name, paths in chosen.items() if path in paths]
        for name in found:
            self._keep(name, [one for one in chosen[name] if one != path])
        return bool(found)

    def use_log(self, path: str) -> None:
        """Read this log of ClamAV beside the usual ones. Raises UserActionError CANNOT_READ."""
        path = os.path.abspath(path)  # noqa: PTH100 - paths stay text
        if not os.path.isfile(path):  # noqa: PTH113
            raise UserActionError(
                "CANNOT_READ", f"The file {path[:200]!r} cannot be read.", "Check its name."
            )
        logs = [one for one in self.logs() if one != path]
        self._keep("logs", [*logs, path][-MAX_FOLDERS:])

    def request(self, folders: tuple[str, ...]) -> dict[str, Any]:
        """Return what the worker is to do in these folders (agent.worker.collect.read_request)."""
        paths: dict[Source, tuple[str, ...]] = {
            Source.PACKAGES: (self._places.package_lists,),
            Source.CLAMAV: self._existing_logs(),
            Source.DEFENDER: (self._places.detection_history,),
        }
        exist = self.available()
        return {
            "folders": list(folders),
            "sources": {
                source.value: {
                    "paths": list(paths.get(source, ())),
                    "authorities": list(self.authorities() if source is Source.SIGNED else ()),
                }
                for source in self.switched_on()
                if source in exist
            },
        }

    def _existing_logs(self) -> tuple[str, ...]:
        named = (*self._places.scanner_logs, *self.logs())
        return tuple(one for one in named if os.path.isfile(one))  # noqa: PTH113

    def _has_python(self) -> bool:
        return bool(self._finds_program("python3") or self._finds_program("python"))

    def _stored(self) -> dict[str, list[object]]:
        stored: dict[str, list[object]] = self._values.get(_KEY, _SHAPE) or {
            "folders": [],
            "logs": [],
        }
        return stored

    def _keep(self, name: str, paths: list[str]) -> None:
        self._values.put(_KEY, {**self._stored(), name: paths})


def here() -> SystemPlaces:
    """Return the places of this computer."""
    return system_places(sys.platform, os.environ)
