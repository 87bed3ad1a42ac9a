"""`aegis consent withdraw`: works whatever state the agent, its store and the disk are in.

It does what agent.consent.withdrawal says. Where no agent runs, an agent of this process is asked.
"""

import time
from argparse import Namespace
from contextlib import suppress

from agent.cli import render
from agent.cli.backend import LOCK_RETRY_S, Answer, home_of, request
from agent.consent.withdrawal import Withdrawal
from agent.errors import AegisError

SURFACE = "cli"
STORE_CODES = frozenset(
    {
        "DISK_FAULT",
        "DISK_FULL",
        "HOME_READ_ONLY",
        "HOME_UNUSABLE",
        "STORE_DAMAGED",
        "STORE_FAULT",
        "STORE_NEWER",
        "TOO_MANY_OPEN",
    }
)
"""Errors with which an agent on this home cannot even begin."""
UNREACHABLE = (
    "AGENT_GONE",
    "AGENT_SILENT",
    "CHANNEL_FOREIGN",
    "CHANNEL_UNSAFE",
    "CHANNEL_VERSION",
    "HOME_IN_USE",
)
"""Errors of a command that did not reach the agent of its home."""
UNREACHABLE_S = 3.0
"""How long withdrawing waits for an agent: the mark already holds."""
RECORD_S = 1.0
"""How long it waits for an agent that may have seen the mark."""


def withdraw(options: Namespace) -> Answer | None:
    """Withdraw, whatever state the agent is in: the mark is enough to stop it for good."""
    files = Withdrawal(home_of(options))
    is_marked = files.begin(SURFACE)
    try:
        status = request(
            options,
            "consent.withdraw",
            hello_timeout_s=UNREACHABLE_S if is_marked else None,
            surface=SURFACE,
        )
    except AegisError as error:
        if error.code in STORE_CODES:
            return _withdrawn_without_store(files, error, as_json=options.json)
        if is_marked and error.code in UNREACHABLE:
            return _withdrawn_by_mark(files, error, as_json=options.json)
        raise
    if options.json:
        return status
    ledger: Answer = {"outbox": [], "charges": []}
    with suppress(AegisError):  # a ledger that cannot be read takes nothing back
        ledger = request(options, "ledger")
    print(render.shown(status, lambda answer: render.withdrawn_text(answer, ledger)), flush=True)
    return None


def _withdrawn_without_store(
    files: Withdrawal, error: AegisError, *, as_json: bool
) -> Answer | None:
    """Withdraw where no agent runs and the store cannot be opened: by the switch alone.

    Raises UserActionError NOT_SAVED.
    """
    files.turn_off(int(time.time()), SURFACE)
    if as_json:
        return {"state": "WITHDRAWN", "recorded": False, "code": error.code}
    print(f"Consent is withdrawn. Nothing runs. {error}", flush=True)
    return None


def _withdrawn_by_mark(files: Withdrawal, error: AegisError, *, as_json: bool) -> Answer | None:
    """Tell what holds where the agent did not answer, but will find the mark."""
    deadline = time.monotonic() + RECORD_S
    while not (is_read := files.is_read()) and time.monotonic() < deadline:
        time.sleep(LOCK_RETRY_S)
    answer = {"state": "WITHDRAWN", "recorded": is_read, "code": error.code}
    if as_json:
        return answer
    print(render.withdrawn_by_mark_text(answer), flush=True)
    return None
