"""The fences around a worker, each tried by a child that stands behind them."""

from agent.sandbox.probe import FENCES, held_here
from agent.sandbox.rules import environment


def test_p9_every_fence_holds_here():
    assert {name for name, held in held_here().items() if held} >= set(FENCES)


def test_the_workers_environment_is_one_thread_and_nothing_personal():
    made = environment(
        {"HOME": "/home/ada", "USER": "ada", "DBUS_SESSION_BUS_ADDRESS": "unix:x", "PATH": "/bin"}
    )
    assert made["OMP_NUM_THREADS"] == made["OPENBLAS_NUM_THREADS"] == made["MKL_NUM_THREADS"] == "1"
    assert made["PATH"] == "/bin"
    assert "ada" not in str(made)
    assert "DBUS_SESSION_BUS_ADDRESS" not in made
