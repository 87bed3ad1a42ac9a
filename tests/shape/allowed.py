"""Exceptions from the measures of shape, each with its reason.

An entry that is no longer needed fails the tests.
"""

PRIVATE_READS: dict[str, str] = {}
"""`test file: name`, and why the test cannot show the same through a public name."""

_PROCESS = "It starts real processes, which only a system test may."
_CYCLE = "One step of a cycle; the runner's tests take it with a real ledger, crashes included."
_COMMAND = "A command is tested from its words to its exit code."

TESTED_ELSEWHERE: dict[str, tuple[str, str]] = {
    "agent/cli/backend.py": (
        "tests/agent/cli/test_main.py",
        "A command is tested from its words to its exit code, by whichever way it is answered.",
    ),
    "agent/cli/commands.py": (
        "tests/agent/cli/test_main.py",
        _COMMAND,
    ),
    "agent/cli/render.py": (
        "tests/agent/cli/test_main.py",
        "What a command prints is tested with the command.",
    ),
    "agent/conditions/linux.py": (
        "tests/agent/conditions/test_dbus_watch.py",
        "The Linux probes are tested on real message buses, together with what watches them.",
    ),
    "agent/enrolment/model_fetcher.py": (
        "tests/agent/enrolment/test_client.py",
        "Which way a model comes is tested through the client that asks for it.",
    ),
    "agent/rounds/contribution.py": ("tests/agent/rounds/test_runner.py", _CYCLE),
    "agent/rounds/cycle_steps.py": ("tests/agent/rounds/test_runner.py", _CYCLE),
    "agent/rounds/leave_sender.py": (
        "tests/agent/secagg/test_leaving.py",
        "A notice of leaving is tested in the group that gets it.",
    ),
    "agent/rounds/local_round.py": (
        "tests/agent/rounds/test_runner.py",
        "One way of a round; the runner's tests take it against a real ledger.",
    ),
    "agent/rounds/offer_check.py": (
        "tests/agent/secagg/test_lies.py",
        "Every offer that breaks a bound is sent by a lying server there.",
    ),
    "agent/rounds/outbox.py": (
        "tests/agent/rounds/test_runner.py",
        "What is charged and sent is tested through whole rounds, crashes included.",
    ),
    "agent/rounds/secagg_round.py": (
        "tests/agent/secagg/test_groups.py",
        "It needs a group of devices, which those tests have.",
    ),
    "agent/rounds/submission.py": ("tests/agent/rounds/test_runner.py", _CYCLE),
    "agent/rounds/trainer.py": ("tests/agent/rounds/test_runner.py", _CYCLE),
    "agent/rounds/update_store.py": ("tests/agent/rounds/test_runner.py", _CYCLE),
    "agent/sandbox/priority.py": (
        "tests/agent/sandbox/test_probe.py",
        "Whether a priority can be lowered here is one answer of the probe.",
    ),
    "agent/supervisor/governor.py": ("tests/agent/supervisor/test_hostile.py", _PROCESS),
    "agent/supervisor/worker.py": ("tests/agent/supervisor/test_supervision.py", _PROCESS),
    "agent/transport/signed_connection.py": (
        "tests/agent/transport/test_signed.py",
        "What it signs and repeats is tested through the client that uses it.",
    ),
    "agent/worker/__main__.py": ("tests/agent/supervisor/test_hostile.py", _PROCESS),
    "server_stub/cli/commands.py": ("tests/server_stub/cli/test_main.py", _COMMAND),
    "server_stub/coordinator/driver.py": (
        "tests/server_stub/coordinator/test_group_rounds.py",
        "Rounds are driven with real devices over a real port.",
    ),
    "server_stub/coordinator/groups.py": (
        "tests/server_stub/coordinator/test_group_rounds.py",
        "Groups are played with real devices over a real port.",
    ),
    "server_stub/demo/inprocess_worker.py": (
        "tests/agent/secagg/test_groups.py",
        "Simulated devices train with it there.",
    ),
    "server_stub/demo/local_server.py": ("tests/e2e/test_fleet.py", _PROCESS),
    "server_stub/simulation/report.py": (
        "tests/server_stub/simulation/test_command.py",
        "What is printed is tested with the command.",
    ),
    "server_stub/simulation/unprotected.py": (
        "tests/server_stub/simulation/test_command.py",
        "The unprotected way is an option of the command.",
    ),
    "server_stub/storage/migrations/aggregator/versions/0001_first.py": (
        "tests/server_stub/storage/test_tables.py",
        "Migrations are tested by the tables that they create.",
    ),
    "server_stub/storage/migrations/ca/versions/0001_first.py": (
        "tests/server_stub/ca/test_tables.py",
        "Migrations are tested by the tables that they create.",
    ),
}
"""A module with logic, the test file that covers it, and why that is another file than the module's
own."""
