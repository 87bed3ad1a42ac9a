"""Checks that the members of a group have stood in the authority's issuance log for long enough.

An authority that helps an aggregator could invent a whole group on the spot. Where the task has
`peer_days`, it would have to log the invented devices so many days before.

1. Every certificate is one entry of the log. `first` in it is the position of its device's first
   entry, whose `time` is when the device was enrolled; a first entry has none.
2. Both entries are proven to be in a head that the authority signed and that continues the one
   that this device audited last (agent.protocol.issuance).
3. The authority could date an entry back. So the first entry must also stand in the log as this
   device saw it soonest after that time. Any entry beyond is younger, despite its date.

An authority may still use the id of a device that was enrolled long ago and stays away now.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import PeerError
from agent.protocol.issuance import MAX_STEPS, LogHead
from agent.protocol.limits import MAX_GROUP
from agent.protocol.log_tree import Tree, is_included, leaf_hash

MAX_ENTRY_CHARS = 1024


@dataclass(frozen=True)
class EnrolledBefore:
    """What the first entry of a member must keep to."""

    time: int
    """Seconds since the epoch: the latest."""
    size: int | None = None
    """Of the log as this device saw it soonest after that time; None where it has not looked."""


@dataclass(frozen=True)
class _Entry:
    index: int
    first: int
    """Where its device's first entry is."""
    certificate: str
    time: int


def prove_members(tree: Tree, entries: Mapping[int, bytes], size: int) -> dict[str, Any]:
    """Prove that the log of `size` entries holds these, by their index, as `check_members` reads
    it. Each hash is there once: the proofs have most of them in common.
    """
    nodes: dict[bytes, int] = {}
    proven = [
        {
            "index": index,
            "entry": entry.decode(),
            "steps": [
                nodes.setdefault(step, len(nodes)) for step in tree.inclusion_proof(index, size)
            ],
        }
        for index, entry in sorted(entries.items())
    ]
    return {"size": size, "nodes": [node.hex() for node in nodes], "entries": proven}


def check_members(
    head: LogHead, answer: Mapping[str, Any], certificates: Collection[str], before: EnrolledBefore
) -> None:
    """Check every certificate of a group (SHA-256, hex) against a head that was audited.

    `answer`: size, `nodes` (hashes, hex) and `entries`, each with index, entry and `steps` (its
    proof, as places in `nodes`). Raises PeerError ROSTER_ENROLMENT.
    """
    try:
        entries = _proven(head, answer)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _refused(f"the log's answer cannot be read: {type(error).__name__}") from error
    issued = {entry.certificate: entry for entry in entries.values()}
    for certificate in certificates:
        entry = issued.get(certificate)
        first = None if entry is None else entries.get(entry.first)
        if first is None or first.first != first.index:
            raise _refused("a member is not in the authority's log")
        if first.time > before.time:
            raise _refused("a member was enrolled too recently")
        if before.size is not None and first.index >= before.size:
            raise _refused("a member's enrolment was dated back")


def _proven(head: LogHead, answer: Mapping[str, Any]) -> dict[int, _Entry]:
    """The entries of an answer by their index, each proven to be in the log."""
    if answer["size"] != head.size or len(answer["entries"]) > 2 * MAX_GROUP:
        raise ValueError("size")
    nodes = [bytes.fromhex(node) for node in answer["nodes"]]
    if any(len(node) != 32 for node in nodes):
        raise ValueError("node")
    root, found = bytes.fromhex(head.root), {}
    for one in answer["entries"]:
        text, index, steps = one["entry"], one["index"], one["steps"]
        if type(index) is not int or len(text) > MAX_ENTRY_CHARS or len(steps) > MAX_STEPS:
            raise ValueError("entry")
        if any(type(step) is not int or step < 0 for step in steps):
            raise ValueError("step")
        proof = [nodes[step] for step in steps]
        if not is_included(leaf_hash(text.encode()), index, head.size, proof, root):
            raise ValueError("proof")
        found[index] = _entry(text, index)
    return found


def _entry(text: str, index: int) -> _Entry:
    event = json.loads(text)
    first, time = event.get("first", index), event["time"]
    if event["event"] != "issued" or type(first) is not int or type(time) is not int:
        raise ValueError("event")
    return _Entry(index, first, event["certificate_sha256"], time)


def _refused(detail: str) -> PeerError:
    return PeerError(
        "ROSTER_ENROLMENT",
        "This device left the round: the task asks for members that were enrolled long before.",
        "Nothing was sent. Tell the operator.",
        detail,
    )
