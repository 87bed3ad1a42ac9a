"""`aegis consent withdraw`: works whatever state the agent, its store and the disk are in.

1. A mark in the home comes first: the agent looks at it before each step that needs consent.
2. Then the agent is asked, or an agent of this process.
3. Without an answer the mark holds. Without a store the switch is turned off.
"""

import os
import time
from argparse import Namespace
from contextlib import suppress

from agent.cli import render
from agent.cli.backend import LOCK_RETRY_S, Answer, home_of, request
from agent.consent.mark import Mark
from agent.consent.switch import Switch, consent_files
from agent.errors import AegisError

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
    home = home_of(options)
    switch, mark = consent_files(home, os.environ)
    is_marked = home.root.exists() and home.is_ours and mark.leave()
    try:
        status = request(
            options,
            "consent.withdraw",
            hello_timeout_s=UNREACHABLE_S if is_marked else None,
            surface="cli",
        )
    except AegisError as error:
        if error.code in STORE_CODES:
            return _withdrawn_without_store(switch, mark, error, as_json=options.json)
        if is_marked and error.code in UNREACHABLE:
            return _withdrawn_by_mark(mark, error, as_json=options.json)
        raise
    if options.json:
        return status
    ledger: Answer = {"outbox": [], "charges": []}
    with suppress(AegisError):  # a ledger that cannot be read takes nothing back
        ledger = request(options, "ledger")
    print(render.shown(status, lambda answer: render.withdrawn_text(answer, ledger)), flush=True)
    return None


def _withdrawn_without_store(
    switch: Switch, mark: Mark, error: AegisError, *, as_json: bool
) -> Answer | None:
    """Withdraw where no agent runs and the store cannot be opened: by the switch alone.

    Raises UserActionError NOT_SAVED.
    """
    from agent.api.consent import not_saved

    try:
        switch.turn_off(int(time.time()), "cli")
    except OSError:
        if not mark.leave():
            mark.leave_elsewhere()
        raise not_saved() from error
    if as_json:
        return {"state": "WITHDRAWN", "recorded": False, "code": error.code}
    print(f"Consent is withdrawn. Nothing runs. {error}", flush=True)
    return None


def _withdrawn_by_mark(mark: Mark, error: AegisError, *, as_json: bool) -> Answer | None:
    """Tell what holds where the agent did not answer, but will find the mark."""
    deadline = time.monotonic() + RECORD_S
    while (is_unread := mark.is_there()) and time.monotonic() < deadline:
        time.sleep(LOCK_RETRY_S)
    answer = {"state": "WITHDRAWN", "recorded": not is_unread, "code": error.code}
    if as_json:
        return answer
    print(render.withdrawn_by_mark_text(answer), flush=True)
    return None
