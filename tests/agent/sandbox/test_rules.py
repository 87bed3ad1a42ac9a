"""The rules of the sandbox, each against a child that tries to break it in several ways."""

import platform
import sys

import pytest

from agent.sandbox.rules import RULES
from tests.fakes.confined import run

MIB = 2**20
LINUX_X86 = sys.platform == "linux" and platform.machine() == "x86_64"


@pytest.mark.skipif(sys.platform != "linux", reason="the rules are Linux's")
def test_p9_every_rule_is_in_force_here():
    assert set(RULES) <= set(run("print(*in_force, sep=chr(10))").stdout.splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
@pytest.mark.parametrize(
    "call",
    [
        "lambda: socket.socket(socket.AF_INET)",
        "lambda: socket.socket(socket.AF_UNIX)",
        "socket.socketpair",
        "os.fork",
        "lambda: os.execv('/bin/true', ['true'])",
        "lambda: os.posix_spawn('/bin/true', ['true'], {})",
        "lambda: os.kill(os.getppid(), 0)",
        "lambda: os.kill(os.getpid(), 0)",
        "os.setsid",
        "lambda: os.chmod('/tmp', 0o777)",
        "lambda: open('/etc/passwd')",
        "lambda: os.listdir('/home')",
    ],
)
def test_p9_a_call_that_leaves_the_sandbox_is_refused(call):
    done = run(f"print(refused({call}))")
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.skipif(not LINUX_X86, reason="numbers of the system calls of x86-64")
@pytest.mark.parametrize(
    ("number", "name"),
    [
        (57, "fork"),
        (58, "vfork"),
        (59, "execve"),
        (101, "ptrace"),
        (157, "prctl"),
        (272, "unshare"),
        (311, "process_vm_writev"),
        (321, "bpf"),
        (424, "pidfd_send_signal"),
        (425, "io_uring_setup"),
        (438, "pidfd_getfd"),
        (0x40000000 + 41, "socket of the x32 interface"),
    ],
)
def test_p9_a_raw_system_call_is_refused(number, name):
    # prctl(1, ...) is PR_SET_PDEATHSIG: nothing may switch it off again.
    done = run(f"print(refused(lambda: syscall({number}, 1, 0, 0, 0, 0)))")
    assert done.stdout == "True\n", name


def test_threads_may_start():
    program = (
        "thread = threading.Thread(target=lambda: print('runs')); thread.start(); thread.join()"
    )
    assert run(program).stdout == "runs\n"


def test_a_process_may_end_itself_with_a_signal():
    assert run("import faulthandler; os.abort()").returncode == -6


def test_p9_memory_beyond_the_limit_is_refused():
    program = (
        "try: bytearray(1024 * 2**20)\nexcept MemoryError: print('memory' in in_force, 'refused')"
    )
    assert run(program).stdout == "True refused\n"


def test_p9_a_file_beyond_the_limit_is_refused(tmp_path):
    program = (
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "file = os.open('big', os.O_WRONLY | os.O_CREAT)\n"
        "os.write(file, bytes(2**20))\n"
        "try: os.write(file, b'x')\nexcept OSError: print('file size' in in_force, 'refused')"
    )
    done = run(program, access=f"Access(write=({str(tmp_path)!r},))", cwd=tmp_path)
    assert done.stdout == "True refused\n"
    assert (tmp_path / "big").stat().st_size == MIB


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_p10_a_child_whose_parent_has_died_already_ends():
    done = run("print('runs')", parent_pid=1)
    assert (done.returncode, done.stdout) == (1, "")


def test_p11_a_worker_cannot_keep_many_files_open():
    program = (
        "kept = []\n"
        "try:\n"
        "    while len(kept) < 1000: kept.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: print('open files' in in_force, 'refused')"
    )
    assert run(program).stdout == "True refused\n"
