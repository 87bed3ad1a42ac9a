"""Remembers an interrupted training, so that it can be continued, even after a restart.

The job key that opens a checkpoint is derived (HKDF-SHA-256) from the wrapping key in the key store
and the random name of the file. No secret is stored: a checkpoint opens with this device's key
store only.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.store.values import Values

if TYPE_CHECKING:
    from agent.identity.identity import IdentityFile

log = logging.getLogger(__name__)

_KEY = "draft"
"""Key in the store: name and file of the training that can be continued."""
_SHAPE = {"what": str, "name": str}


class CheckpointStore:
    """Keeps the scratch folder and the one training, if any, that can be continued from it."""

    def __init__(
        self, folder: Path, values: Values, identity_file: "Callable[[], IdentityFile]"
    ) -> None:
        self._folder = folder
        self._values = values
        self._identity_file = identity_file

    def find(self, training: str) -> Path | None:
        """Return where `training` (see `name_of`) leaves its update; None if it never began."""
        noted = self._values.get(_KEY, _SHAPE)
        if noted is None or noted["what"] != training:
            return None
        return self._folder / str(noted["name"])

    def begin(self, training: str) -> Path:
        """Remember a new training instead of any other; return where it leaves its update."""
        name = secrets.token_hex(8)
        self._values.put(_KEY, {"what": training, "name": name})
        return self._folder / name

    def job_key(self, scratch: Path) -> bytes:
        """Return the 32 bytes that encrypt the update at `scratch`.

        Asks the key store: call it from an executor. Raises what the key store raises.
        """
        return self._identity_file().derived_key(f"aegisai/job/1/{scratch.name}")

    def forget(self) -> None:
        """Forget the training that could be continued. Its files stay."""
        if self._values.get(_KEY) is not None:
            self._values.put(_KEY, None)

    def clear(self) -> None:
        """Forget the training and remove every file in scratch, as a withdrawal does."""
        self._remove_files()
        self.forget()

    def tidy(self) -> None:
        """Remove every file in scratch except the checkpoint that can be continued.

        Logs what it cannot remove: such a file is useless without its key.
        """
        noted = self._values.get(_KEY, _SHAPE)
        self._remove_files(None if noted is None else f"{noted['name']}.checkpoint")

    def _remove_files(self, kept: str | None = None) -> None:
        for path in self._folder.glob("*"):
            if path.name == kept:
                continue
            try:
                path.unlink()
            except OSError as error:
                log.warning("scratch.kept error=%s", error.strerror)


def name_of(model_sha256: str, rows: bytes, labels: bytes) -> str:
    """Name a training after what determines it: the base model and the rows."""
    return f"{model_sha256}/{hashlib.sha256(rows + labels).hexdigest()}"
