"""What the rules leave to a worker: an environment with nothing personal in it."""

from agent.sandbox.rules import environment


def test_the_workers_environment_is_one_thread_and_nothing_personal():
    made = environment(
        {"HOME": "/home/ada", "USER": "ada", "DBUS_SESSION_BUS_ADDRESS": "unix:x", "PATH": "/bin"}
    )
    assert made["OMP_NUM_THREADS"] == made["OPENBLAS_NUM_THREADS"] == made["MKL_NUM_THREADS"] == "1"
    assert made["PATH"] == "/bin"
    assert "ada" not in str(made)
    assert "DBUS_SESSION_BUS_ADDRESS" not in made
