"""The server's leave to seal and charge one update at one head of the ledger, for a short time."""

from dataclasses import dataclass

from agent.clock import Clock
from agent.errors import PeerError


@dataclass(frozen=True)
class Admission:
    """Both clocks count, so that it ends in a computer that slept or whose clock was set."""

    head: str
    """The newest head of the ledger that the server knows. The charge must follow it."""
    lease_s: int
    """For how long, from the moment before the device asked."""
    wall: int
    monotonic: float
    """Both clocks at that moment."""

    def holds(self, clock: Clock) -> bool:
        """Whether the device may still charge: no other copy of it can have been admitted."""
        passed = clock.monotonic() - self.monotonic, clock.now() - self.wall
        return all(-1 <= each < self.lease_s for each in passed)

    def check(self, clock: Clock) -> None:
        """Raise PeerError ADMISSION_OVER when it no longer holds."""
        if not self.holds(clock):
            raise PeerError(
                "ADMISSION_OVER",
                "Sealing took longer than the server waits. Nothing was charged or sent.",
                "AegisAI tries again automatically.",
            )
