"""Renews a certificate, and says when that is due."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.identity.identity import Identity, IdentityFile
    from agent.transport.client import AggregatorClient


def renewal_due(identity: "Identity", now: int) -> bool:
    """Whether two thirds of the certificate's life are over; `now` in seconds since the epoch."""
    return 3 * (now - identity.not_before) >= 2 * (identity.not_after - identity.not_before)


def renew(file: "IdentityFile", client: "AggregatorClient", ca_pem: str) -> None:
    """Fetch and store the next certificate, for a new key.

    Calling it again completes an interrupted renewal. `client` keeps the identity that it was made
    with, so a round ends under the key with which it began. Raises PeerError BAD_CERTIFICATE and
    what the server raises.
    """
    file.set_renewed(client.renew(file.renewal_csr_pem()), ca_pem)
