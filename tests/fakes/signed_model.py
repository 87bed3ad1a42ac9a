"""Model files made by hand, byte by byte, with a signature by a key of the tests."""

import hashlib
import json
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.models.verify import MinModelVersion, verify_model
from agent.protocol.canonical import canonical
from agent.protocol.messages import Mode, Task
from agent.protocol.signing import Context, public_hex, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TASK = Task("t", "pehdr29/fixed-v1", "logistic", 4, Mode.LOCAL, 10, 100, 1000, 1)


def content_of(values=(0.0, 1.0, -2.5, 3.0), dtype="F64", name="weights", **header):
    body = struct.pack(f"<{len(values)}{'d' if dtype == 'F64' else 'f'}", *values)
    head = json.dumps(
        {name: {"dtype": dtype, "shape": [len(values)], "data_offsets": [0, len(body)], **header}}
    ).encode()
    return len(head).to_bytes(8, "little") + head + body


def described(content, version=7, **changes):
    said = {
        "task_id": "t",
        "version": version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "length": len(content),
        "published_at": 1_700_000_000,
        "demonstration": 0,
        "schema": TASK.schema,
        "d": TASK.d,
        **changes,
    }
    return canonical(said), sign(KEY, Context.MODEL, said)


def check(content, metadata=None, signature=None, minimum=None):
    made = described(content)
    return verify_model(
        metadata or made[0],
        signature or made[1],
        content,
        signing_key=public_hex(KEY),
        task=TASK,
        minimum=minimum or MinModelVersion(),
    )
