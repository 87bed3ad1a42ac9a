"""A clock that moves only when a test moves it."""

from agent.clock import Uptime


class FakeClock:
    def __init__(self, now: int = 1_800_000_000) -> None:
        self.wall = now
        self.ticks = 1000.0
        self.started = Uptime("first start", 50_000)
        self.slept = 0

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def uptime(self):
        return self.started

    def elapsed(self) -> float:
        return self.ticks + self.slept

    def advance(self, seconds: int) -> None:
        """Move both clocks, as time does while the machine is awake."""
        self.wall += seconds
        self.ticks += seconds
        self._count(seconds)

    def sleep_machine(self, seconds: int) -> None:
        """Move all but the monotonic clock, as in a suspended laptop."""
        self.wall += seconds
        self.slept += seconds
        self._count(seconds)

    def set(self, seconds: int) -> None:
        """Move only the time of day, as a person or a time server does."""
        self.wall += seconds

    def restart_machine(self, name="second start"):
        """Start the computer again: the time since the start begins anew."""
        self.started = Uptime(name, 0)

    def _count(self, seconds):
        self.started = Uptime(self.started.start, self.started.seconds + seconds)
