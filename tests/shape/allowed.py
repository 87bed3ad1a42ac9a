"""Exceptions from the measures of shape, each with its reason.

An entry that is no longer needed fails the tests.
"""

PRIVATE_READS: dict[str, str] = {}
"""`test file: name`, and why the test cannot show the same through a public name."""

_WINDOW = "A page is tested inside a whole window, as a person uses it."
_PROCESS = "It starts real processes, which only a system test may."
_BOTH_ENDS = "Both ends of the connection are tested against each other."

TESTED_ELSEWHERE: dict[str, tuple[str, str]] = {
    "agent/app.py": (
        "tests/agent/api/test_methods.py",
        "It puts the agent together; every test of a method starts with that.",
    ),
    "agent/cli/backend.py": (
        "tests/agent/cli/test_main.py",
        "A command is tested from its words to its exit code, by whichever way it is answered.",
    ),
    "agent/cli/commands.py": (
        "tests/agent/cli/test_main.py",
        "A command is tested from its words to its exit code.",
    ),
    "agent/cli/render.py": (
        "tests/agent/cli/test_main.py",
        "What a command prints is tested with the command.",
    ),
    "agent/conditions/linux.py": (
        "tests/agent/conditions/test_dbus_watch.py",
        "The Linux probes are tested on real message buses, together with what watches them.",
    ),
    "agent/consent/gate.py": (
        "tests/agent/consent/test_record.py",
        "The gate's answer follows from the record; every state of it is tested through both.",
    ),
    "agent/ipc/client.py": ("tests/agent/ipc/test_server.py", _BOTH_ENDS),
    "agent/reports/doctor.py": (
        "tests/agent/api/test_methods.py",
        "Its checks look at a whole agent, which the tests of the methods have.",
    ),
    "agent/reports/example.py": (
        "tests/agent/supervisor/test_supervision.py",
        "It trains in real worker processes.",
    ),
    "agent/reports/export.py": (
        "tests/agent/rounds/test_runner.py",
        "The ledger that it shows and verifies comes from rounds; they end with its checks.",
    ),
    "agent/rounds/local_round.py": (
        "tests/agent/rounds/test_runner.py",
        "One way of a round; the runner's tests take it against a real ledger.",
    ),
    "agent/rounds/outbox.py": (
        "tests/agent/rounds/test_runner.py",
        "What is charged and sent is tested through whole rounds, crashes included.",
    ),
    "agent/rounds/secagg_round.py": (
        "tests/agent/secagg/test_groups.py",
        "It needs a group of devices, which those tests have.",
    ),
    "agent/sandbox/probe.py": (
        "tests/agent/sandbox/test_rules.py",
        "It tries whether the rules hold, so both are tested in one child process.",
    ),
    "agent/supervisor/governor.py": ("tests/agent/supervisor/test_hostile.py", _PROCESS),
    "agent/supervisor/tree.py": ("tests/agent/supervisor/test_hostile.py", _PROCESS),
    "agent/supervisor/worker.py": ("tests/agent/supervisor/test_supervision.py", _PROCESS),
    "agent/worker/__main__.py": ("tests/agent/supervisor/test_hostile.py", _PROCESS),
    "ui/commands.py": ("tests/e2e/test_desk_run.py", _PROCESS),
    "ui/consent_dialog.py": (
        "tests/law/test_consent_question.py",
        "The law says what the question may be; its tests go through every rule.",
    ),
    "ui/i18n/__init__.py": (
        "tests/ui/test_pages.py",
        "A translation is seen in the windows that it changes.",
    ),
    "ui/icons/__init__.py": (
        "tests/ui/test_looks.py",
        "An icon is tested as it is drawn, light and dark.",
    ),
    "ui/notify.py": (
        "tests/ui/test_tray.py",
        "The tray decides when to notify; both are tested at once.",
    ),
    "ui/pages/about.py": ("tests/ui/test_pages.py", _WINDOW),
    "ui/pages/activity.py": ("tests/ui/test_pages.py", _WINDOW),
    "ui/pages/done.py": ("tests/ui/test_pages.py", _WINDOW),
    "ui/pages/join.py": ("tests/ui/test_pages.py", _WINDOW),
    "ui/pages/limits.py": ("tests/ui/test_pages_keep_up.py", _WINDOW),
    "ui/pages/overview.py": ("tests/ui/test_pages_keep_up.py", _WINDOW),
    "ui/pages/privacy.py": ("tests/ui/test_pages.py", _WINDOW),
    "ui/pages/scan.py": ("tests/ui/test_pages.py", _WINDOW),
    "ui/pages/sent.py": ("tests/ui/test_pages_keep_up.py", _WINDOW),
    "ui/reading_labels.py": (
        "tests/ui/test_view_model.py",
        "Labels are part of what the view model shows of a status.",
    ),
    "ui/theme.py": (
        "tests/ui/test_looks.py",
        "Colours and sizes are tested as they are drawn.",
    ),
    "ui/tray_host.py": ("tests/e2e/test_desk_tray.py", "It needs a desktop's notification area."),
    "ui/widgets.py": ("tests/ui/test_access.py", _WINDOW),
    "ui/window.py": ("tests/ui/test_pages.py", _WINDOW),
    "server_stub/api/peer_certificate.py": (
        "tests/server_stub/api/test_limits.py",
        "It lives in the server's connections; slow and large requests are tested on real ones.",
    ),
    "server_stub/ca/process.py": ("tests/server_stub/ca/test_server_certificate.py", _PROCESS),
    "server_stub/config/home.py": (
        "tests/server_stub/cli/test_main.py",
        "A server's folder is made and read by the commands, which its tests call.",
    ),
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
    "server_stub/demo/rounds.py": ("tests/e2e/test_demo.py", _PROCESS),
    "server_stub/operator/app.py": (
        "tests/server_stub/api/test_openapi.py",
        "Its routes are tested from the document that describes them.",
    ),
    "server_stub/publishing/key_ceremony.py": (
        "tests/server_stub/cli/test_main.py",
        "The commands `keys show` and `keys renew` are all that it does.",
    ),
    "server_stub/publishing/models.py": (
        "tests/server_stub/api/test_service.py",
        "What was published is tested as a device gets it.",
    ),
    "server_stub/publishing/tuf_repository.py": (
        "tests/agent/models/test_repository.py",
        _BOTH_ENDS,
    ),
    "server_stub/serve.py": (
        "tests/server_stub/cli/test_main.py",
        "It puts the server together; `aegis-server run` is tested as a command.",
    ),
    "server_stub/simulation/report.py": (
        "tests/server_stub/simulation/test_command.py",
        "What is printed is tested with the command.",
    ),
    "server_stub/simulation/unprotected.py": (
        "tests/server_stub/simulation/test_command.py",
        "The unprotected way is an option of the command.",
    ),
    "server_stub/storage/migrations/aggregator/versions/0001_first.py": (
        "tests/server_stub/storage/test_database.py",
        "Migrations run whenever a database is opened.",
    ),
    "server_stub/storage/migrations/ca/versions/0001_first.py": (
        "tests/server_stub/storage/test_database.py",
        "Migrations run whenever a database is opened.",
    ),
    "server_stub/storage/round_events.py": (
        "tests/server_stub/coordinator/test_group_rounds.py",
        "It is tested by restarting the server between any two messages.",
    ),
    "server_stub/storage/store.py": (
        "tests/server_stub/api/test_service.py",
        "What is stored is tested by what the routes answer afterwards.",
    ),
}
"""A module with logic, the test file that covers it, and why that is another file than the module's
own."""
