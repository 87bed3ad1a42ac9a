"""Tampered, older, oversized, mis-shaped and non-finite models are each refused by name."""

import hashlib
import json
from dataclasses import replace

import numpy
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import save

from agent.errors import PeerError
from agent.models.verify import MinModelVersion, check_base, check_content
from agent.protocol.limits import MAX_MODEL_BYTES
from agent.protocol.signing import Context, sign
from tests.fakes.signed_model import KEY, TASK, check, content_of, described


def refusal(*args, **options):
    with pytest.raises(PeerError, match="not used") as raised:
        check(*args, **options)
    assert raised.value.remedy.startswith("The model in use stays")
    return raised.value.code


def test_p8_a_good_model_passes_in_both_widths_and_as_the_library_writes_it():
    assert check(content_of()).version == 7
    assert check(content_of(dtype="F32")).version == 7
    assert check(save({"weights": numpy.zeros(4)}, {"format": "np"})).demonstration is False


def test_p8_tampered():
    good = content_of()
    metadata, signature = described(good)
    assert refusal(content_of((9.0, 9.0, 9.0, 9.0)), metadata, signature) == "MODEL_ALTERED"
    assert (
        refusal(good, metadata.replace(b'"version":7', b'"version":8'), signature)
        == "MODEL_UNSIGNED"
    )
    assert refusal(good, metadata + b" ", signature) == "MODEL_UNSIGNED"
    assert refusal(good, b"[" * 5000, signature) == "MODEL_UNSIGNED"
    stranger = sign(Ed25519PrivateKey.generate(), Context.MODEL, json.loads(metadata))
    assert refusal(good, metadata, stranger) == "MODEL_UNSIGNED"
    assert (
        refusal(good, metadata, sign(KEY, Context.OFFER, json.loads(metadata))) == "MODEL_UNSIGNED"
    )


def test_p8_older_and_swapped():
    good = content_of()
    assert refusal(good, minimum=MinModelVersion(8, "00")) == "MODEL_OLDER"
    assert refusal(good, minimum=MinModelVersion(7, "00" * 32)) == "MODEL_CHANGED"
    assert check(good, minimum=MinModelVersion(7, hashlib.sha256(good).hexdigest())).version == 7


def test_p8_oversized():
    assert refusal(bytes(MAX_MODEL_BYTES + 1), *described(b"")) == "MODEL_TOO_LARGE"


@pytest.mark.parametrize(
    "changes", [{"task_id": "x"}, {"schema": "x"}, {"d": 5}, {"version": "7"}, {"extra": 1}]
)
def test_p8_another_task(changes):
    good = content_of()
    assert refusal(good, *described(good, **changes)) == "MODEL_WRONG_TASK"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        bytes(8),
        content_of((1.0,) * 5),
        content_of(name="other"),
        content_of() + b"\0",
        content_of()[:-1],
        content_of(shape=[2, 2]),
        content_of(dtype="F64", data_offsets=[8, 40]),
        content_of(extra=1),
        (6).to_bytes(8, "little") + b"[[[[[[",
    ],
)
def test_p8_wrong_shape(content):
    assert refusal(content) == "MODEL_WRONG_SHAPE"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("nan", "MODEL_NOT_FINITE"),
        ("inf", "MODEL_NOT_FINITE"),
        ("-inf", "MODEL_NOT_FINITE"),
        ("1e7", "MODEL_OUT_OF_RANGE"),
    ],
)
@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_p8_not_numbers(value, code, dtype):
    assert refusal(content_of((0.0, 0.0, float(value), 0.0), dtype)) == code


def head(trained=(0.0,) * 4, scored=(1.0,) * 4, base=bytes(32), **more):
    parts = {
        "trained": numpy.array(trained),
        "scored": numpy.array(scored),
        "base": numpy.frombuffer(base, numpy.uint8),
    }
    return save({**parts, **more}, {"schema": "pehdr29/fixed-v1"})


def test_p8_a_head_passes_with_the_base_of_its_task():
    assert check_content(head(), 4, "00" * 32) is None
    assert check_content(head(numpy.zeros(4, numpy.float32)), 4, "00" * 32) is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (head(base=bytes(31) + b"x"), "MODEL_WRONG_TASK"),
        (head(base=bytes(31)), "MODEL_WRONG_SHAPE"),
        (head(trained=(0.0,) * 5), "MODEL_WRONG_SHAPE"),
        (head(scored=(0.0,) * 3), "MODEL_WRONG_SHAPE"),
        (head(extra=numpy.zeros(1)), "MODEL_WRONG_SHAPE"),
        (head(trained=numpy.zeros(4, numpy.int64)), "MODEL_WRONG_SHAPE"),
        (head() + b"x", "MODEL_WRONG_SHAPE"),
        (content_of(), "MODEL_WRONG_SHAPE"),
        (head(scored=(0.0, 0.0, float("nan"), 0.0)), "MODEL_NOT_FINITE"),
        (head(trained=(0.0, 0.0, 1e7, 0.0)), "MODEL_OUT_OF_RANGE"),
    ],
)
def test_p8_a_head_that_does_not_fit_is_refused(content, code):
    with pytest.raises(PeerError, match="not used") as raised:
        check_content(content, 4, "00" * 32)
    assert raised.value.code == code


def test_p8_a_head_is_no_model_of_a_task_without_a_base():
    assert refusal(head()) == "MODEL_WRONG_SHAPE"


def test_p8_a_base_is_the_one_that_the_task_names():
    task = replace(TASK, base_sha256=hashlib.sha256(b"base").hexdigest(), rounds=1)
    check_base(b"base", task)
    for content, code in ((b"other", "MODEL_ALTERED"), (bytes(4 << 20) + b"x", "MODEL_TOO_LARGE")):
        with pytest.raises(PeerError) as raised:
            check_base(content, task)
        assert raised.value.code == code
