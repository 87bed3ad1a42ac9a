"""The agent acts on other processes through the psutil handle, and through nothing else.

Every call that reaches a process without it stands below with its reason. A call that is missing
there, and one that is there but gone from the code, both fail.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SIGNALS = {"kill", "killpg", "pidfd_open", "wait", "wait3", "wait4", "waitid", "waitpid"}
PRIORITIES = {"getpriority", "nice", "sched_setaffinity", "sched_setscheduler", "setpriority"}
GROUPS = {"getpgid", "getsid", "setpgid"}
CALLS = {
    "os": SIGNALS | PRIORITIES | GROUPS,
    "signal": {"pidfd_send_signal", "pthread_kill"},
    "time": {"clock_gettime", "clock_gettime_ns", "pthread_getcpuclockid"},
}
ALLOWED = {
    ("agent/clock.py", "time.clock_gettime"): "seconds since the start, asleep too; no process",
    ("agent/clock.py", "/proc"): "names the computer's start; no process",
    ("agent/supervisor/tree.py", "os.killpg"): "psutil signals no group; this ends `kill`",
    ("agent/supervisor/tree.py", "os.getsid"): "psutil knows no sessions; this acts on nothing",
    ("agent/supervisor/tree.py", "time.clock_gettime"): "psutil counts in ticks of 10 ms",
    ("agent/sandbox/rules.py", "resource"): "a worker bounds itself; psutil does on Linux only",
    ("agent/sandbox/private_memory.py", "resource"): "a process turns its own core dumps off",
    ("agent/sandbox/escape.py", "os.waitpid"): "the attempt to fork waits for its child",
    ("agent/ipc/private_folder.py", "/proc"): "its own folder, under a short name; no process",
    ("agent/sandbox/escape.py", "/proc"): "attempts to reach the agent, which must fail",
}


def direct_calls(source):
    """What reaches processes without psutil: CALLS, `resource`, and files of /proc."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in CALLS.get(
                module, ()
            ):
                yield f"{module}.{name}"
            case ast.ImportFrom(module=str(module), names=names) if module in CALLS:
                reached = {name.name for name in names} & CALLS[module]
                yield from (f"{module}.{name}" for name in sorted(reached))
            case ast.Import(names=names) if any(name.name == "resource" for name in names):
                yield "resource"
            case ast.ImportFrom(module="resource"):
                yield "resource"
            case ast.Constant(value=str(text)) if text.startswith("/proc"):
                yield "/proc"
            case _:
                pass


def test_the_agent_reaches_other_processes_through_psutil_alone():
    found = {
        (str(path.relative_to(ROOT)), call)
        for path in (ROOT / "agent").rglob("*.py")
        for call in direct_calls(path.read_text())
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("import os\nos.kill(pid, 9)", "os.kill"),
        ("from os import killpg as end", "os.killpg"),
        ("def f():\n    import resource", "resource"),
        ("signal.pidfd_send_signal(fd, 9)", "signal.pidfd_send_signal"),
        ("open(f'/proc/{pid}/stat')", "/proc"),
        ("act = os.setpriority", "os.setpriority"),
        ("from time import clock_gettime", "time.clock_gettime"),
    ],
)
def test_each_way_around_it_is_seen(source, call):
    assert list(direct_calls(source)) == [call]
