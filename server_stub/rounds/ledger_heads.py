"""Decides whether a device's ledger continues the one that the aggregator knows. Sans-IO.

1. The aggregator remembers one head for a device: the newest. A device shows the heads of its
   ledger from an earlier point on. If the remembered head is among them, the ledger has only grown;
   so the aggregator may have been set back, or miss charges that never arrived. If it is not, this
   is another copy of the device, and it is refused for good.
2. While a round is open for a device, the aggregator reserves the head for one of its processes.
   A second copy waits until that process has sent or its time is over.
3. An update names the head before and after its charge. It is taken only if the remembered head is
   one of the two, and in the transaction that moves the remembered head. So all updates of a device
   are charges of one ledger, whatever copies, crashes and delays there were.
"""

from dataclasses import dataclass, replace

from agent.errors import PeerError
from agent.protocol.ledger_heads import HeadStep, ShownHeads
from server_stub.errors import BusyError

LOCAL_LEASE_S = 60
"""How long a device may take to seal and charge an update that needs no group."""
GRACE_S = 5
"""How much longer than its lease a head stays reserved."""


@dataclass(frozen=True)
class KnownHead:
    """What the aggregator remembers of a device's ledger."""

    count: int
    head: str
    session: str = ""
    """The process that the head is reserved for."""
    reserved_until: int = 0
    """Seconds since the epoch."""


def show(
    known: KnownHead | None, shown: ShownHeads, session: str, now: int, lease_s: int
) -> KnownHead:
    """Return what to remember once a device has shown its heads.

    `lease_s`: how long the process `session` may seal; 0 while no round is open for the device.
    Raises PeerError LEDGER_FORKED, LEDGER_BEHIND, BusyError LEDGER_RESERVED.
    """
    if known is not None:
        if known.count < shown.first:
            raise PeerError(
                "LEDGER_BEHIND",
                "The server knows an earlier head of this ledger than the first one shown.",
                "Show every head.",
            )
        if shown.at(known.count) != known.head:
            raise forked()
        is_reserved = known.reserved_until > now and known.session != session
        if is_reserved and known.head == shown.head:
            raise BusyError(
                "LEDGER_RESERVED",
                "Another process of this device was admitted and has not sent its update yet.",
                known.reserved_until - now,
            )
    if lease_s:
        return KnownHead(shown.count, shown.head, session, now + lease_s + GRACE_S)
    if known is not None and known.head == shown.head:
        return known
    return KnownHead(shown.count, shown.head)


def require_shown(known: KnownHead | None) -> None:
    """Raise PeerError LEDGER_UNSHOWN for a device that showed a head before and now shows none."""
    if known is not None:
        raise PeerError(
            "LEDGER_UNSHOWN",
            "This device must show the head of its ledger.",
            "Update the program of this device.",
        )


def advance(known: KnownHead | None, step: HeadStep | None) -> KnownHead | None:
    """Return what to remember once an update has been taken; None for a device that shows no heads.

    Raises PeerError LEDGER_FORKED, LEDGER_UNSHOWN.
    """
    if step is None:
        require_shown(known)
        return None
    after = KnownHead(step.count, step.after)
    before = replace(after, count=step.count - 1, head=step.before)
    if known is not None and (known.count, known.head) not in (
        (before.count, before.head),
        (after.count, after.head),
    ):
        raise forked()
    return after


def forked() -> PeerError:
    """The error for a device whose ledger does not continue the one that the aggregator knows."""
    return PeerError(
        "LEDGER_FORKED",
        "Another copy of this device has taken part since.",
        "Enrol this copy anew with a new invitation.",
    )
