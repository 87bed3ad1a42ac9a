"""Computes how long a worker may run in each period to stay within its processor limit. Pure: the
clock and the kernel's counters are passed in.

The loop keeps an account. Every period earns `share` of its length; what the kernel measured is
subtracted; the worker runs only while something is left. Periods start on a fixed grid, so every
window of a second contains the same number of slices. Overuse is a debt that later periods pay
back, at most DEBT_CAP_S. Unused time expires beyond CREDIT_CAP_S, so nothing can be saved for a
burst.
"""

from dataclasses import dataclass, replace

PERIOD_S = 0.125
"""A second contains a whole number of periods. Longer ones would cost less, but when other programs
delay a slice, more of it would fall into one second."""
MIN_SLICE_S = 0.002
"""A smaller rest is carried over: the two signals would cost more than it is worth."""
SPINS = 0.75
"""A worker that used a smaller share of its last slice paces itself or waits for a disk. One that
used more gets no slack."""
SLACK_S = 0.02
"""The processor time that a worker which does not spin may overuse before its counters are read
again; it pays that back at once. Without it every small step would cost a reading."""
CREDIT_CAP_S = 0.02
"""The unused time that the next period inherits; it raises no second by more than two points."""
FORGET = 0.1
"""The weight of a new, slower pace against the one known so far."""
DEBT_CAP_S = 2.0
"""The most that is ever paid back: after a stall (a debugger, a frozen machine) a worker must not
wait for minutes."""


@dataclass(frozen=True)
class Account:
    """What a worker may still use in the period that ends at `ends_at`."""

    left_s: float
    """Processor seconds; negative is debt."""
    ends_at: float
    """Monotonic seconds."""
    rate: float = 1.0
    """Processor seconds per second while it runs, at least 1; two threads use 2."""
    spins: bool = True
    """Whether it used nearly all of its last slice."""

    @property
    def is_spent(self) -> bool:
        return self.left_s < MIN_SLICE_S

    def used(self, cpu_s: float, ran_s: float = 0.0) -> "Account":
        """Return the account after a use of `cpu_s`.

        `ran_s` is how long the worker ran for that; 0 leaves the estimated pace as it is.
        """
        rate, spins = self.rate, self.spins
        if ran_s >= MIN_SLICE_S:
            # Believe a faster pace at once and a slower one gradually: a short slice harms nothing.
            pace = cpu_s / ran_s
            rate, spins = max(1.0, pace, rate + FORGET * (pace - rate)), pace > SPINS
        return Account(self.left_s - cpu_s, self.ends_at, rate, spins)

    def slice_s(self, now: float) -> float:
        """Return how long it may run before the counters must be read again."""
        usable = self.left_s if self.spins else self.left_s + SLACK_S
        return max(0.0, min(usable / self.rate, self.ends_at - now))

    def next_period(self, now: float, share: float) -> "Account":
        """Return the account of the next period; after a stall, of the one that contains `now`."""
        missed = max(0, int((now - self.ends_at) / PERIOD_S))
        carried = max(min(self.left_s, share * PERIOD_S, CREDIT_CAP_S), -DEBT_CAP_S)
        return replace(
            self, left_s=carried + share * PERIOD_S, ends_at=self.ends_at + (missed + 1) * PERIOD_S
        )


def open_account(now: float, share: float) -> Account:
    """Return the account of a worker's first period."""
    return Account(share * PERIOD_S, now + PERIOD_S)
