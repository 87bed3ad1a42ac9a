"""The paths of one agent: its home and what is in it.

The home belongs to one user. Folders in it are real folders of that user; a link in their place is
refused, because the program would write wherever it points.
"""

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import UserActionError

RECORD_PREFIX = "running-worker-"
"""A file named with this and the pid exists while a worker trains (agent.supervisor.reaper)."""


@dataclass(frozen=True)
class Home:
    """The folder with the whole state of one agent (mode 0700)."""

    root: Path

    @property
    def name(self) -> str:
        """Short name of this home, for files outside it."""
        return hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:16]

    @property
    def identity(self) -> Path:
        return self.root / "identity.aead"

    @property
    def database(self) -> Path:
        return self.root / "agent.sqlite3"

    @property
    def consent_switch(self) -> Path:
        """Says "on" while consent is given (agent.consent.switch)."""
        return self.root / "consent-switch"

    @property
    def withdrawal_mark(self) -> Path:
        """Exists from a withdrawal until the record says so (agent.consent.mark)."""
        return self.root / "withdrawn"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def trust(self) -> Path:
        """Metadata of the model repository."""
        return self.root / "trust"

    @property
    def model_seen_at(self) -> Path:
        return self.root / "model-seen-at"

    @property
    def ledger_head(self) -> Path:
        """Length and last hash of the ledger (agent.store.head)."""
        return self.root / "ledger-head"

    @property
    def scratch(self) -> Path:
        """Encrypted trained updates. Each start empties it, except for the checkpoint of an
        interrupted training.
        """
        return self.root / "scratch"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def run(self) -> Path:
        """Sockets, and files that last no longer than the process that wrote them."""
        return self.root / "run"

    @property
    def erase_request(self) -> Path:
        """An erase request that the server has not confirmed. Nothing else may outlive an erase."""
        return self.root / "erase.pending"

    @property
    def last_cycle(self) -> Path:
        """Why the last cycle failed or waited (agent.ipc.last_cycle)."""
        return self.root / "last-cycle.json"

    @property
    def demo_mark(self) -> Path:
        return self.root / "demo"

    @property
    def is_demo(self) -> bool:
        """Whether the demonstration made this home. Then its key store is in memory, and simulated
        consent counts.
        """
        return self.demo_mark.exists()

    def obstacle(self) -> str:
        """Return, as a clause, why nothing can be written here; empty when it can. A home that is
        missing can be written when it can be made.
        """
        place = existing_folder(self.root)
        if not place.is_dir():
            return "a file is in its place" if place == self.root else "a file is in the way"
        if os.access(place, os.W_OK | os.X_OK):
            return ""
        return "it cannot be written to" if place == self.root else "it cannot be made"

    @property
    def is_ours(self) -> bool:
        """Whether the folder belongs to the user who runs this."""
        return not hasattr(os, "geteuid") or self.root.stat().st_uid == os.geteuid()

    def prepare(self) -> None:
        """Make the folders, readable by their owner only.

        Raises UserActionError HOME_FOREIGN, HOME_UNUSABLE.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_owner(self)
            for folder in (self.models, self.scratch, self.logs):
                folder.mkdir(mode=0o700, exist_ok=True)
                _check_folder(folder)
            if os.path.lexists(self.run):  # else whoever needs it makes it
                _check_folder(self.run)
            if os.name != "nt" and stat.S_IMODE(self.root.stat().st_mode) != 0o700:
                self.root.chmod(0o700)
        except OSError as error:
            raise UserActionError(
                "HOME_UNUSABLE",
                f"AegisAI cannot use the folder for its own files ({error.strerror}).",
                "Choose another with --home or AEGIS_HOME, or free some space.",
            ) from error


def check_owner(home: Home) -> None:
    """Raise UserActionError HOME_FOREIGN when the folder is there and another user's."""
    if home.root.is_dir() and not home.is_ours:
        raise UserActionError(
            "HOME_FOREIGN",
            "AegisAI's folder belongs to another user of this computer.",
            "Run AegisAI as that user, or choose another folder with --home or AEGIS_HOME.",
        )


def existing_folder(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _check_folder(folder: Path) -> None:
    """Check that a folder in the home is a real one of this user. Raises OSError."""
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{folder.name} in it is a link, or not a folder")
    if hasattr(os, "geteuid") and facts.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{folder.name} in it belongs to another user")


def default_home(environ: Mapping[str, str]) -> Path:
    """Return AEGIS_HOME, else the platform's folder for a program's own data.

    Raises UserActionError HOME_UNUSABLE for a user without a home folder.
    """
    if chosen := environ.get("AEGIS_HOME"):
        return Path(chosen)
    if sys.platform == "win32" and (data := environ.get("LOCALAPPDATA")):
        return Path(data) / "AegisAI"
    if sys.platform not in ("win32", "darwin") and (data := environ.get("XDG_DATA_HOME")):
        return Path(data) / "aegisai"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UserActionError(
            "HOME_UNUSABLE",
            "This user has no home folder.",
            "Choose a folder for AegisAI with --home or AEGIS_HOME.",
        ) from error
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "AegisAI"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "AegisAI"
    return home / ".local" / "share" / "aegisai"


def runtime_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for sockets of a home whose file system has none (agent.ipc.places)."""
    if base := environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "aegisai"
    import tempfile

    owner = os.getuid() if hasattr(os, "getuid") else environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"aegisai-{owner}"


def policy_path() -> Path:
    """Return the machine's policy file. Nothing that a person sets can move it."""
    if sys.platform == "win32":
        return _program_data() / "AegisAI" / "policy.toml"
    if sys.platform == "darwin":
        return Path("/Library/Application Support/AegisAI/policy.toml")
    return Path("/etc/aegisai/policy.toml")


def _program_data() -> Path:
    """Return the folder for all users' program data, from Windows itself: a person can change the
    variable of that name. Unverified on Windows.
    """
    import ctypes

    csidl_common_appdata, max_path = 0x23, 260
    found = ctypes.create_unicode_buffer(max_path)
    shell: Any = ctypes.CDLL("shell32")
    if shell.SHGetFolderPathW(None, csidl_common_appdata, None, 0, found):
        return Path("C:/ProgramData")
    return Path(found.value)
