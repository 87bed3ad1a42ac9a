"""Enforces the limits of one running worker from outside, in a thread that ends with the worker.

It runs the process tree in slices, as the debt arithmetic of `cpu_meter` allows, and checks memory,
written bytes and time once a second. `suspend` works from any thread and at once: the caller sends
the signal itself instead of waiting for the governor's thread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.supervisor.cpu_meter import Account, open_account
from agent.supervisor.suspension import Suspension
from agent.supervisor.tree import ProcessTree, memory_available
from agent.supervisor.watchdog import Action, Caps, Sample, StopEvent, check

POLL_S = 1.0
DISCOVER_S = 5.0
"""Listing a machine's processes costs more than the rest of a poll, and the sandbox allows no
children anyway.
"""
GRACE_S = 2.0
"""The time to write a checkpoint, between the request to end and the kill."""
GRACE_POLL_S = 0.05
WINDOW_S = 60
"""The share that people see is the average over this time."""


@dataclass(frozen=True)
class Measured:
    """What the worker uses, by the kernel's counters."""

    cpu_percent: float
    """Per cent of one core over the last minute, or since its start."""
    rss_bytes: int
    running_s: float


class Governor:
    """The limits of one worker. Start it once, and `close` it when the worker has ended."""

    def __init__(self, tree: ProcessTree, caps: Caps, on_stop: Callable[[StopEvent], None]) -> None:
        """A limit that ends the worker calls `on_stop` once, from the governor's thread."""
        self._tree = tree
        self._caps = caps
        self._on_stop = on_stop
        self.stopped: StopEvent | None = None
        """Why a limit ended the worker; None if none did."""
        self.final_s: float | None = None
        """Processor seconds in total, once closed."""
        self._suspension = Suspension(tree)
        self._wakeup = threading.Lock()
        """Unlocked to wake the thread; waiting for it costs less than for a threading.Event."""
        self._wakeup.acquire()
        self._closing = False
        self._started = time.monotonic()
        self._cpu_time_s = 0.0
        self._rss = 0
        self._discovered_at = self._started
        self._history: deque[tuple[float, float]] = deque(maxlen=WINDOW_S + 1)
        """(monotonic seconds, processor seconds), one entry for each poll."""
        self._thread = threading.Thread(target=self._run, name="governor", daemon=True)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_suspended(self) -> bool:
        """Whether the agent has suspended the worker; pauses between slices do not count."""
        return self._suspension.since is not None

    @property
    def share(self) -> float:
        return self._caps.share

    def start(self) -> None:
        """Begin to govern. What the worker used before does not count."""
        self._started, self._cpu_time_s = time.monotonic(), self._tree.cpu_time_s()
        self._history.append((self._started, self._cpu_time_s))
        self._thread.start()

    def set_caps(self, caps: Caps) -> None:
        """Apply other limits from the next period on."""
        self._caps = caps

    def suspend(self) -> None:
        """Suspend the worker now, until `resume`."""
        self._suspension.request()
        # After the signal: the listing takes milliseconds, in which the worker must not run.
        self._discover()

    def resume(self) -> None:
        """Let it continue at once, within its limit."""
        self._suspension.withdraw()
        self._wake()

    def measured(self) -> Measured:
        now, (then, used_then) = time.monotonic(), self._history[0]
        # Right after the start the window is too short to divide by.
        share = (self._cpu_time_s - used_then) / max(now - then, POLL_S)
        return Measured(share * 100, self._rss, now - self._started)

    def cpu_time_s(self) -> float:
        """Processor seconds since the worker's start."""
        return self._tree.cpu_time_s() if self.final_s is None else self.final_s

    def kill(self) -> None:
        """Kill the worker and all it started, at once and from any thread."""
        self._tree.kill()

    def close(self) -> None:
        """End the thread and kill a worker that is still there."""
        self._closing = True
        self._wake()
        if self._thread.is_alive():
            # Bounded: a daemon thread that hangs in a poll must not delay the end of the job.
            self._thread.join(timeout=1.0)
        if self.final_s is None:
            self.final_s = self._tree.cpu_time_s()  # before its pid can be reused
        self._tree.kill()

    def _run(self) -> None:
        now = time.monotonic()
        account, polled_at = open_account(now, self._caps.share), now
        self._discover()
        while not self._closing:
            if self.is_suspended:
                self._wait(POLL_S)
                # A worker that was suspended in a slice has used part of it: that is charged too.
                account = self._meter(account, 0.0)
            elif self._caps.cpu_percent is None:
                self._suspension.start_slice()
                self._wait(POLL_S)
                self._cpu_time_s = self._tree.cpu_time_s()
            else:
                account = self._period(account)
            now = time.monotonic()
            if now - polled_at >= POLL_S:
                polled_at = now
                if not self._poll(now):
                    return
            account = account.next_period(now, self._caps.share)

    def _period(self, account: Account) -> Account:
        """Run for the balance of the account, then stay suspended until the period ends."""
        while not account.is_spent and not self._closing and self._suspension.start_slice():
            started = time.monotonic()
            if started >= account.ends_at:
                # A balance is left at the end of the period: two signals would only cost time.
                return account
            self._wait(account.slice_s(started))
            account = self._meter(account, time.monotonic() - started)
        self._suspension.end_slice()
        while (
            not self._closing
            and not self.is_suspended
            and (rest := account.ends_at - time.monotonic()) > 0
        ):
            self._wait(rest)
        return account

    def _meter(self, account: Account, ran_s: float) -> Account:
        before, self._cpu_time_s = self._cpu_time_s, self._tree.cpu_time_s()
        return account.used(self._cpu_time_s - before, ran_s)

    def _discover(self) -> None:
        """Find new children, and suspend them too while the worker is suspended."""
        self._discovered_at = time.monotonic()
        self._tree.discover()
        self._suspension.include_new()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # already awake
            self._wakeup.release()

    def _wait(self, seconds: float) -> None:
        """Wait until `_wake`, at most `seconds`."""
        self._wakeup.acquire(timeout=seconds)

    def _poll(self, now: float) -> bool:
        """Check children, memory and time. False: the worker has ended, or a limit ended it."""
        if now - self._discovered_at >= DISCOVER_S:
            self._discover()
        # Usage of the whole tree: a worker must not escape a limit through its children.
        usage = self._tree.poll()
        if usage is None:
            return False
        self._history.append((now, self._cpu_time_s))
        self._rss, suspended_since = usage.rss_bytes, self._suspension.since
        sample = Sample(
            now - self._started,
            0.0 if suspended_since is None else now - suspended_since,
            usage.rss_bytes,
            usage.written_bytes,
            memory_available(),
        )
        event = check(sample, self._caps)
        if event is None:
            return True
        self._stop(event)
        return False

    def _stop(self, event: StopEvent) -> None:
        # Before the worker ends: whoever sees it end asks why.
        self.stopped = event
        if event.action is Action.ENDED:
            self._tree.terminate()
            deadline = time.monotonic() + GRACE_S
            while (
                self._tree.poll() is not None and not self._closing and time.monotonic() < deadline
            ):
                self._wait(GRACE_POLL_S)
        self._tree.kill()
        self._on_stop(event)
