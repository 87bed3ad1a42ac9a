"""Audits the enrolment authority by its issuance log.

The log must continue the one that this device saw before, and hold this device's certificate.

1. The audit runs once a day, and for every new certificate.
2. A log that contradicts what this device saw before ends the connection (PeerError ISSUANCE_LOG).
3. A log that cannot be fetched is audited by the next connection.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.errors import AegisError
from agent.store.shapes import conforms
from agent.store.values import Values
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.protocol.issuance import LogHead
    from agent.transport.client import AggregatorClient

log = logging.getLogger(__name__)

AUDIT_PERIOD_S = 24 * 3600
ISSUANCE_LOG = "issuance_log"
"""Key in the store: the head of the authority's log at the last audit."""
LOG_SIZES = "issuance_log_sizes"
"""Key in the store: when this device audited the log, and its size then."""
SIZES_SHAPE = {"authority": str, "sizes": list}
MAX_SIZES = 128
"""More than a task may ask days for (agent.protocol.messages.MAX_PEER_DAYS)."""
SHAPE = {"size": int, "root": str, "authority": str, "certificate": str, "at": int}
Request = Callable[[Callable[[], dict[str, Any]]], Awaitable[dict[str, Any]]]
"""Makes one blocking request off the event loop. Raises once no more requests may be made."""


class LogAuditor:
    """Remembers the last head that it saw and audits the next one against it."""

    def __init__(self, clock: Clock, values: Values, blocking: Blocking) -> None:
        self._clock = clock
        self._values = values
        self._blocking = blocking

    async def audit(
        self, permit: Permit, client: "AggregatorClient", ca_pem: str, certificate_sha256: str
    ) -> None:
        """Audit the log if an audit is due.

        Raises PeerError ISSUANCE_LOG, UserActionError NO_CONSENT.
        """
        from agent.protocol.issuance import LogHead

        last, now = self._values.get(ISSUANCE_LOG, SHAPE) or {}, self._clock.now()
        authority = _digest(ca_pem)
        is_same_authority = last.get("authority") == authority
        if (
            is_same_authority
            and last["certificate"] == certificate_sha256
            and 0 <= now - last["at"] < AUDIT_PERIOD_S
        ):
            return

        async def request(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            permit.check()
            return await self._blocking(call)

        previous = LogHead(last["size"], last["root"]) if is_same_authority else None
        try:
            head = await check_log(request, client, ca_pem, certificate_sha256, previous)
        except AegisError as error:
            if error.code == "ISSUANCE_LOG":
                raise
            permit.check()
            log.warning("issuance_log.not_checked code=%s", error.code)
            return
        sizes = self._sizes(authority)
        self._values.put(
            LOG_SIZES,
            {"authority": authority, "sizes": [*sizes[-MAX_SIZES + 1 :], [now, head.size]]},
        )
        self._values.put(
            ISSUANCE_LOG,
            {
                "size": head.size,
                "root": head.root,
                "authority": authority,
                "certificate": certificate_sha256,
                "at": now,
            },
        )

    def last_head(self, ca_pem: str) -> "LogHead | None":
        """The head of this authority's log at the last audit; None before the first."""
        from agent.protocol.issuance import LogHead

        last = self._values.get(ISSUANCE_LOG, SHAPE) or {}
        is_same = last.get("authority") == _digest(ca_pem)
        return LogHead(last["size"], last["root"]) if is_same else None

    def first_audit(self, ca_pem: str) -> int | None:
        """When this device first saw the log: right after it was enrolled."""
        sizes = self._sizes(_digest(ca_pem))
        return sizes[0][0] if sizes else None

    def size_after(self, ca_pem: str, time: int) -> int | None:
        """The size of the log that this device saw soonest at `time` or after; None for none."""
        return min((size for at, size in self._sizes(_digest(ca_pem)) if at >= time), default=None)

    def _sizes(self, authority: str) -> list[list[int]]:
        """When this device audited the log, and the size that it had, oldest first."""
        stored = self._values.get(LOG_SIZES, SIZES_SHAPE) or {}
        if stored.get("authority") != authority:
            return []
        return [one for one in stored["sizes"] if conforms(one, [int, int])]


def _digest(ca_pem: str) -> str:
    return hashlib.sha256(ca_pem.encode()).hexdigest()


async def check_log(
    request: Request,
    client: "AggregatorClient",
    ca_pem: str,
    certificate_sha256: str,
    previous: "LogHead | None",
) -> "LogHead":
    """Return the log's head, proven to hold the certificate and to continue `previous`.

    Raises PeerError ISSUANCE_LOG, and what `request` and `client` raise.
    """
    from agent.protocol.issuance import check_entry, check_growth, read_head, refused

    head = read_head(await request(client.log_head), ca_pem)
    if previous is not None and head.size < previous.size:
        raise refused("is shorter than when this device last saw it")
    proof = await request(lambda: client.log_proof(certificate_sha256, head.size))
    check_entry(head, proof, certificate_sha256)
    if previous is not None:
        growth = await request(lambda: client.log_consistency(previous.size, head.size))
        check_growth(previous, head, growth)
    return head
