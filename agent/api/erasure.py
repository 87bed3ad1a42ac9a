"""Forgetting: identity and data are destroyed here at once; the server is told, and told again
until it confirms (P2, C18).

1. What the server needs to know (device id, erase secret) is taken from the identity and written to
   a small request file.
2. Work stops; key, certificate, models, trained updates, samples, settings, records and logs are
   removed.
3. The request is sent under the farewell permit, and repeated by every later run until the server
   confirms. Then its file goes too. A key store that was locked is asked again in the same way to
   let go of its part, which opens nothing any more.
"""

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent import atomic_file
from agent.errors import AegisError, UserActionError

if TYPE_CHECKING:
    from agent.app import Agent

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 64 * 1024
ERASING = "erasing"
"""Value that is in the store from the first step of an erase to the last."""


@dataclass(frozen=True)
class EraseRequest:
    """What outlives an erase until the server has confirmed it.

    The secret is good for nothing but this request.
    """

    server: str
    ca_pem: str
    signing_key: str
    device_id: str
    erase_secret: str
    since: int
    proxy: str = ""
    """The setting `network.proxy`, which an erase forgets."""


async def erase(agent: "Agent") -> dict[str, Any]:
    """Forget everything; `pending` says whether the server still has to confirm,
    `server_unreachable_forever` that it cannot be told.

    Raises UserActionError KEYRING_LOCKED: nothing was changed, because the server could not be told
    afterwards.
    """
    request, lost = await _request(agent)
    await agent.runner.stop()
    if request is not None:
        atomic_file.write(agent.home.erase_request, json.dumps(asdict(request)).encode())
    agent.values.put(ERASING, True)
    await agent.blocking(lambda: _destroy_identity(agent))
    agent.forget_everything()
    pending = not await resume(agent) or agent.identity_file_exists()
    agent.wake()
    return {"pending": pending, "server_cannot_be_told": lost}


def finish(agent: "Agent") -> None:
    """At the start: go on with an erase that a crash interrupted.

    Raises UserActionError HOME_UNUSABLE.
    """
    if not agent.values.get(ERASING):
        return
    try:
        _destroy_identity(agent)
        agent.forget_everything()
    except OSError as error:
        raise UserActionError(
            "HOME_UNUSABLE",
            f"An erase that was interrupted could not be finished ({error.strerror}).",
            "Make the folder of AegisAI's own files writable, or remove it.",
            str(error),
        ) from error


async def resume(agent: "Agent") -> bool:
    """Do what an erase had to leave: tell the server, and have the key store let go; True when
    nothing is left.
    """
    if _is_left(agent):
        await agent.blocking(lambda: _destroy_identity(agent))
    return await deliver(agent) and not _is_left(agent)


def _is_left(agent: "Agent") -> bool:
    """Whether the key store still holds what opened an identity that is gone."""
    if agent.effective.enrolment() is not None or not agent.identity_file_exists():
        return False
    try:
        return agent.identity_file().is_remnant()
    except AegisError:
        return False


async def deliver(agent: "Agent") -> bool:
    """Send a waiting request; True when none is left."""
    try:
        request = EraseRequest(
            **json.loads(atomic_file.read(agent.home.erase_request, MAX_REQUEST_BYTES))
        )
    except FileNotFoundError:
        return True
    except (ValueError, TypeError, OSError):
        log.warning("erase.request_unreadable")
        return False
    agent.gate.farewell().check()
    client = agent.connection(
        request.server, request.ca_pem, request.signing_key, proxy=request.proxy
    )
    try:
        await agent.blocking(
            lambda: client.erase_by_secret(request.device_id, request.erase_secret)
        )
    except AegisError as error:
        log.info("erase.waits code=%s", error.code)
        return False
    finally:
        client.close()
    atomic_file.remove(agent.home.erase_request)
    agent.changed()
    return True


def _destroy_identity(agent: "Agent") -> None:
    """The ciphertext goes in any case; a wrapping key that the keyring does not let go is good for
    nothing and is tried again.
    """
    try:
        if agent.identity_file_exists():
            agent.identity_file().destroy()
    except (AegisError, OSError) as error:
        log.warning("erase.keyring_kept error=%s", error)


async def _request(agent: "Agent") -> tuple[EraseRequest | None, bool]:
    """What to tell the server, and whether there would have been something that cannot be told any
    more.
    """
    enrolment = agent.effective.enrolment()
    if enrolment is None or not enrolment.is_registered or not agent.identity_file_exists():
        return None, False
    try:
        identity = await agent.blocking(agent.identity_file().load)
    except UserActionError as error:
        if error.code in ("KEYRING_LOCKED", "PASSPHRASE_MISSING"):
            raise
        return None, True
    return (
        EraseRequest(
            enrolment.server,
            enrolment.ca_pem,
            enrolment.signing_key,
            identity.device_id,
            identity.erase_secret,
            agent.clock.now(),
            agent.effective.settings().text("network.proxy"),
        ),
        False,
    )
