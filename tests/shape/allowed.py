"""Exceptions from the measures of shape, each with its reason.

An entry that is no longer needed fails the tests.
"""

PRIVATE_READS: dict[str, str] = {}
"""`test file: name`, and why the test cannot show the same through a public name."""

_PROCESS = "It starts real processes, which only a system test may."
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
    "agent/worker/__main__.py": ("tests/agent/supervisor/test_hostile.py", _PROCESS),
    "server_stub/cli/calibration.py": ("tests/server_stub/cli/test_model_commands.py", _COMMAND),
    "server_stub/cli/detectors.py": ("tests/server_stub/cli/test_model_commands.py", _COMMAND),
    "server_stub/cli/model_training.py": ("tests/server_stub/cli/test_model_commands.py", _COMMAND),
    "server_stub/cli/row_store.py": ("tests/server_stub/cli/test_model_commands.py", _COMMAND),
    "server_stub/cli/stored_models.py": ("tests/server_stub/cli/test_model_commands.py", _COMMAND),
    "server_stub/demo/local_server.py": ("tests/e2e/test_fleet.py", _PROCESS),
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
