"""When a certificate is renewed and how long to wait after a failure: plain arithmetic."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.identity.identity import Identity, IdentityFile
    from agent.transport.client import AggregatorClient

FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 3600.0
OFFLINE_BUDGET = 24
"""After so many failures in a row (about a day) the network is not worth more than a try every six
hours."""
SPARSE_WAIT_S = 6 * 3600.0


def renewal_due(identity: "Identity", now: int) -> bool:
    """Whether two thirds of the certificate's life are over; `now` in seconds since the epoch."""
    return 3 * (now - identity.not_before) >= 2 * (identity.not_after - identity.not_before)


def renew(file: "IdentityFile", client: "AggregatorClient", ca_pem: str) -> None:
    """Get and store the next certificate with a new key. An interruption at any point is made good
    by calling it again.

    `client` goes on with the identity that it was made with, so a round is finished with the key it
    began with.
    """
    file.set_renewed(client.renew(file.renewal_csr_pem()), ca_pem)


def wait_s(failures: int, draw: float, retry_after_s: int = 0) -> float:
    """Seconds to wait after so many failures in a row: exponential with jitter, never less than the
    server asked for.

    `draw` is uniform in [0, 1).
    """
    longest = SPARSE_WAIT_S if failures > OFFLINE_BUDGET else LONGEST_WAIT_S
    step = (
        longest
        if failures > OFFLINE_BUDGET
        else min(longest, FIRST_WAIT_S * 2.0 ** min(failures - 1, 20))
    )
    return max(float(retry_after_s), 0.0) + step * (0.5 + draw)
