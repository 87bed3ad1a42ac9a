"""The binary envelope of every message body.

Layout (all integers big-endian):
  4 bytes   magic "AEG1" (the last character is the version)
  4 bytes   length of the header
  header    canonical JSON object (agent.protocol.canonical): integers, strings, hex
  payload   the rest: packed words or other bytes, bound by the header's "payload_sha256"

`decode` checks in this order: size, magic, header length, header form, payload digest. The caller
checks what the fields mean.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from agent.errors import PeerError
from agent.protocol.canonical import canonical
from agent.protocol.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES

MAGIC = b"AEG1"


@dataclass(frozen=True)
class Envelope:
    """A header (canonical JSON object) and its payload."""

    header: dict[str, Any]
    payload: bytes


def encode(header: dict[str, Any], payload: bytes) -> bytes:
    """Build an envelope; adds "payload_sha256" to the header."""
    head = canonical({**header, "payload_sha256": hashlib.sha256(payload).hexdigest()})
    return MAGIC + len(head).to_bytes(4, "big") + head + payload


def decode(body: bytes, max_bytes: int = MAX_BODY_BYTES) -> Envelope:
    """Read an envelope.

    Raises PeerError BAD_ENVELOPE when it is too large, of another version or not canonical, or when
    its payload was altered.
    """
    if len(body) > max_bytes:
        raise _bad(f"expected at most {max_bytes} bytes, got {len(body)}")
    if body[:4] != MAGIC:
        raise _bad("expected the magic AEG1")
    length = int.from_bytes(body[4:8], "big")
    if len(body) < 8 or length > MAX_HEADER_BYTES or 8 + length > len(body):
        raise _bad(f"header length {length} does not fit")
    head, payload = body[8 : 8 + length], body[8 + length :]
    try:
        header = json.loads(head)
        is_canonical = isinstance(header, dict) and canonical(header) == head
    except (ValueError, TypeError, RecursionError):
        is_canonical = False
    if not is_canonical:
        raise _bad("the header is not a canonical JSON object")
    if header.pop("payload_sha256", None) != hashlib.sha256(payload).hexdigest():
        raise _bad("the payload does not match its digest")
    return Envelope(header, payload)


def _bad(detail: str) -> PeerError:
    return PeerError("BAD_ENVELOPE", "A message could not be read.", "Nothing was changed.", detail)
