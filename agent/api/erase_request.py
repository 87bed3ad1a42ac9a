"""The erase requests: what a server needs once everything on this device is gone.

One waits for each device that its server has not confirmed: a person may have joined another server
meanwhile, and erased that device too. The file has one request a line.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields

from agent.clock import Clock
from agent.config.effective import EffectiveConfig
from agent.consent.gate import Gate
from agent.errors import AegisError
from agent.files import atomic_file
from agent.identity.key_store_choice import KeyStoreChoice
from agent.paths import Home
from agent.transport.blocking import Blocking
from agent.transport.connections import Connections

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 64 * 1024
_LOST = {"IDENTITY_DAMAGED", "KEY_STORE_DAMAGED", "NOT_ENROLLED"}
"""Errors after which no later attempt can open the identity."""
_HERE_ONLY = (
    "Nothing was erased, because the key is needed to ask the server too. To erase only what is on"
    " this computer: aegis erase --here-only"
)


@dataclass(frozen=True)
class EraseRequest:
    """What outlives an erasure until the server has confirmed it.

    The secret authorises this request and nothing else.
    """

    server: str
    ca_pem: str
    signing_key: str
    device_id: str
    erase_secret: str = field(repr=False)
    since: int
    proxy: str = ""
    """The setting `network.proxy`, which the erasure deletes."""


class IdentityLostError(Exception):
    """The identity can never be opened again, so the server cannot be asked to erase its part."""


@dataclass(frozen=True)
class EraseRequests:
    """Prepares, stores and delivers the erase request of this device."""

    home: Home
    clock: Clock
    effective: EffectiveConfig
    keys: KeyStoreChoice
    gate: Gate
    connections: Connections
    blocking: Blocking
    changed: Callable[[], None]

    @property
    def is_waiting(self) -> bool:
        """Whether a request is stored that the server has not confirmed."""
        return self.home.erase_request.exists()

    @property
    def is_known(self) -> bool:
        """Whether a server knows this device, or may know it: its address can be lost."""
        enrolment = self.effective.enrolment()
        if not self.keys.has_identity() or (enrolment and not enrolment.is_registered):
            return False
        if enrolment is not None:
            return True
        # The store was damaged, and with it the server's address.
        return not (self.is_waiting or self.keys.identity_file().is_remnant())

    async def prepare(self) -> EraseRequest | None:
        """Return the request for this device; None when no server knows it.

        Raises IdentityLostError where the identity can never be opened again. Any other error of
        the key store passes: it may open later, and then the server can be asked.
        """
        enrolment = self.effective.enrolment()
        if not self.is_known:
            return None
        if enrolment is None:
            raise IdentityLostError("NOT_ENROLLED")
        try:
            identity = await self.blocking(self.keys.identity_file().load)
        except AegisError as error:
            if error.code in _LOST:
                raise IdentityLostError(error.code) from error
            error.remedy = f"{error.remedy} {_HERE_ONLY}"
            raise
        return EraseRequest(
            enrolment.server,
            enrolment.ca_pem,
            enrolment.signing_key,
            identity.device_id,
            identity.erase_secret,
            self.clock.now(),
            self.effective.settings().text("network.proxy"),
        )

    def store(self, request: EraseRequest) -> bool:
        """Store the request durably beside those that wait; return whether the disk took it.

        It replaces a file that cannot be read.
        """
        try:
            waiting = [one for one in self._waiting() if one.device_id != request.device_id]
        except (ValueError, TypeError):
            waiting = []
        except OSError as error:
            log.warning("erase.request_not_stored error=%s", error.strerror)
            return False
        return self._write([*waiting, request])

    async def deliver(self) -> bool:
        """Send the stored requests, if any; return whether none is left."""
        try:
            waiting = self._waiting()
        except (ValueError, TypeError, OSError) as error:
            log.warning("erase.request_unreadable error=%s", type(error).__name__)
            return False
        for request in waiting:
            if await self.send(request):
                self._confirmed(request)
        return not self.is_waiting

    def _confirmed(self, request: EraseRequest) -> None:
        """Forget a request. Another may have been stored since it was read."""
        left = [one for one in self._waiting() if one.device_id != request.device_id]
        if left:
            self._write(left)
        else:
            atomic_file.remove(self.home.erase_request)
        self.changed()

    def _waiting(self) -> list[EraseRequest]:
        """Return the stored requests. Raises OSError, and TypeError or ValueError for others."""
        try:
            content = atomic_file.read(self.home.erase_request, MAX_REQUEST_BYTES)
        except FileNotFoundError:
            return []
        return [_request(json.loads(line)) for line in content.splitlines() or [b""]]

    def _write(self, requests: list[EraseRequest]) -> bool:
        content = b"\n".join(json.dumps(asdict(one)).encode() for one in requests)
        if len(content) > MAX_REQUEST_BYTES:
            log.warning("erase.request_not_stored error=too many wait")
            return False
        try:
            atomic_file.write(self.home.erase_request, content)
        except OSError as error:
            log.warning("erase.request_not_stored error=%s", error.strerror)
            return False
        return True

    async def send(self, request: EraseRequest) -> bool:
        """Send a request; return whether the server has confirmed it."""
        self.gate.leave_permit().check()
        client = self.connections.client(
            request.server, request.ca_pem, request.signing_key, proxy=request.proxy
        )
        try:
            await self.blocking(
                lambda: client.erase_by_secret(request.device_id, request.erase_secret)
            )
        except AegisError as error:
            log.info("erase.waits code=%s", error.code)
            return False
        finally:
            client.close()
        return True


def _request(stored: object) -> EraseRequest:
    """Read a stored request. Raises TypeError, ValueError."""
    names = {item.name for item in fields(EraseRequest)}
    if not isinstance(stored, dict) or not set(stored) <= names:
        raise ValueError("not a request")
    if not all(
        isinstance(value, int if name == "since" else str) for name, value in stored.items()
    ):
        raise ValueError("a field of another type")
    return EraseRequest(**stored)
