"""Shows and renews the keys that sign the model repository. docs/IDENTITY.md has the ceremony."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import OperatorActionError
from server_stub.config.home import ServerHome
from server_stub.publishing import tuf_repository

RENEW_SOON_S = 30 * 24 * 3600
YEARLY = ("root", "targets")


def show(home: ServerHome, now: int) -> dict[str, Any]:
    """Return when each signature ends, and what the operator should do about it.

    `renew_soon`: roles that need the offline keys within RENEW_SOON_S; `offline_keys_here`: offline
    keys that are still on this machine.
    """
    home.settings()
    ends = {
        role: int(end.timestamp()) for role, end in tuf_repository.ends(home.repository).items()
    }
    offline = sorted(path.name for path in (home.repository / "keys" / "offline").glob("*.pem"))
    soon = [role for role in YEARLY if ends[role] - now < RENEW_SOON_S]
    return {"ends": ends, "renew_soon": soon, "offline_keys_here": offline}


def renew(
    home: ServerHome, now: int, *, offline: Path | None, replace_online_key: bool
) -> dict[str, Any]:
    """Sign root and targets for another year, then return what `show` does.

    Raises OperatorActionError OFFLINE_KEYS.
    """
    home.settings()
    moment = datetime.fromtimestamp(now, UTC)
    try:
        with home.repository_lock():
            tuf_repository.renew(
                home.repository, moment, replace_online_key=replace_online_key, offline=offline
            )
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise OperatorActionError(
            "OFFLINE_KEYS",
            f"The offline keys cannot sign: {error}.",
            "Give the folder of the offline keys with --offline.",
        ) from error
    return show(home, now)
