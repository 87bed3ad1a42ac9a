"""Looks the enrolment authority over: a new head of its log, this device's certificate in it, and nothing of the past changed."""

from typing import TYPE_CHECKING

from agent.protocol.issuance import LogHead, check_entry, check_growth, read_head, refused

if TYPE_CHECKING:
    from agent.transport.client import AggregatorClient

AUDIT_PERIOD_S = 24 * 3600


def audit(client: "AggregatorClient", ca_pem: str, certificate_sha256: str, seen: LogHead | None) -> LogHead:
    """The head to remember; `seen` is the one of the last time. Blocking.

    Raises PeerFault ISSUANCE_LOG, and what `client` raises.
    """
    head = read_head(client.log_head(), ca_pem)
    if seen is not None and head.size < seen.size:
        raise refused("is shorter than when this device last saw it")
    check_entry(head, client.log_proof(certificate_sha256, head.size), certificate_sha256)
    if seen is not None:
        check_growth(seen, head, client.log_consistency(seen.size, head.size))
    return head
