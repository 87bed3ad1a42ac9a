"""A training that was interrupted: which one it was, where its checkpoint lies, and the key that
opens it, also after a restart.

The job key is derived (HKDF-SHA-256) from the wrapping key in the key store and the random name of
the file, so that no secret is written down: a checkpoint opens with this device's key store and not
without it. `forget` ends it; a withdrawal calls that and wipes the file.
"""

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.store.values import Values

if TYPE_CHECKING:
    from agent.identity.identity import IdentityFile

_KEY = "draft"


class CheckpointStore:
    """At most one at a time."""

    def __init__(
        self, folder: Path, values: Values, identity_file: "Callable[[], IdentityFile]"
    ) -> None:
        self._folder = folder
        self._values = values
        self._identity_file = identity_file

    def find(self, what: str) -> Path | None:
        """Where the training that `what` names leaves its update, if it was begun already."""
        held = self._values.get(_KEY)
        return self._folder / held["name"] if held is not None and held["what"] == what else None

    def begin(self, what: str) -> Path:
        """Note a new one instead of any other."""
        name = secrets.token_hex(8)
        self._values.put(_KEY, {"what": what, "name": name})
        return self._folder / name

    def job_key(self, scratch: Path) -> bytes:
        """The 32 bytes that encrypt it.

        Asks the key store: call from an executor; raises what that raises.
        """
        return self._identity_file().derived_key(f"aegisai/job/1/{scratch.name}")

    def forget(self) -> None:
        """Nothing is to be gone on from."""
        if self._values.get(_KEY) is not None:
            self._values.put(_KEY, None)

    def checkpoint(self) -> Path | None:
        """The one file in the scratch folder that is of use after a restart."""
        held = self._values.get(_KEY)
        return None if held is None else self._folder / f"{held['name']}.checkpoint"


def name_of(model_sha256: str, rows: bytes, labels: bytes) -> str:
    """What a training is: the model it starts from and the rows it sees."""
    return f"{model_sha256}/{hashlib.sha256(rows + labels).hexdigest()}"
