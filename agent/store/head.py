"""How far the ledger has come, in a file of its own: it exposes a ledger that was cut short, or set
back to an older copy.

1. The file is written after each charge. A crash between the two leaves it one charge behind, which
   proves nothing.
2. A tag under the ledger's key proves the file. Without the key it can still be compared with the
   ledger, but not proven.
3. Whoever sets ledger *and* file back to older copies is noticed by the aggregator, which remembers
   the newest head (agent.protocol.ledger_heads).
"""

import hmac
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.files import atomic_file
from agent.store.ledger_errors import missing_error, set_back_error

MAX_HEAD_BYTES = 4096


@dataclass(frozen=True)
class RecordedHead:
    """What the file says."""

    charges: int
    seal: str
    tag: str

    def check(self, seals: list[str], tag: str | None) -> None:
        """Check that the ledger with these seals is the recorded one or continues it.

        `tag` is the true one; None where the key is not at hand. Raises UserActionError
        LEDGER_SET_BACK.
        """
        is_proven = tag is None or hmac.compare_digest(tag.encode(), self.tag.encode())
        if not is_proven or not self.charges < len(seals) or seals[self.charges] != self.seal:
            raise set_back_error()


@dataclass(frozen=True)
class UnsealedHead:
    """The same from before ledgers were sealed."""

    charges: int
    hash: str

    def check(self, hashes: list[str]) -> None:
        """Check that the chain with these hashes is the recorded one or continues it.

        Raises UserActionError LEDGER_SET_BACK.
        """
        if not 0 < self.charges <= len(hashes) or hashes[self.charges - 1] != self.hash:
            raise set_back_error()


class LedgerHead:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, head: RecordedHead) -> None:
        """Replace the file. Raises OSError."""
        atomic_file.write(self._path, json.dumps(asdict(head)).encode())

    def remove(self) -> None:
        """Remove the file: the ledger begins anew under another key. Raises OSError."""
        atomic_file.remove(self._path)

    def read(self) -> RecordedHead | UnsealedHead | None:
        """Return what the file says; None without a file.

        Raises UserActionError LEDGER_SET_BACK when it is unreadable.
        """
        try:
            fields = json.loads(atomic_file.read(self._path, MAX_HEAD_BYTES))
            charges = int(fields["charges"])
            if charges < 0:
                raise ValueError("a negative number of charges")
            if "tag" in fields:
                return RecordedHead(charges, str(fields["seal"]), str(fields["tag"]))
            return UnsealedHead(charges, str(fields["hash"]))
        except (FileNotFoundError, NotADirectoryError):  # no file; a file where the home should be
            return None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise set_back_error() from error

    def read_sealed(self) -> RecordedHead:
        """Return what the file of a sealed ledger says.

        Raises UserActionError LEDGER_MISSING, LEDGER_SET_BACK.
        """
        recorded = self.read()
        if recorded is None:
            raise missing_error()
        if isinstance(recorded, UnsealedHead):
            raise set_back_error()
        return recorded
