"""One worker process: `python -m agent.worker PARENT_PID MEMORY_MIB CPU_PERCENT`.

The request arrives on stdin and the events leave on stdout, as frames (agent.protocol.pipe). The
request comes from the agent, which is trusted, and names what may be opened: the worker confines
itself to that before it opens anything. A frame that announces the request may come first; then it
is the one that counts. Secrets are never arguments.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from itertools import chain

from agent.sandbox.rules import Bounds, bound, confine

MAX_FILE_BYTES = 64 * 1024 * 1024


def main(arguments: list[str]) -> int:
    """Read a request, enter the sandbox, run the request, and write its events."""
    if sys.platform == "win32" and len(arguments) == 3:
        from agent.sandbox import windows

        # Where it cannot be made, the worker runs as it is, and the doctor says so.
        with suppress(OSError):
            return windows.run_confined(arguments)
    parent_pid, memory_mib, cpu_percent = map(int, arguments[:3])
    in_force = bound(Bounds(parent_pid, memory_mib << 20, MAX_FILE_BYTES))
    from agent.protocol.jobs import Confined, Done, write_event
    from agent.protocol.pipe import encode, read_frame
    from agent.worker.access import access
    from agent.worker.pacing import Pace
    from agent.worker.run import load, run

    # Unbuffered: `_new_limit` reads what follows the request.
    requests = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - closed with the process
    request = read_frame(requests)
    # Libraries load later, inside the sandbox: whatever they do then, they do confined.
    in_force += confine(access(request), inside=len(arguments) > 3)
    if request.header.get("announced"):
        load(request)
        request = read_frame(requests)
    stop_signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop_signals.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing that prints can spoil the frames
    pace = Pace(cpu_percent)

    def after_step() -> bool:
        if limit := _new_limit():
            pace.set_limit(limit)
        pace.after_step()
        return bool(stop_signals)

    for event in chain((Confined(in_force),), run(request, after_step), (Done(),)):
        events.write(encode(write_event(event)))
        events.flush()
    return 0


def _new_limit() -> int:
    """Return the newest processor limit that the agent sent since the last call, or 0.

    Each limit is one byte (agent.supervisor.process_worker).
    """
    # On Windows, select does not take pipes.
    if sys.platform == "win32" or not select.select([0], [], [], 0)[0]:
        return 0
    return (os.read(0, 4096) or b"\0")[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
