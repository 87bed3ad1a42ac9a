"""The interface of `ui.agent_client.AgentClient` without an agent: the test pushes statuses and
reads the calls.

client = FakeAgentClient(status(AgentState.WAITING))
client.answers["consent.show"] = notice_answer()
...
assert client.methods == ["consent.withdraw"]

The functions below make statuses and answers as the agent sends them.
"""

from dataclasses import asdict, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from agent.consent.notice import Notice, OperatorFacts
from agent.consent.withdrawal import Withdrawal
from agent.errors import AegisError, UserActionError
from agent.paths import Home
from agent.reasons import Reason, ReasonCode
from agent.status import (
    AgentState,
    BudgetView,
    ConsentState,
    ConsentView,
    ModelView,
    OperatorView,
    ReadingView,
    SentView,
    Status,
)

NOW = 1_795_536_000
DAY = 24 * 3600


class FakeAgentClient(QObject):
    """Answers every call from `answers`: method -> result, AegisError, or a function of the params.

    A call without an answer goes to `unanswered`.
    """

    statusChanged = Signal(object)
    connectedChanged = Signal(bool)
    callFailed = Signal(object)

    def __init__(self, status=None, answers=None):
        super().__init__()
        self.status = status
        self.is_connected = status is not None
        self.answers = dict(answers or {})
        self.calls = []
        self.reports = []
        """Whom each call told to report its progress to."""
        self.unanswered = []
        """(method, done) of the calls that were not answered."""

    @property
    def methods(self):
        return [method for method, _ in self.calls]

    def open(self):
        self.push(self.status)

    def close(self):
        self.push(None)

    def push(self, status):
        """Push a Status as the agent would; None: the agent has ended."""
        self.status, self.is_connected = status, status is not None
        if status is None:
            self.connectedChanged.emit(False)
        else:
            self.statusChanged.emit(status)

    def call(self, method, params=None, done=None, failed=None, report=None):
        self.calls.append((method, dict(params or {})))
        self.reports.append(report)
        answer = self.answers.get(method)
        if callable(answer):
            answer = answer(dict(params or {}))
        if isinstance(answer, AegisError):
            (failed or self.callFailed.emit)(answer)
        elif answer is None:
            self.unanswered.append((method, done))
        elif done is not None:
            done(answer)


def no_consent_files():
    """What a withdrawal does to the files of a home that does not exist: nothing."""
    return Withdrawal(Home(Path("/nonexistent/aegisai")), {})


def status(state=AgentState.WAITING, consent=ConsentState.GRANTED, **changes):
    """A device that has consent, has joined and has sent twice; `changes` are fields of Status."""
    decided = consent is not ConsentState.UNASKED
    result = Status(
        state=state,
        consent=ConsentView(
            consent,
            "contribute-1-0123456789abcdef",
            "contribute-1-0123456789abcdef" if decided else None,
            NOW - 40 * DAY if decided else None,
            NOW + 325 * DAY if consent is ConsentState.GRANTED else None,
        ),
        budget=BudgetView(
            1.0, 1e-5, 365, 0.34, 0.34, 0.34, 3.0, 0.34, NOW + 325 * DAY, None, 2, verified=True
        ),
        model=ModelView(12, "c0ffee" * 10 + "abcd", False),
        enrolled=True,
        operator=OperatorView(
            "Northwind Security Institute",
            "privacy@northwind.example",
            "https://aggregator.northwind.example:9443",
        ),
        next_at=NOW + 1800,
        readings=(
            ReadingView("on mains", "yes", "power_supply"),
            ReadingView("charge", "87 %", "power_supply"),
            ReadingView("idle", "720 s", "Mutter"),
            ReadingView("others cpu", "9.8 %", "kernel counters, without AegisAI"),
            ReadingView("temperature", "unknown", "not available: no sensor of the processor"),
            ReadingView("metered", "unknown", "no bus: FileNotFoundError"),
        ),
        samples_benign=412,
        samples_malicious=96,
        sent=SentView(2, 1872, NOW - 2 * DAY),
    )
    return replace(result, **changes)


def waiting():
    """Waiting, because the computer is on battery and in use."""
    return status(
        reasons=(
            Reason(
                ReasonCode.ON_BATTERY,
                "The computer runs on battery.",
                "64 %, discharging",
                "power_supply",
                "battery.rule",
            ),
            Reason(
                ReasonCode.IN_USE,
                "You are using the computer.",
                "0 min idle",
                "Mutter",
                "idle.only",
            ),
            Reason(ReasonCode.NO_ROUND, "No round is open.", until=NOW + 1800),
        )
    )


def new_home():
    """A new home: no decision, no invitation, no samples."""
    return replace(
        status(AgentState.OFF, ConsentState.UNASKED),
        budget=BudgetView(1.0, 1e-5, 365, 0.0, 0.0, 0.0, 3.0, 0.0),
        model=ModelView(0, "", True),
        enrolled=False,
        operator=None,
        next_at=None,
        readings=(),
        samples_benign=0,
        samples_malicious=0,
        sent=SentView(),
        reasons=(
            Reason(ReasonCode.NO_CONSENT, "You have not agreed to contribute."),
            Reason(ReasonCode.NOT_ENROLLED, "You have not joined an operator yet."),
            Reason(
                ReasonCode.NOTHING_TO_LEARN, "There are no training rows yet.", "0 rows", "samples"
            ),
        ),
    )


def every_state():
    """One Status for each of the seven states."""
    return {
        AgentState.OFF: new_home(),
        AgentState.WAITING: waiting(),
        AgentState.TRAINING: status(AgentState.TRAINING, activity="Training.", progress=0.42),
        AgentState.SENDING: status(AgentState.SENDING, activity="Sending.", progress=0.9),
        AgentState.PAUSED: status(
            AgentState.PAUSED,
            paused_until=NOW + 900,
            reasons=(Reason(ReasonCode.USER_PAUSED, "You paused it.", until=NOW + 900),),
        ),
        AgentState.ATTENTION: status(
            AgentState.ATTENTION,
            reasons=(
                Reason(
                    ReasonCode.KEYRING_LOCKED,
                    "The keyring is locked. Unlock it.",
                    source="SecretService",
                ),
            ),
        ),
        AgentState.ERROR: status(
            AgentState.ERROR,
            notes=(
                (
                    "The server's certificate is not the one in the invitation. Ask the operator"
                    " for a new invitation."
                ),
            ),
        ),
    }


def operator_facts():
    return OperatorFacts(
        "Northwind Security Institute",
        "privacy@northwind.example",
        "Northwind only.",
        "Sums for 24 months; receipts for 12 months.",
        "https://aggregator.northwind.example:9443",
    )


def notice(locale="en-DE", operator=True):
    """The real notice with the facts of an example operator."""
    from agent.consent.wording import Figures, compose

    return compose(
        locale,
        operator_facts() if operator else None,
        Figures("local", 1000, 100_000, 365, 3000, 12),
    )


def notice_answer(shown: Notice | None = None, state=ConsentState.UNASKED):
    return {**asdict(shown or notice()), "state": state.value}


def refused(code="OFFLINE", message="The server cannot be reached.", remedy="Check the network."):
    return UserActionError(code, message, remedy)


DIGESTS = ("3f0c7a91d2b84e65" * 4, "9b1e44c07d5fa283" * 4)


def ledger_answer():
    """Two charged updates: one acknowledged, one without a receipt."""
    charges, outbox = [], []
    for number, digest in enumerate(DIGESTS, 1):
        attempt, at = f"{number:032x}", NOW - (4 - number) * 2 * DAY
        charges.append(
            {
                "seq": number,
                "at": at,
                "task_id": "demo-task",
                "round_id": 40 + number,
                "attempt": attempt,
                "mode": "local",
                "model_version": 10 + number,
                "model_digest": "a" * 64,
                "config_digest": "b" * 64,
                "rho_units": 10**9,
                "rho_local_units": 10**9,
                "body_sha256": digest,
                "body_bytes": 936,
                "time": "2026-11-20T10:00:00Z",
                "epsilon": 0.214,
            }
        )
        receipt = {
            "task_id": "demo-task",
            "round_id": 40 + number,
            "body_sha256": digest,
            "bytes": 936,
            "received_at": at + 1,
        }
        outbox.append(
            {
                "attempt": attempt,
                "charge_seq": number,
                "task_id": "demo-task",
                "round_id": 40 + number,
                "closes_at": at + 3600,
                "created_at": at,
                "sha256": digest,
                "bytes": 936,
                "state": "acknowledged" if number == 1 else "unsent",
                "settled_at": at + 1 if number == 1 else None,
                "receipt": {"receipt": receipt, "signature": "ab" * 64} if number == 1 else None,
            }
        )
    totals = {
        "charges": 2,
        "rho_units": 2 * 10**9,
        "epsilon_ledger": 0.34,
        "epsilon_local": 0.34,
        "epsilon_lifetime": 0.34,
        "epsilon_period": 1.0,
        "epsilon_lifetime_ceiling": 3.0,
        "epsilon_local_lifetime": 0.34,
        "delta": 1e-5,
        "sent": 1,
        "bytes_up": 936,
    }
    return {
        "charges": charges,
        "outbox": outbox,
        "totals": totals,
        "verified": None,
        "problems": [],
    }


def sent_answer(path=None):
    """A function of the params for `answers["sent.show"]`; `path` is the file with the bytes."""

    def answer(params):
        entry = next(
            entry for entry in ledger_answer()["outbox"] if entry["attempt"] == params["attempt"]
        )
        header = {
            "attempt": entry["attempt"],
            "bits": 32,
            "config_digest": "b" * 64,
            "d": 116,
            "kind": "local-update",
            "round_id": entry["round_id"],
            "task_id": "demo-task",
        }
        return {
            "entry": entry,
            "header": header if path else None,
            "path": str(path) if path else None,
        }

    return answer


def preview_answer(path):
    names = (
        "e_lfanew",
        "machine",
        "number_of_sections",
        "time_date_stamp",
        "size_of_optional_header",
        "characteristics",
    )
    return {
        "label": "example",
        "features": {name: 256 * place for place, name in enumerate(names, 1)},
        "update": {
            "bytes": 936,
            "header": {"kind": "local-update", "d": 116, "bits": 32},
            "path": str(path),
        },
    }


def sources_answer(*on, folders=("/home/jane/Downloads",), logs=()):
    """As `sources.show`: three sources, those in `on` switched on."""
    from agent.consent.sources import source_text

    labels = {"packages": "benign", "wheels": "benign", "clamav": "malicious"}
    return {
        "sources": [
            {
                **asdict(source_text(source, "en")),
                "label": label,
                "on": source in on,
                "rows": 7 if source in on else 0,
                "problem": "",
            }
            for source, label in labels.items()
        ],
        "folders": list(folders),
        "logs": list(logs),
        "by_hand": 3,
        "imported": 0,
        "rows_per_day": 200,
        "keep_days": 90,
        "searched_at": NOW,
        "files": 1200,
        "programs": 31,
    }
