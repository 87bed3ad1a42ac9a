"""The arithmetic of a processor limit: how long a worker may run in each period. Pure; the clock
and the kernel's counters are passed in.

The closed loop is a debt: every period earns `share` of its length, what the kernel says was used
is subtracted, and the worker runs only while something is left. Periods start on a fixed grid, so
that every window of a second holds the same number of slices. Too much used is paid back later (at
most DEBT_CAP_S); time not used is forgotten beyond CREDIT_CAP_S, so that nothing can be saved up
for a burst.
"""

from dataclasses import dataclass, replace

PERIOD_S = 0.125
"""A second holds a whole number of them. Longer ones cost less, but where others delay a slice,
more of it falls into one second."""
MIN_SLICE_S = 0.002
"""Less than this is carried over: starting and stopping would cost more than it gives."""
SPINS = 0.75
"""A worker that used less than this of its last slice paces itself or waits for a disk; one that
used more gets no slack."""
SLACK_S = 0.02
"""Of processor time: so much may one that does not spin take too much before it is looked at again.
It is paid back at once."""
CREDIT_CAP_S = 0.02
"""So much unused time is carried into the next period: no second is more than two points above the
limit for it."""
FORGET = 0.1
DEBT_CAP_S = 2.0
"""After a stall (a debugger, a frozen machine) the worker waits for 2 s of processor time at
most."""


@dataclass(frozen=True)
class Account:
    """What a worker may still use in the period that ends at `ends_at`."""

    left_s: float
    """Processor seconds; negative is debt."""
    ends_at: float
    """Monotonic seconds."""
    rate: float = 1.0
    """Processor seconds per second while it runs, at least 1; two threads make 2."""
    spins: bool = True

    @property
    def is_spent(self) -> bool:
        return self.left_s < MIN_SLICE_S

    def used(self, cpu_s: float, ran_s: float = 0.0) -> "Account":
        """After the kernel said that `cpu_s` were used, while running for `ran_s` (0: not to be
        learnt from).
        """
        rate, spins = self.rate, self.spins
        if ran_s >= MIN_SLICE_S:
            # Believe a faster pace at once and a slower one gradually: a short slice harms nothing.
            seen = cpu_s / ran_s
            rate, spins = max(1.0, seen, rate + FORGET * (seen - rate)), seen > SPINS
        return Account(self.left_s - cpu_s, self.ends_at, rate, spins)

    def slice_s(self, now: float) -> float:
        """How long it may run before the counters must be read again."""
        usable = self.left_s if self.spins else self.left_s + SLACK_S
        return max(0.0, min(usable / self.rate, self.ends_at - now))

    def next_period(self, now: float, share: float) -> "Account":
        """The account of the period that follows, or of the one that holds `now` after a stall."""
        missed = max(0, int((now - self.ends_at) / PERIOD_S))
        carried = max(min(self.left_s, share * PERIOD_S, CREDIT_CAP_S), -DEBT_CAP_S)
        return replace(
            self, left_s=carried + share * PERIOD_S, ends_at=self.ends_at + (missed + 1) * PERIOD_S
        )


def opened(now: float, share: float) -> Account:
    """The first period of a worker."""
    return Account(share * PERIOD_S, now + PERIOD_S)
