"""Reads what the server states to a device: strict values with checked fields and signatures."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from agent.protocol.ledger_heads import HeadEcho, HeadStep, Ready
from agent.protocol.messages import MAX_TIME, RoundConfig, Task
from agent.protocol.signing import Context, verify
from agent.transport.responses import HttpResponse, bad_response, checked, json_object


@dataclass(frozen=True)
class Registration:
    """What the server gave this device at enrolment."""

    device_id: str
    certificate_pem: str
    ca_pem: str
    erase_secret: str
    task: Task
    signing_key: str


@dataclass(frozen=True)
class Offer:
    """The server's signed answer to a poll."""

    status: str
    """"open" or "wait"."""
    next_poll_s: int
    task: Task
    model_version: int
    model_digest: str
    round: RoundConfig | None
    contributed: bool
    time: int
    """The server's clock, seconds since the epoch."""
    join_opens: int = 0
    join_closes: int = 0
    """The round's join window, by the server's clock; 0 and 0: none is announced."""
    crl_pem: str = ""
    """The authority's signed list of revoked certificates, unchecked
    (agent.protocol.revocations)."""
    ledger: HeadEcho | None = None
    """What the server says about the head that this device showed; None when it showed none."""


@dataclass(frozen=True)
class Receipt:
    """The server's signature under an update that it received."""

    task_id: str
    round_id: int
    device_id: str
    body_sha256: str
    bytes: int
    received_at: int
    ledger_count: int
    ledger_head: str
    """The head of this device's ledger after the charge, as the server has stored it; 0 and ""
    when the device showed none."""
    signature: str


@dataclass(frozen=True)
class ModelDownload:
    """A model as received, unchecked (agent.models.verify)."""

    metadata: bytes
    signature: str
    model: bytes


def read_registration(response: HttpResponse, ca_pem: str, signing_key: str) -> Registration:
    """Read a registration that matches the invitation's `ca_pem` and, if not empty, `signing_key`.

    Raises PeerError BAD_ANSWER, BAD_MESSAGE.
    """
    fields = checked(
        json_object(response),
        device_id=str,
        certificate_pem=str,
        ca_pem=str,
        erase_secret=str,
        task=dict,
        signing_key=str,
    )
    _check_ca(fields, ca_pem)
    if signing_key and fields["signing_key"] != signing_key:
        raise bad_response("the signing key is not the invitation's")
    return Registration(**{**fields, "task": Task.from_json(fields["task"])})


def read_renewal(response: HttpResponse, ca_pem: str) -> str:
    """Read the renewed certificate, as PEM. Raises PeerError BAD_ANSWER."""
    fields = checked(json_object(response), certificate_pem=str, ca_pem=str)
    _check_ca(fields, ca_pem)
    return str(fields["certificate_pem"])


def read_offer(response: HttpResponse, signing_key: str, ready: Ready | None = None) -> Offer:
    """Read an offer signed by `signing_key`: the answer to `ready`, if the device said so.

    Raises PeerError BAD_ANSWER, BAD_MESSAGE, BAD_SIGNATURE.
    """
    outer = checked(json_object(response), offer=dict, signature=str, crl_pem=str)
    verify(signing_key, Context.OFFER, outer["offer"], outer["signature"])
    fields = checked(
        outer["offer"],
        status=str,
        next_poll_s=int,
        task=dict,
        model_version=int,
        model_digest=str,
        round=dict | None,
        contributed=bool,
        time=int,
        join_opens=int,
        join_closes=int,
        ledger=dict | None,
    )
    if fields["status"] not in ("open", "wait") or fields["next_poll_s"] < 0:
        raise bad_response("status or next_poll_s out of range")
    if not all(0 <= fields[name] <= MAX_TIME for name in ("time", "join_opens", "join_closes")):
        raise bad_response("a time out of range")  # no calendar could show it
    config = None if fields["round"] is None else RoundConfig.from_json(fields["round"])
    return Offer(
        **{
            **fields,
            "task": Task.from_json(fields["task"]),
            "round": config,
            "crl_pem": outer["crl_pem"],
            "ledger": _echo(fields["ledger"], ready),
        }
    )


def _echo(value: object, ready: Ready | None) -> HeadEcho | None:
    """Read what the server says about the head that `ready` showed."""
    shown = None if ready is None else ready.shown
    if (value is None) != (shown is None):
        raise bad_response("the ledger's head is missing, or was not shown")
    if shown is None:
        return None
    echo = HeadEcho(**checked(value, count=int, head=str, lease_s=int))
    if (echo.count, echo.head) != (shown.count, shown.head) or echo.lease_s < 0:
        raise bad_response("the ledger's head is not the one that was shown")
    return echo


def read_receipt(
    response: HttpResponse,
    signing_key: str,
    body: bytes,
    device_id: str | None,
    step: HeadStep | None = None,
) -> Receipt:
    """Read the signed receipt for `body`, sent by `device_id` (None: the client was closed since).

    `step`: what its charge did to the ledger's head, if the device said so.

    Raises PeerError BAD_ANSWER, BAD_SIGNATURE.
    """
    outer = checked(json_object(response), receipt=dict, signature=str)
    verify(signing_key, Context.RECEIPT, outer["receipt"], outer["signature"])
    fields = checked(
        outer["receipt"],
        task_id=str,
        round_id=int,
        device_id=str,
        body_sha256=str,
        bytes=int,
        received_at=int,
        ledger_count=int,
        ledger_head=str,
    )
    receipt = Receipt(**fields, signature=outer["signature"])
    expected = (hashlib.sha256(body).hexdigest(), len(body), device_id or receipt.device_id)
    if (receipt.body_sha256, receipt.bytes, receipt.device_id) != expected:
        raise bad_response("the receipt is for another update")
    head = (step.count, step.after) if step else (0, "")
    if (receipt.ledger_count, receipt.ledger_head) != head:
        raise bad_response("the receipt is for another ledger")
    return receipt


def read_model(response: HttpResponse) -> ModelDownload:
    """Read a model with the metadata in its headers. Raises PeerError BAD_ANSWER."""
    try:
        metadata = base64.urlsafe_b64decode(response.headers["X-Model-Metadata"].encode())
        return ModelDownload(metadata, response.headers["X-Model-Signature"], response.body)
    except (KeyError, ValueError) as error:
        raise bad_response("the model's headers") from error


def _check_ca(fields: dict[str, Any], ca_pem: str) -> None:
    if fields["ca_pem"].split() != ca_pem.split():
        raise bad_response("the certificate authority is not the invitation's")
