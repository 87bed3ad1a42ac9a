"""The worker of a scan, started before anything else is loaded: a person waits for it.

It loads Python while this process does. An announcement says what its job may open: it confines
itself to that, and loads its libraries while this process reads the model. A ProcessWorker
(agent.supervisor.process_worker) adopts it for its next request. Imports little, and asyncio then.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from agent.sandbox.environment import environment

if TYPE_CHECKING:
    import asyncio

    from agent.protocol.pipe import Frame

SCAN_MEMORY_MIB = 1024
WORKER_FOLDER = os.path.abspath(os.sep)  # noqa: PTH100 - the root of this drive
"""It is always there, and the worker of a scan writes nothing."""
MAX_NOTICE_BYTES = 4096
"""A pipe takes so many at once, whether or not the child reads."""


def start_for_scan() -> "EarlyChild | None":
    """Start it; None where that is not possible: the scan starts its worker itself then."""
    if os.name != "posix":  # Windows: asyncio adopts no pipe of subprocess
        return None
    try:
        return EarlyChild(worker_command())
    except OSError:
        return None


class EarlyChild:
    """A child that waits for its request. `close` it, whether or not it was adopted."""

    def __init__(self, command: Sequence[str]) -> None:
        """Raises OSError when it cannot be started."""
        self._process = subprocess.Popen(
            [*command, str(os.getpid()), str(SCAN_MEMORY_MIB), "100"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            cwd=WORKER_FOLDER, env=environment(os.environ), start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid

    def announce(self, request: "Frame") -> None:
        """Send what the job may open, before the request itself. A long list is not worth it."""
        from agent.protocol.pipe import Frame, encode

        notice = encode(Frame({**request.header, "announced": True}, request.parts))
        if len(notice) <= MAX_NOTICE_BYTES and self._process.stdin is not None:
            with suppress(OSError):  # whoever sends the request notices that the child has died
                self._process.stdin.write(notice)

    async def adopted(self, limit: int) -> "AdoptedChild":
        """Let the running loop read and write its pipes; `limit`: bytes of the reader's buffer."""
        import asyncio

        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), self._process.stdin
        )
        return AdoptedChild(
            self._process, asyncio.StreamWriter(transport, protocol, None, loop), reader
        )

    def close(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class AdoptedChild:
    """What a ProcessWorker needs of an asyncio.subprocess.Process."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        stdin: "asyncio.StreamWriter",
        stdout: "asyncio.StreamReader",
    ) -> None:
        self._process = process
        self.pid = process.pid
        self.stdin = stdin
        self.stdout = stdout

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> int:
        """Wait until it has ended, and close the pipe to it."""
        import asyncio

        code = await asyncio.to_thread(self._process.wait)
        self.stdin.close()
        return code


def worker_command() -> tuple[str, ...]:
    """Return the command that starts a worker.

    An installed package runs its module; a frozen program, which an installer puts in place, runs
    itself.
    """
    if getattr(sys, "frozen", False):
        return (sys.executable, "--worker")
    return (sys.executable, "-P", "-m", "agent.worker")
