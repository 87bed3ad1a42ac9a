"""Looks the enrolment authority over: a new head of its log, this device's certificate in it, and
nothing of the past changed.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from agent.protocol.issuance import LogHead, check_entry, check_growth, read_head, refused

if TYPE_CHECKING:
    from agent.transport.client import AggregatorClient

AUDIT_PERIOD_S = 24 * 3600
Ask = Callable[[Callable[[], dict[str, Any]]], Awaitable[dict[str, Any]]]
"""Makes one blocking request off the event loop, or raises when none may be made any more."""


async def audit(
    ask: Ask, client: "AggregatorClient", ca_pem: str, certificate_sha256: str, seen: LogHead | None
) -> LogHead:
    """The head to remember; `seen` is the one of the last time.

    Raises PeerError ISSUANCE_LOG, and what `ask` and `client` raise.
    """
    head = read_head(await ask(client.log_head), ca_pem)
    if seen is not None and head.size < seen.size:
        raise refused("is shorter than when this device last saw it")
    check_entry(
        head, await ask(lambda: client.log_proof(certificate_sha256, head.size)), certificate_sha256
    )
    if seen is not None:
        check_growth(seen, head, await ask(lambda: client.log_consistency(seen.size, head.size)))
    return head
