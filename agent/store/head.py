"""The ledger's length and last hash in a file of their own: they expose a ledger that was set back
to an old copy, or deleted.

1. The file is written after each charge. A crash between the two leaves it one charge behind, which
   proves nothing.
2. A ledger that lacks what the file says counts as spent. No one can read it until the person
   erases everything and joins again (P4, P5).
3. The computer's owner can remove both. Then only the aggregator can notice, when it has an update
   that the ledger does not know.
"""

import json
from pathlib import Path

from agent import atomic_file
from agent.errors import UserActionError

MAX_HEAD_BYTES = 4096


class LedgerHead:
    """The file that remembers how far the ledger has come."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, count: int, last_hash: str) -> None:
        """Record that the ledger has `count` charges, the last with this hash. Raises OSError."""
        atomic_file.write(self._path, json.dumps({"charges": count, "hash": last_hash}).encode())

    def check(self, hashes: list[str]) -> None:
        """Check that the chain with these hashes is the recorded one or continues it.

        Raises UserActionError LEDGER_SET_BACK.
        """
        try:
            recorded = json.loads(atomic_file.read(self._path, MAX_HEAD_BYTES))
            count, last_hash = int(recorded["charges"]), str(recorded["hash"])
        except (FileNotFoundError, NotADirectoryError):  # no file; a file where the home should be
            return
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise set_back_error() from error
        if not 0 < count <= len(hashes) or hashes[count - 1] != last_hash:
            raise set_back_error()


def set_back_error() -> UserActionError:
    """Return the error of a ledger that was set back."""
    return UserActionError(
        "LEDGER_SET_BACK",
        "The ledger of privacy charges was set back to an older state, so it counts as spent.",
        "Restore the newest copy of this home, or run aegis erase and join again.",
    )
