"""Enforces the limits of one running worker from outside, in a thread that ends with the worker.

It suspends and resumes the whole process tree by the debt arithmetic of `cpu_meter`, and checks
memory, written bytes and time once a second. `hold` suspends the worker at any moment: the caller
sends the signal itself and does not wait for the thread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.supervisor.cpu_meter import Account, opened
from agent.supervisor.tree import ProcessTree, memory_available
from agent.supervisor.watchdog import Action, Caps, Sample, StopEvent, check

POLL_S = 1.0
DISCOVER_S = 5.0
"""Listing a machine's processes costs more than all the rest of a poll, and the sandbox allows no
children.
"""
GRACE_S = 2.0
"""Time to write a checkpoint, between the request to end and the kill."""
WINDOW_S = 60


@dataclass(frozen=True)
class Measured:
    """What the worker uses, by the kernel's counters."""

    cpu_percent: float
    """Per cent of one core over the last minute, or since its start."""
    rss_bytes: int
    running_s: float


class Governor:
    """The limits of one worker. Start it once, and `close` it when the worker has ended."""

    def __init__(self, tree: ProcessTree, caps: Caps, stopped: Callable[[StopEvent], None]) -> None:
        """A limit that ends the worker calls `stopped` once, from the governor's thread."""
        self._tree = tree
        self._caps = caps
        self._on_stop = stopped
        self.stopped: StopEvent | None = None
        self.final_s: float | None = None
        """Processor seconds in total, once closed."""
        self._wakeup = threading.Lock()
        """Unlocked to wake the thread; waiting for it costs less than for a threading.Event."""
        self._wakeup.acquire()
        self._suspension = threading.Lock()
        """Suspending excludes resuming: no slice that is due resumes a worker just put on hold."""
        self._closing = False
        self._suspended = False
        self._held_since: float | None = None
        self._started = time.monotonic()
        self._cpu_time_s = 0.0
        self._rss = 0
        self._discovered_at = self._started
        self._history: deque[tuple[float, float]] = deque(maxlen=WINDOW_S + 1)
        self._thread = threading.Thread(target=self._run, name="governor", daemon=True)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_held(self) -> bool:
        return self._held_since is not None

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

    def hold(self) -> None:
        """Suspend the worker now, until `release`."""
        with self._suspension:
            if self._held_since is None:
                self._held_since = time.monotonic()
            self._tree.suspend()
            self._suspended = True
        self._discover()

    def release(self) -> None:
        """Let it continue at once, within its limit."""
        with self._suspension:
            self._held_since = None
        self._wake()

    def measured(self) -> Measured:
        now, (then, used_then) = time.monotonic(), self._history[0]
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
            self._thread.join(timeout=1.0)
        if self.final_s is None:
            self.final_s = self._tree.cpu_time_s()  # before its pid can be reused
        self._tree.kill()

    def _run(self) -> None:
        now = time.monotonic()
        account, polled_at = opened(now, self._caps.share), now
        self._discover()
        while not self._closing:
            if self._held_since is not None:
                self._wait(POLL_S)
                account = self._meter(account, 0.0)
            elif self._caps.cpu_percent is None:
                self._resume()
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
        """One period: run for the balance of the account, then stay suspended to its end."""
        while not account.is_spent and not self._closing and self._resume():
            started = time.monotonic()
            if started >= account.ends_at:
                return account  # a balance is left at the end of the period: run on
            self._wait(account.slice_s(started))
            account = self._meter(account, time.monotonic() - started)
        self._suspend()
        while (
            not self._closing
            and self._held_since is None
            and (rest := account.ends_at - time.monotonic()) > 0
        ):
            self._wait(rest)
        return account

    def _meter(self, account: Account, ran_s: float) -> Account:
        before, self._cpu_time_s = self._cpu_time_s, self._tree.cpu_time_s()
        return account.used(self._cpu_time_s - before, ran_s)

    def _discover(self) -> None:
        """Find new children; while the worker is suspended they are suspended too."""
        self._discovered_at = time.monotonic()
        self._tree.discover()
        with self._suspension:
            if self._suspended:
                self._tree.suspend()

    def _resume(self) -> bool:
        """Let it run, unless it is on hold or runs already. Whether it may run."""
        with self._suspension:
            if self._held_since is None and self._suspended:
                self._tree.resume()
                self._suspended = False
            return self._held_since is None

    def _suspend(self) -> None:
        with self._suspension:
            if not self._suspended:
                self._tree.suspend()
                self._suspended = True

    def _wake(self) -> None:
        with suppress(RuntimeError):  # already awake
            self._wakeup.release()

    def _wait(self, seconds: float) -> None:
        """Until `_wake`, at most `seconds`."""
        self._wakeup.acquire(timeout=seconds)

    def _poll(self, now: float) -> bool:
        """Once a second: children, memory, time. False once the worker is gone or was ended."""
        if now - self._discovered_at >= DISCOVER_S:
            self._discover()
        usage = self._tree.poll()
        if usage is None:
            return False
        self._history.append((now, self._cpu_time_s))
        self._rss, held_since = usage.rss_bytes, self._held_since
        sample = Sample(
            now - self._started,
            0.0 if held_since is None else now - held_since,
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
        self.stopped = event
        if event.action is Action.ENDED:
            self._tree.terminate()
            give_up = time.monotonic() + GRACE_S
            while (
                self._tree.poll() is not None and not self._closing and time.monotonic() < give_up
            ):
                self._wait(0.05)
        self._tree.kill()
        self._on_stop(event)
