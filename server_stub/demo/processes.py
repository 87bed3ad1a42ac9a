"""Starts processes that end with the program that started them, however it ends."""

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
"""A process that does not end when asked is killed after this time."""
READ_FROM_LOG_BYTES = 4000
POLL_S = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ManagedProcess:
    """A running process in a session of its own: Ctrl-C reaches only its parent, which ends it in
    order.

    Start it from a thread that lives as long as the process should: on Linux the kernel sends it
    SIGTERM when that thread ends.
    """

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path
    ) -> None:
        """`log`: the file that its output is appended to."""
        self.name = name
        self._log = log
        process = None
        try:
            with log.open("ab") as out, _signals_deferred():
                process = subprocess.Popen(
                    command,
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    preexec_fn=_ends_with_parent(os.getpid()),
                )
        except BaseException:  # a signal arrived during the start
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
        """Wait until `holds()`.

        Raises OperatorActionError with the process's last line of output when it ends first,
        InternalError CHILD_SLOW.
        """
        pause = threading.Event()
        for _ in range(int(seconds / POLL_S)):
            if holds():
                return
            if not self.is_running:
                raise self.failure()
            pause.wait(POLL_S)
        raise slow(self.name, seconds)

    def failure(self) -> OperatorActionError:
        """The error that its output ends with."""
        output = self._log.read_bytes()[-READ_FROM_LOG_BYTES:].decode(errors="replace")
        return exit_error(self.name, output)

    def end(self) -> None:
        """Ask it to end, and kill it if it does not. Calling it twice is fine."""
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


def slow(name: str, seconds: float) -> InternalError:
    """The error for a process that is not ready in time."""
    return InternalError(
        "CHILD_SLOW",
        f"{name} did not get ready within {seconds:.0f} s.",
        "Try again on a quieter machine.",
    )


def exit_error(name: str, output: str) -> OperatorActionError:
    """The error that a command wrote as its last line: "CODE: text" becomes that error, anything
    else CHILD_ENDED.
    """
    last = (output.strip().splitlines() or ["no output"])[-1].removeprefix("aegis: ")
    code, found, text = last.partition(": ")
    if found and code.isupper() and code.replace("_", "").isalnum():
        return OperatorActionError(code, text)
    return OperatorActionError(
        "CHILD_ENDED", f"{name} ended unexpectedly ({last[:200]}).", "Try again."
    )


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Handle SIGINT and SIGTERM at the end of the block: what a handler raises in the middle of a
    fork is lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, lambda number, _: received.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for each in received:
        signal.raise_signal(each)


def _ends_with_parent(parent: int) -> Callable[[], None] | None:
    libc = _LIBC
    if libc is None:
        return None

    # Runs between fork and exec, where almost nothing is safe: `libc` was loaded before.
    def set_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        # The parent ended before the call: its signal will never come.
        if os.getppid() != parent:
            os._exit(1)

    return set_signal
