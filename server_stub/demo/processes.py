"""Processes that the demonstration starts: they end with the program that started them, however
that ends.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from agent.errors import InternalError, OperatorActionError

END_S = 10.0
"""A process that was asked to end is killed after this time."""
TOLD_BYTES = 4000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ManagedProcess:
    """A running process in a session of its own, so that Ctrl-C reaches only its parent, who ends
    it in order.

    Start it from a thread that lives as long as the process should: on Linux the kernel ends it
    (SIGTERM) with that thread.
    """

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path
    ) -> None:
        """`log` takes what it writes."""
        self.name = name
        self._log = log
        process = None
        try:
            with log.open("ab") as out, _signals_wait():
                process = subprocess.Popen(
                    command,
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    preexec_fn=_ends_with_parent(os.getpid()),
                )
        except BaseException:  # told to end meanwhile
            if process is not None:
                process.kill()
                process.wait()
            raise
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds.

        Raises OperatorActionError with what the process said when it ends first, InternalError
        CHILD_SLOW.
        """
        waiting = threading.Event()
        for _ in range(int(seconds / 0.02)):
            if holds():
                return
            if not self.is_running:
                raise self.failure()
            waiting.wait(0.02)
        raise InternalError(
            "CHILD_SLOW",
            f"{self.name} did not get ready within {seconds:.0f} s.",
            "Try again on a quieter machine.",
        )

    def failure(self) -> OperatorActionError:
        """Its last words as an error: a line "CODE: text" becomes that error."""
        return last_words(self.name, self._log.read_bytes()[-TOLD_BYTES:].decode(errors="replace"))

    def end(self) -> None:
        """Ask it to end, kill it when it does not. Twice is fine."""
        if self.is_running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
        if self.is_running:
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> "ManagedProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def last_words(name: str, said: str) -> OperatorActionError:
    """The error that a command wrote as its last line."""
    last = (said.strip().splitlines() or ["it said nothing"])[-1].removeprefix("aegis: ")
    code, found, text = last.partition(": ")
    if found and code.isupper() and code.replace("_", "").isalnum():
        return OperatorActionError(code, text)
    return OperatorActionError(
        "CHILD_ENDED", f"{name} ended unexpectedly ({last[:200]}).", "Try again."
    )


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals to end are handled at the block's end: what their handler raises in the middle of a
    fork, Python throws away.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for each in came:
        signal.raise_signal(each)


def _ends_with_parent(parent: int) -> Callable[[], None] | None:
    libc = _LIBC
    if libc is None:
        return None

    def set_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return set_signal
