"""The filter decides each call as the list says: here by interpreting its program, for both
architectures.
"""

import os
import re
import struct
from pathlib import Path

import pytest

from agent.sandbox import system_calls
from agent.sandbox.system_calls import ALLOW, ARCHITECTURES, ENOSYS, EPERM, ERRNO, KILL, program

PID = 4711
REFUSED, ABSENT = ERRNO | EPERM, ERRNO | ENOSYS
X86, ARM = ARCHITECTURES["x86_64"], ARCHITECTURES["aarch64"]
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
O_TMPFILE = 0o20200000


def decide(lines, number, arguments=(), audit=X86.audit):
    """What the filter answers: a small interpreter of classic BPF."""
    padded = (*arguments, *[0] * 6)[:6]
    call = struct.pack("=IIQ6Q", number, audit, 0, *(value & (2**64 - 1) for value in padded))
    code = [struct.unpack_from("=HBBI", lines, at) for at in range(0, len(lines), 8)]
    place, accumulator = 0, 0
    tests = {
        0x15: lambda value: accumulator == value,
        0x35: lambda value: accumulator >= value,
        0x45: lambda value: bool(accumulator & value),
    }
    while True:
        operation, then, otherwise, value = code[place]
        place += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", call, value)
        else:
            place += then if tests[operation](value) else otherwise


def answer(name, *arguments, writes=False):
    """The answer on x86-64, which has all the calls."""
    return decide(program(X86, PID, writes=writes), X86.number(name), arguments)


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES.values())
def test_every_number_gets_an_answer(architecture, writes):
    lines = program(architecture, PID, writes=writes)
    answers = {number: decide(lines, number, audit=architecture.audit) for number in range(600)}
    assert set(answers.values()) == {ALLOW, REFUSED, ABSENT}
    assert all(answers[number] == ABSENT for number in range(system_calls.FIRST_UNKNOWN, 600))
    assert len(lines) // 8 < 4096, "the kernel takes no longer program"


@pytest.mark.parametrize(
    "number",
    # x86-64: kill, ptrace, process_vm_readv, connect, execve, io_uring_setup, keyctl, chmod, shmget
    [62, 101, 310, 42, 59, 425, 250, 90, 29, 434, 438, 165, 272, 308, 321, 298, 323, 203, 141],
)
def test_p12_what_is_not_on_the_list_is_refused(number):
    assert decide(program(X86, PID, writes=True), number) == REFUSED


def test_p12_a_call_of_another_architecture_ends_the_process():
    assert decide(program(X86, PID, writes=False), 0, audit=0x40000003) == KILL  # i386
    assert decide(program(ARM, PID, writes=False), 63, audit=X86.audit) == KILL


def test_p12_the_calls_of_x32_are_refused():
    assert decide(program(X86, PID, writes=False), 0x40000000 + 39) == REFUSED


@pytest.mark.parametrize(
    ("flags", "reads", "writes"),
    [
        (os.O_RDONLY | os.O_CLOEXEC, ALLOW, ALLOW),
        (os.O_RDONLY | os.O_DIRECTORY, ALLOW, ALLOW),
        (os.O_WRONLY, REFUSED, ALLOW),
        (os.O_RDWR, REFUSED, ALLOW),
        (os.O_WRONLY | os.O_CREAT | os.O_EXCL, REFUSED, ALLOW),
        (O_TMPFILE | os.O_WRONLY, REFUSED, ALLOW),
        # Landlock's first versions let everybody truncate.
        (os.O_RDONLY | os.O_TRUNC, REFUSED, REFUSED),
        (os.O_WRONLY | os.O_TRUNC, REFUSED, REFUSED),
    ],
)
def test_p12_only_a_job_that_leaves_a_file_may_open_one_to_write(flags, reads, writes):
    assert answer("openat", -100, 0, flags) == reads
    assert answer("openat", -100, 0, flags, writes=True) == writes
    assert answer("open", 0, flags) == reads


def test_p12_a_job_that_reads_removes_and_renames_nothing():
    for name in ("unlink", "unlinkat", "rename", "renameat", "renameat2"):
        assert (answer(name), answer(name, writes=True)) == (REFUSED, ALLOW)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("fcntl", (0, 3), ALLOW),  # F_GETFL
        ("fcntl", (0, 1030, 3), ALLOW),  # F_DUPFD_CLOEXEC
        ("fcntl", (0, 6, 1), REFUSED),  # F_SETLK
        ("fcntl", (0, 8, 1), REFUSED),  # F_SETOWN
        ("fcntl", (0, 10, 9), REFUSED),  # F_SETSIG
        ("fcntl", (0, 15, 9), REFUSED),  # F_SETOWN_EX
        ("ioctl", (0, 0x5401), ALLOW),  # TCGETS
        ("ioctl", (0, 0x5412), REFUSED),  # TIOCSTI
        ("ioctl", (0, 0x541C), REFUSED),  # TIOCLINUX
        ("prctl", (15,), ALLOW),  # PR_SET_NAME
        ("prctl", (1, 0), REFUSED),  # PR_SET_PDEATHSIG
        ("prctl", (4, 1), REFUSED),  # PR_SET_DUMPABLE
        ("tgkill", (PID, PID, 6), ALLOW),
        ("tgkill", (1, 1, 6), REFUSED),
        ("clone", (0x003D0F00,), ALLOW),  # a thread
        ("clone", (17,), REFUSED),  # a process
        ("clone", (0x003D0F00 | 0x40000000,), REFUSED),  # a thread in a network of its own
        ("clone", (0x4000 | 0x100 | 17,), REFUSED),  # vfork
        ("mmap", (0, 4096, 5, 2, 3), ALLOW),  # a library's code
        ("mmap", (0, 4096, 3, 0x22, -1), ALLOW),  # memory
        ("mmap", (0, 4096, 5, 0x22, -1), REFUSED),  # memory to execute
        ("mmap", (0, 4096, 7, 2, 3), REFUSED),  # code that can be changed
        ("mprotect", (0, 4096, 1), ALLOW),
        ("mprotect", (0, 4096, 5), REFUSED),
        ("prlimit64", (0, 7, 0, 1), ALLOW),
        ("prlimit64", (PID, 7, 0, 1), ALLOW),
        ("prlimit64", (1, 7, 0, 1), REFUSED),
        ("prlimit64", (0, 7, 2**40, 0), REFUSED),  # a limit, at an address above 4 GiB
        ("prlimit64", (0, 7, 4096, 0), REFUSED),
        ("clone3", (), ABSENT),
        ("openat2", (), ABSENT),
    ],
)
def test_p12_arguments_decide(name, arguments, expected):
    assert answer(name, *arguments) == expected
    number = ARM.number(name)
    lines = program(ARM, PID, writes=False)
    assert decide(lines, number, arguments, audit=ARM.audit) == expected


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernel_headers(machine):
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    defined = re.findall(r"#define __NR(?:3264)?_(\w+) +(\d+)", header.read_text())
    numbers = {name: int(number) for name, number in defined}
    listed = {
        name: number
        for table in system_calls.TABLES
        for name, both in table.items()
        if (number := both[ARCHITECTURES[machine].column]) is not None
    }
    numbers.setdefault("newfstatat", numbers.get("fstatat", 0))
    assert {name: numbers[name] for name in listed} == listed
