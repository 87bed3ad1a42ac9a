"""What a worker learns from its environment."""

from agent.sandbox.environment import environment


def test_the_environment_has_one_thread_per_library_and_nothing_personal():
    surroundings = environment(
        {"HOME": "/home/ada", "USER": "ada", "DBUS_SESSION_BUS_ADDRESS": "unix:x", "PATH": "/bin"}
    )
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert [surroundings[name] for name in threads] == ["1", "1", "1"]
    assert surroundings["PATH"] == "/bin"
    assert "ada" not in str(surroundings)
    assert "DBUS_SESSION_BUS_ADDRESS" not in surroundings
