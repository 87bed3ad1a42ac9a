"""Models from a TUF repository: what the operator's offline keys allow, nothing older than what was
seen, and nothing staler than agreed.

1. Trust begins with the first root, whose SHA-256 is in the invitation.
2. Offline keys sign "task.json" (what is learned, in what shape), "base.safetensors" where the
   model family has a base, and delegate "models/*" to one online key. So an aggregator that was
   broken into can publish bad weights, but only of the right shape.
3. The device's own minimum version (agent.models.store) holds even if the folder of metadata is
   lost.

tuf is imported on first use: it takes a quarter of a second to load, and most commands need no
model.
"""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clock import Clock
from agent.errors import AegisError, PeerError, UserActionError
from agent.files import atomic_file
from agent.models.verify import (
    MinModelVersion,
    ModelFacts,
    VerifiedModel,
    check_base,
    check_facts,
    check_model,
)
from agent.protocol.limits import MAX_BASE_BYTES
from agent.protocol.messages import Task

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile  # type: ignore[attr-defined]
    from tuf.ngclient.updater import Updater

MAX_METADATA_BYTES = 512 * 1024
MAX_CLOCK_STEP_BACK_S = 86_400
TASK_TARGET = "task.json"
MODEL_TARGET = "models/current.safetensors"
BASE_TARGET = "base.safetensors"
FIRST_ROOT = "1.root.json"
_BASE = "repository:/"
_UNUSED = "The model in use stays. Tell the operator."

Fetch = Callable[[str, int], bytes | None]
"""(path below /api/v1/, maximum bytes) -> content, or None when there is no such file. Raises
AegisError OFFLINE and the like."""


class ModelRepository:
    """The device's copy of the repository's metadata, and access to its targets.

    Blocking; call from an executor. `task` and `model` raise what `fetch` raises, UserActionError
    CLOCK_WENT_BACK, and PeerError MODEL_ROOT (not the invitation's), MODEL_UNSIGNED, MODEL_OLDER
    (rolled back), MODEL_EXPIRED (frozen), MODEL_ALTERED (tampered or mixed), MODEL_TOO_LARGE,
    MODEL_MISSING and MODEL_UNREADABLE.
    """

    def __init__(self, home: Path, root_sha256: str, fetch: Fetch, clock: Clock) -> None:
        self._folder = home / "trust"
        self._seen_at = home / "model-seen-at"
        self._root_sha256 = root_sha256
        self._fetch = fetch
        self._clock = clock

    def task(self) -> Task:
        """Return the task that the operator's offline keys signed."""
        with self._updater() as updater:
            return Task.from_json(
                _json(self._download(updater, _target(updater, TASK_TARGET), MAX_METADATA_BYTES))
            )

    def model(
        self, task: Task, minimum: MinModelVersion, known_sha256: str = ""
    ) -> VerifiedModel | None:
        """Return the current model, verified; None when its SHA-256 is `known_sha256`.

        Raises also as `check_model` does.
        """
        with self._updater() as updater:
            target = _target(updater, MODEL_TARGET)
            description = {
                **target.unrecognized_fields.get("custom", {}),
                "sha256": target.hashes.get("sha256"),
                "length": target.length,
            }
            facts = ModelFacts.from_json(description)
            check_facts(facts, task=task, minimum=minimum)
            if facts.sha256 == known_sha256:
                return None
            return check_model(
                facts, self._download(updater, target, facts.length), task=task, minimum=minimum
            )

    def base(self, task: Task) -> bytes:
        """Return the base that the task names, signed by the operator's offline keys.

        Raises also as `check_base` does.
        """
        with self._updater() as updater:
            content = self._download(updater, _target(updater, BASE_TARGET), MAX_BASE_BYTES)
        check_base(content, task)
        return content

    def clear(self) -> None:
        """Delete everything (erase)."""
        import shutil

        shutil.rmtree(self._folder, ignore_errors=True)
        self._seen_at.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _updater(self) -> "Iterator[Updater]":
        """Yield a refreshed updater; turn the library's errors into ours, in the block too."""
        from tuf.api.exceptions import DownloadError, RepositoryError
        from tuf.ngclient.config import UpdaterConfig
        from tuf.ngclient.updater import Updater

        self._check_clock()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        config = UpdaterConfig(
            max_root_rotations=32, max_delegations=4, targets_max_length=MAX_METADATA_BYTES
        )
        try:
            updater = Updater(
                str(self._folder),
                f"{_BASE}metadata/",
                target_base_url=f"{_BASE}targets/",
                fetcher=_fetcher(self._fetch),
                config=config,
                bootstrap=self._first_root(),
            )
            updater.refresh()
            self._note_clock()
            yield updater
        except (RepositoryError, DownloadError) as error:
            raise _explained(error) from error

    def _check_clock(self) -> None:
        """Refuse a clock that went back: metadata expires by it, so old models would stay fresh."""
        if self._clock.now() < self._clock_seen() - MAX_CLOCK_STEP_BACK_S:
            raise UserActionError(
                "CLOCK_WENT_BACK",
                "This computer's clock went back by more than a day, so AegisAI accepts no models.",
                "Set the clock right.",
            )

    def _note_clock(self) -> None:
        """Remember the time, now that metadata valid for a day was fresh by it: a clock far ahead
        leaves no mark.
        """
        now = self._clock.now()
        if now > self._clock_seen():
            atomic_file.write(self._seen_at, str(now).encode())

    def _clock_seen(self) -> int:
        try:
            return int(atomic_file.read(self._seen_at, 32))
        except (OSError, ValueError):
            return 0

    def _first_root(self) -> bytes:
        """Return the root that the invitation names, from the folder or from the server."""
        path = self._folder / "first-root.json"
        with contextlib.suppress(OSError, ValueError):
            stored = atomic_file.read(path, MAX_METADATA_BYTES)
            if hashlib.sha256(stored).hexdigest() == self._root_sha256:
                return stored
        fetched = self._fetch(f"metadata/{FIRST_ROOT}", MAX_METADATA_BYTES)
        if fetched is None or hashlib.sha256(fetched).hexdigest() != self._root_sha256:
            raise PeerError(
                "MODEL_ROOT",
                "The server's model repository is not the one that the invitation names.",
                _UNUSED,
            )
        atomic_file.write(path, fetched)
        return fetched

    def _download(self, updater: "Updater", target: "TargetFile", max_bytes: int) -> bytes:
        if target.length > max_bytes:
            raise PeerError(
                "MODEL_TOO_LARGE", "A file of the model repository is larger than agreed.", _UNUSED
            )
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            path = updater.download_target(target, str(Path(folder) / "target"))
            return atomic_file.read(Path(path), max_bytes)


def _target(updater: "Updater", name: str) -> "TargetFile":
    target = updater.get_targetinfo(name)
    if target is None:
        raise PeerError(
            "MODEL_MISSING", "The server's model repository has no current model.", _UNUSED, name
        )
    return target


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _fetcher(fetch: Fetch) -> Any:
    """Make a fetcher for the library that uses our own pinned connection."""
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient.fetcher import FetcherInterface

    from agent.protocol.limits import MAX_MODEL_BYTES

    class PinnedFetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            path = url.removeprefix(_BASE)
            content = fetch(
                path, MAX_METADATA_BYTES if path.startswith("metadata/") else MAX_MODEL_BYTES
            )
            if content is None:
                raise DownloadHTTPError("no such file", 404)
            return iter((content,))

    return PinnedFetcher()


def _explained(error: Exception) -> AegisError:
    """Return the library's error as one of ours."""
    from tuf.api import exceptions as tuf

    if isinstance(error.__cause__, AegisError):  # raised by `fetch`
        return error.__cause__
    causes = (
        (
            tuf.ExpiredMetadataError,
            "MODEL_EXPIRED",
            "has expired: the server may be frozen, or this computer's clock wrong",
        ),
        (tuf.BadVersionNumberError, "MODEL_OLDER", "was rolled back to an older version"),
        (
            tuf.LengthOrHashMismatchError,
            "MODEL_ALTERED",
            "is inconsistent: a file was altered or swapped",
        ),
        (
            tuf.UnsignedMetadataError,
            "MODEL_UNSIGNED",
            "is not signed by the keys allowed to sign it",
        ),
        (
            tuf.DownloadLengthMismatchError,
            "MODEL_TOO_LARGE",
            "has a file larger than agreed",
        ),
        (tuf.DownloadHTTPError, "MODEL_MISSING", "lacks a file"),
    )
    for kind, code, why in causes:
        if isinstance(error, kind):
            return PeerError(
                code,
                f"The server's model repository {why}. AegisAI uses nothing from it.",
                _UNUSED,
                str(error)[:300],
            )
    return PeerError(
        "MODEL_UNREADABLE",
        "The server's model repository cannot be read. AegisAI uses nothing from it.",
        _UNUSED,
        str(error)[:300],
    )
