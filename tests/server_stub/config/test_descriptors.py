"""How many descriptors the server takes, and how many it keeps back."""

import resource
import subprocess
import sys

import pytest

from server_stub.config.descriptors import GOAL, RESERVE, for_connections, raise_limit

ASK = "from server_stub.config.descriptors import raise_limit; print(raise_limit({}))"


def raised(soft, hard, goal=GOAL):
    """What raise_limit returns in a process with these limits."""
    shell = f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$0" "$@"'
    command = ("sh", "-c", shell, sys.executable, "-c", ASK.format(goal))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize(
    ("soft", "hard", "goal", "expected"),
    [
        (256, 1024, 4096, 1024),
        (256, 1024, 512, 512),
        (1024, 1024, 4096, 1024),
        (300, 900, 200, 300),
    ],
)
def test_the_soft_limit_rises_to_what_is_wanted_and_permitted(soft, hard, goal, expected):
    assert raised(soft, hard, goal) == expected


def test_a_limit_that_is_high_enough_stays():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert raise_limit(1) == before[0]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


@pytest.mark.parametrize(
    ("descriptors", "expected"), [(1024, 1024 - RESERVE), (300, 75), (1, 1), (2**31, 2**31 - 256)]
)
def test_connections_never_get_everything(descriptors, expected):
    assert for_connections(descriptors) == expected
