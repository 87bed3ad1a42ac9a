"""Where the sockets of a home are. It depends on the home alone, never on a login's environment.

1. They are in the home's own folder `run`, which lasts as long as the home.
2. Where the home's file system has no sockets (FAT, some network file systems) they are in the
   user's runtime folder, and the file ELSEWHERE in `run` says in which. Whoever needs a socket
   first decides; later ones follow the file as long as that folder is there.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agent.errors import UserActionError
from agent.files import atomic_file
from agent.ipc.private_folder import PrivateFolder
from agent.paths import Home, runtime_folder

ELSEWHERE = "sockets-in"
MAX_PATH_BYTES = 4096


def socket_of(home: Home, process: str = "agent") -> Path:
    """Return where the socket of a process is, if it listens.

    `process`: agent, tray or window. Raises UserActionError CHANNEL_UNSAFE.
    """
    folder = _recorded(home)
    return _socket(home, folder or home.run, process)


def place_socket(home: Home, environ: Mapping[str, str], process: str = "agent") -> Path:
    """Return where a process can make its socket.

    Raises OSError, UserActionError CHANNEL_UNSAFE, NO_SOCKETS.
    """
    if _has_sockets(home.run):
        if (home.run / ELSEWHERE).exists():
            atomic_file.remove(home.run / ELSEWHERE)
        return _socket(home, home.run, process)
    recorded = _recorded(home)
    for folder in (recorded, runtime_folder(environ), runtime_folder({})):
        with suppress(OSError, UserActionError):
            if folder is not None and _has_sockets(folder):
                if folder != recorded:
                    atomic_file.write(home.run / ELSEWHERE, os.fsencode(folder))
                return _socket(home, folder, process)
    raise UserActionError(
        "NO_SOCKETS",
        "Neither AegisAI's folder nor your runtime folder can hold the socket of the agent.",
        "Choose a home on another file system with --home, or set XDG_RUNTIME_DIR.",
    )


def _socket(home: Home, folder: Path, process: str) -> Path:
    if folder == home.run:
        return folder / f"{process}.sock"
    return folder / f"{home.name}-{process}.sock"


def _recorded(home: Home) -> Path | None:
    try:
        with PrivateFolder(home.run) as run:
            return Path(os.fsdecode(run.read(ELSEWHERE, MAX_PATH_BYTES)))
    except (OSError, ValueError):
        return None


def _has_sockets(folder: Path) -> bool:
    """Try it: which file systems have sockets, no table says."""
    probe = f"probe-{os.getpid()}.sock"
    with PrivateFolder.make(folder) as private:
        try:
            private.listen(probe).close()
        except OSError:
            return False
        private.remove(probe)
        return True
