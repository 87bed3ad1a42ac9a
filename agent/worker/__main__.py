"""One worker process, `python -m agent.worker PARENT_PID MEMORY_MIB CPU_PERCENT`.

It enters the sandbox, then serves one request. Requests come in on stdin and events go out on
stdout as frames (agent.protocol.pipe). Secrets are never arguments.
"""

import os
import select
import signal
import sys

from agent.sandbox.rules import SandboxRules, apply

MAX_FILE_BYTES = 64 * 1024 * 1024


def main(arguments: list[str]) -> int:
    """Inside the sandbox: read a request, run it, write the result."""
    parent_pid, memory_mib, cpu_percent = (int(word) for word in arguments)
    apply(SandboxRules(parent_pid, memory_mib << 20, MAX_FILE_BYTES))
    from agent.protocol.jobs import Done, write_event
    from agent.protocol.pipe import encode, read_frame
    from agent.worker.pacing import Pace
    from agent.worker.run import run

    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_end.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints can spoil the frames
    asks = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - unbuffered: what follows the request is read by `_new_limit`
    request, pace = read_frame(asks), Pace(cpu_percent)

    def after_step() -> bool:
        if limit := _new_limit():
            pace.set_limit(limit)
        pace.after_step()
        return bool(asked_to_end)

    for event in run(request, after_step):
        answers.write(encode(write_event(event)))
        answers.flush()
    answers.write(encode(write_event(Done())))
    answers.flush()
    return 0


def _new_limit() -> int:
    """The processor limit that the agent sent since the last look, else 0: one byte each
    (agent.supervisor.worker).
    """
    if (
        sys.platform == "win32" or not select.select([0], [], [], 0)[0]
    ):  # select takes no pipes there
        return 0
    return (os.read(0, 4096) or b"\0")[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
