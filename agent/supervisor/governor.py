"""Holds one running worker to its limits from outside, whatever the worker does: a thread that
lives only while the worker runs.

It suspends and resumes the whole process tree by the debt arithmetic of `cpu_meter`, looks once a
second at memory, written bytes and time, and can be told at any moment to hold the worker back: the
signal is sent by the caller itself, without waiting for the thread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.supervisor.cpu_meter import Account, opened
from agent.supervisor.tree import Tree, memory_available
from agent.supervisor.watchdog import Action, Caps, Sample, StopEvent, check

LOOK_S = 1.0
GRACE_S = 2.0
"""Time for a checkpoint between "please end" and the kill."""
WINDOW_S = 60


@dataclass(frozen=True)
class Measured:
    """What the kernel says the worker took."""

    cpu_percent: float
    """Per cent of one core over the last minute, or since its start."""
    rss_bytes: int
    running_s: float


class Governor:
    """One worker's limits. Start it once; `close` it when the worker has ended."""

    def __init__(self, tree: Tree, caps: Caps, stopped: Callable[[StopEvent], None]) -> None:
        """`stopped` is called from the governor's thread, once, when a limit ends the worker."""
        self._tree = tree
        self._caps = caps
        self._on_stop = stopped
        self.stopped: StopEvent | None = None
        self.final_s: float | None = None
        """What it used in all, once it is closed."""
        self._alarm = threading.Lock()
        """Held but for the moment in which it wakes the thread; to wait for it costs less than for
        a threading.Event."""
        self._alarm.acquire()
        self._turn = threading.Lock()
        """Suspending and resuming exclude each other, so that a worker just held is not resumed by
        a slice that was due."""
        self._closing = False
        self._suspended = False
        self._held_since: float | None = None
        self._started = time.monotonic()
        self._used = 0.0
        self._rss = 0
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
        """Begin to govern; what was used before does not count."""
        self._started, self._used = time.monotonic(), self._tree.used_s()
        self._history.append((self._started, self._used))
        self._thread.start()

    def set_caps(self, caps: Caps) -> None:
        """Other limits from the next period on."""
        self._caps = caps

    def hold(self) -> None:
        """Suspend the worker now; it stays so until `release`."""
        with self._turn:
            if self._held_since is None:
                self._held_since = time.monotonic()
            self._tree.suspend()
            self._suspended = True

    def release(self) -> None:
        """Let it go on at once, within its limit."""
        with self._turn:
            self._held_since = None
        self._wake()

    def measured(self) -> Measured:
        now, (then, used_then) = time.monotonic(), self._history[0]
        share = (self._used - used_then) / max(now - then, LOOK_S)
        return Measured(share * 100, self._rss, now - self._started)

    def used_s(self) -> float:
        """Processor seconds since the worker's start."""
        return self._tree.used_s() if self.final_s is None else self.final_s

    def close(self) -> None:
        """End the thread; a worker that is still there is killed."""
        self._closing = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        if self.final_s is None:
            self.final_s = self._tree.used_s()  # before another process may get its number
        self._tree.kill()

    def _run(self) -> None:
        now = time.monotonic()
        account, looked_at = opened(now, self._caps.share), now
        while not self._closing:
            if self._held_since is not None:
                self._wait(LOOK_S)
                account = self._meter(account, 0.0)
            elif self._caps.cpu_percent is None:
                self._resume()
                self._wait(LOOK_S)
                self._used = self._tree.used_s()
            else:
                account = self._period(account)
            now = time.monotonic()
            if now - looked_at >= LOOK_S:
                looked_at = now
                if not self._look(now):
                    return
            account = account.next_period(now, self._caps.share)

    def _period(self, account: Account) -> Account:
        """One period: run for what the account holds, then stand still to its end."""
        while not account.is_spent and not self._closing and self._resume():
            started = time.monotonic()
            if started >= account.ends_at:
                return (
                    account  # still something left at the end of the period: go on without a stop
                )
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
        before, self._used = self._used, self._tree.used_s()
        return account.used(self._used - before, ran_s)

    def _resume(self) -> bool:
        """Let it run, unless it is held back or runs already; whether it may."""
        with self._turn:
            if self._held_since is None and self._suspended:
                self._tree.resume()
                self._suspended = False
            return self._held_since is None

    def _suspend(self) -> None:
        with self._turn:
            if not self._suspended:
                self._tree.suspend()
                self._suspended = True

    def _wake(self) -> None:
        with suppress(RuntimeError):  # it was woken already
            self._alarm.release()

    def _wait(self, seconds: float) -> None:
        """Until woken, or for so long."""
        self._alarm.acquire(timeout=seconds)

    def _look(self, now: float) -> bool:
        """Once a second: children, memory, time. False when the worker is gone or was ended."""
        held = self._tree.look()
        if held is None:
            return False
        self._history.append((now, self._used))
        self._rss, held_since = held.rss_bytes, self._held_since
        sample = Sample(
            now - self._started,
            0.0 if held_since is None else now - held_since,
            held.rss_bytes,
            held.written_bytes,
            memory_available(),
        )
        event = check(sample, self._caps)
        if event is None:
            return True
        self._end(event)
        return False

    def _end(self, event: StopEvent) -> None:
        self.stopped = event
        if event.action is Action.ENDED:
            self._tree.end()
            give_up = time.monotonic() + GRACE_S
            while (
                self._tree.look() is not None and not self._closing and time.monotonic() < give_up
            ):
                self._wait(0.05)
        self._tree.kill()
        self._on_stop(event)
