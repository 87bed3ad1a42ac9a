"""When a certificate is renewed, and the renewal itself."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.identity.identity import Identity, IdentityFile
    from agent.transport.client import AggregatorClient


def renewal_due(identity: "Identity", now: int) -> bool:
    """Whether two thirds of the certificate's life are over; `now` in seconds since the epoch."""
    return 3 * (now - identity.not_before) >= 2 * (identity.not_after - identity.not_before)


def renew(file: "IdentityFile", client: "AggregatorClient", ca_pem: str) -> None:
    """Get and store the next certificate, for a new key. Calling it again completes what an
    interruption left.

    `client` keeps the identity that it was made with, so a round is finished with the key it began
    with.
    """
    file.set_renewed(client.renew(file.renewal_csr_pem()), ca_pem)
