"""Checks an update before any of it is stored: size, form, round, shape and range. Sans-IO."""

import re
from typing import Any

from agent.errors import PeerError
from agent.privacy.codec import read_update
from agent.privacy.zcdp import sent_words
from agent.protocol.envelope import Envelope
from agent.protocol.limits import MAX_HEADER_BYTES
from agent.protocol.messages import RoundConfig
from agent.protocol.packing import packed_bytes

KIND = "local-update"
FIELDS = {"kind", "task_id", "round_id", "config_digest", "attempt", "d", "bits"}
MASKED_KIND = "masked-input"
MASKED_FIELDS = FIELDS | {"context", "signature"}
MAX_UPDATE_HEADER_BYTES = 2048
_ATTEMPT = re.compile(r"[0-9a-f]{1,64}")


def max_update_bytes(config: RoundConfig) -> int:
    """The largest body that can be an update of this round."""
    return (
        8  # the envelope's magic and the length of its header
        + min(MAX_HEADER_BYTES, MAX_UPDATE_HEADER_BYTES)
        + packed_bytes(sent_words(config), config.bits)
    )


def named_round(header: dict[str, Any]) -> int:
    """The round that the header of a local update or a masked input names.

    Raises PeerError BAD_ENVELOPE.
    """
    round_id = header.get("round_id")
    fields = MASKED_FIELDS if header.get("kind") == MASKED_KIND else FIELDS
    # `type`, because True is an int; 2^53, because JSON readers agree on no larger integers.
    if set(header) != fields or type(round_id) is not int or not 0 < round_id < 2**53:
        raise PeerError(
            "BAD_ENVELOPE",
            "The header of the update does not have the agreed form.",
            "Nothing was changed.",
        )
    return round_id


def check_update(envelope: Envelope, config: RoundConfig) -> None:
    """Raise PeerError WRONG_SHAPE or SUM_OUT_OF_RANGE unless it is an update of this round."""
    expected = {
        "kind": KIND,
        "task_id": config.task_id,
        "round_id": config.round_id,
        "config_digest": config.digest,
        "d": config.d,
        "bits": config.bits,
    }
    # The one field that the round does not determine: it tells two seals of one update apart.
    attempt = envelope.header.get("attempt")
    stated = {name: value for name, value in envelope.header.items() if name != "attempt"}
    # Types as well: True equals 1 in Python, but JSON tells them apart.
    if stated != expected or any(
        type(stated[name]) is not type(expected[name]) for name in expected
    ):
        raise PeerError("WRONG_SHAPE", "The update is not for this round.", "Nothing was changed.")
    if not isinstance(attempt, str) or not _ATTEMPT.fullmatch(attempt):
        raise PeerError(
            "WRONG_SHAPE", "The attempt id of the update is not hex.", "Nothing was changed."
        )
    read_update(envelope.payload, config)
