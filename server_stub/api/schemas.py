"""The JSON bodies of the device port, as its OpenAPI document describes them."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent.protocol.ledger_heads import MAX_COUNT, MAX_HEADS
from agent.protocol.limits import MAX_GROUP
from agent.protocol.messages import Mode

Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[
    str, Field(pattern=r"^[0-9a-f]{128}$", description="Ed25519 with the server's signing key, hex")
]


class Strict(BaseModel):
    """A request body: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: Annotated[str, Field(pattern=r"^urn:aegisai:problem:[a-z0-9-]+$")]
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    rounds: int | None = None
    """With EXCLUDED: the rounds that the device still misses..."""
    until: int | None = None
    """... and when that ends at the latest, in seconds since the epoch."""


class RegisterRequest(Strict):
    token: Annotated[str, Field(min_length=8, max_length=256)]
    csr_pem: Annotated[str, Field(min_length=1, max_length=8192)]


class TaskAnswer(BaseModel):
    task_id: str
    schema_: Annotated[str, Field(alias="schema")]
    model: str
    d: int
    mode: Mode
    train_steps: int
    train_rate_milli: int
    clip_milli: int
    min_rows: int
    weight_cap: int
    witness: str


class RegisterAnswer(BaseModel):
    device_id: str
    certificate_pem: str
    ca_pem: str
    erase_secret: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    task: TaskAnswer
    signing_key: Hex64


class ChallengeRequest(Strict):
    device_id: Annotated[str, Field(min_length=1, max_length=128)]


class ChallengeAnswer(BaseModel):
    nonce: str


class CertificateRequest(Strict):
    csr_pem: Annotated[str, Field(min_length=1, max_length=8192)]


class CertificateAnswer(BaseModel):
    certificate_pem: str
    ca_pem: str


class EraseRequest(Strict):
    """`{}` in a signed request; both fields once the device's keys are gone."""

    device_id: Annotated[str, Field(max_length=128)] = ""
    erase_secret: Annotated[str, Field(max_length=128)] = ""


class EraseAnswer(BaseModel):
    erased: bool


class ShownHeads(Strict):
    """The heads of a device's ledger, oldest first, up to its newest."""

    count: Annotated[int, Field(ge=0, le=MAX_COUNT, description="charges behind the newest head")]
    heads: Annotated[list[Hex64], Field(min_length=1, max_length=MAX_HEADS)]


class ReadyRequest(Strict):
    trained: Annotated[
        int, Field(ge=0, le=2**53, description="the model version that the update was trained on")
    ]
    session: Annotated[
        str, Field(pattern=r"^([0-9a-f]{32})?$", description="random name of the agent's process")
    ] = ""
    ledger: ShownHeads | None = None


class LedgerEcho(BaseModel):
    """The head that the device showed is the newest that the server knows."""

    count: int
    head: Hex64
    lease_s: int
    """How long no other copy of the device is admitted; 0 while no round is open for it."""


class Offer(BaseModel):
    status: Annotated[str, Field(pattern="^(open|wait)$")]
    next_poll_s: int
    task: TaskAnswer
    model_version: int
    model_digest: Hex64
    round: dict[str, Any] | None
    """A RoundConfig."""
    contributed: bool
    time: int
    join_opens: int
    join_closes: int
    """The announced join window in seconds since the epoch; both 0 without one."""
    ledger: LedgerEcho | None
    """None where the device showed no head."""


class OfferAnswer(BaseModel):
    offer: Offer
    signature: Signature
    crl_pem: str
    """The authority's signed revocation list; empty in local mode."""


class SendPhase(StrEnum):
    """The messages that a device sends in a round, besides its masked input."""

    ADVERTISE = "advertise"
    SHARES = "shares"
    CONSISTENCY = "consistency"
    UNMASK = "unmask"
    COMPLAINT = "complaint"
    LEAVE = "leave"


class InboxPhase(StrEnum):
    """The phases whose outcome a device reads."""

    ADVERTISE = "advertise"
    SHARES = "shares"
    MASKED = "masked"
    CONSISTENCY = "consistency"


class Accepted(BaseModel):
    """The message is stored."""


class Receipt(BaseModel):
    task_id: str
    round_id: int
    device_id: str
    body_sha256: Hex64
    bytes: int
    received_at: int
    ledger_count: int
    ledger_head: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    """The head of the device's ledger after the charge; empty where it showed none."""


class ReceiptAnswer(BaseModel):
    receipt: Receipt
    signature: Signature


class RevocationsAnswer(BaseModel):
    crl_pem: str


class LogHead(BaseModel):
    size: int
    root: Hex64
    signature: str


class LogProof(BaseModel):
    index: int
    size: int
    entry: str
    proof: list[Hex64]


class LogMembersRequest(Strict):
    certificates: Annotated[
        list[Hex64], Field(min_length=1, max_length=MAX_GROUP, description="SHA-256 of each")
    ]
    size: Annotated[int, Field(ge=0, le=2**31)] = 0


class LogEntry(BaseModel):
    index: int
    entry: str
    steps: list[int]


class LogMembers(BaseModel):
    size: int
    nodes: list[Hex64]
    entries: list[LogEntry]


class LogConsistency(BaseModel):
    earlier: int
    size: int
    proof: list[Hex64]


class Health(BaseModel):
    status: str
