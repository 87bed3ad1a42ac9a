"""How far the ledger has come, in a file of its own: a ledger that was set back (an old copy of the
database, a deleted one) is found out.

1. Written after each charge. A crash between the two leaves the file one behind, which is no sign
   of anything.
2. A ledger that does not hold what the file says counts as spent: it cannot be read until
   everything is erased and joined anew (P4, P5).
3. Who owns the computer can remove both. Then only the aggregator is left to notice, when it holds
   an update that the ledger does not know.
"""

import json
from pathlib import Path

from agent import atomic_file
from agent.errors import UserActionError

MAX_HEAD_BYTES = 4096


class LedgerHead:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, count: int, last_hash: str) -> None:
        """Note that the ledger holds `count` charges, the last with this hash. Raises OSError."""
        atomic_file.write(self._path, json.dumps({"charges": count, "hash": last_hash}).encode())

    def check(self, hashes: list[str]) -> None:
        """Raise UserActionError LEDGER_SET_BACK when the chain with these hashes is not what was
        noted, or a continuation of it.
        """
        try:
            noted = json.loads(atomic_file.read(self._path, MAX_HEAD_BYTES))
            count, last_hash = int(noted["charges"]), str(noted["hash"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise set_back_error() from error
        if not 0 < count <= len(hashes) or hashes[count - 1] != last_hash:
            raise set_back_error()


def set_back_error() -> UserActionError:
    return UserActionError(
        "LEDGER_SET_BACK",
        "The ledger of privacy charges was set back to an older state, so it counts as spent.",
        "Restore the newest copy of this home, or run aegis erase and join anew.",
    )
