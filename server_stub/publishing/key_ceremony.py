"""The keys that sign the model repository: what the operator sees of them, and the yearly renewal
(docs/IDENTITY.md, key ceremony).
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.clock import utc
from agent.errors import OperatorActionError
from server_stub.config.home import ServerHome
from server_stub.publishing import tuf_repository

SOON_S = 30 * 24 * 3600
YEARLY = ("root", "targets")


def show(home: ServerHome, now: int) -> dict[str, Any]:
    """When each signature ends, which need the offline keys soon, and whether these lie where they
    should not.
    """
    home.settings()
    ends = {
        role: int(end.timestamp()) for role, end in tuf_repository.ends(home.repository).items()
    }
    offline = sorted(path.name for path in (home.repository / "keys" / "offline").glob("*.pem"))
    soon = [role for role in YEARLY if ends[role] - now < SOON_S]
    return {"ends": ends, "renew_soon": soon, "offline_keys_here": offline}


def show_text(answer: dict[str, Any]) -> str:
    lines = [f"{role:<10} until {utc(end)}" for role, end in answer["ends"].items()]
    if answer["renew_soon"]:
        lines.append(
            f"{' and '.join(answer['renew_soon'])} end soon: bring the offline keys and run"
            " `aegis-server keys renew --offline DIR`."
        )
    if answer["offline_keys_here"]:
        lines.append(
            "The offline keys are on this machine. Move them to media that are not connected, each"
            " root key to another person."
        )
    return "\n".join(lines)


def renew(
    home: ServerHome, now: int, *, offline: Path | None, replace_online_key: bool
) -> dict[str, Any]:
    """Sign root and targets for another year. Raises OperatorActionError OFFLINE_KEYS."""
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
            "Give their folder with --offline.",
        ) from error
    return show(home, now)
