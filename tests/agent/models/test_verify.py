"""Tampered, older, oversized, mis-shaped and non-finite models are each refused by name, and the
model in use stays.
"""

import hashlib
import json
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import save

from agent.errors import PeerError
from agent.models.store import ModelStore
from agent.models.verify import Floor, verify_model
from agent.protocol.canonical import canonical
from agent.protocol.limits import MAX_MODEL_BYTES
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


def check(content, metadata=None, signature=None, floor=None):
    made = described(content)
    return verify_model(
        metadata or made[0],
        signature or made[1],
        content,
        signing_key=public_hex(KEY),
        task=TASK,
        floor=floor or Floor(),
    )


def refusal(*args, **options):
    with pytest.raises(PeerError, match="not used") as raised:
        check(*args, **options)
    assert raised.value.remedy.startswith("The model in use stays")
    return raised.value.code


def test_p8_a_good_model_passes_in_both_widths_and_as_the_library_writes_it():
    import numpy

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
    assert refusal(good, floor=Floor(8, "00")) == "MODEL_OLDER"
    assert refusal(good, floor=Floor(7, "00" * 32)) == "MODEL_CHANGED"
    assert check(good, floor=Floor(7, hashlib.sha256(good).hexdigest())).version == 7


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


def current(store):
    return store.current(public_hex(KEY), TASK)


def test_p8_the_old_model_stays_in_use_whatever_comes(tmp_path):
    store = ModelStore(tmp_path)
    assert current(store) is None
    store.install(check(content_of()))
    for bad in (content_of((float("nan"),) * 4), content_of()[:-1]):
        with pytest.raises(PeerError):
            store.install(check(bad, *described(bad, 8), floor=store.floor()))
    assert current(store).version == 7


def test_p8_the_floor_survives_the_loss_of_the_folder_and_of_the_pointer(tmp_path):
    store = ModelStore(tmp_path)
    newer = content_of((1.0,) * 4)
    store.install(check(content_of()))
    old = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    store.install(check(newer, *described(newer, 9)))
    assert current(store).version == 9
    assert len(list((tmp_path / "models").iterdir())) == 3
    for path in (tmp_path / "models").iterdir():
        path.unlink()
    assert store.floor() == Floor(9, hashlib.sha256(newer).hexdigest())
    for name, bytes_then in old.items():
        (tmp_path / "models" / name).write_bytes(bytes_then)
    assert current(store) is None
    assert store.floor().version == 9


def test_p10_a_crash_between_the_steps_leaves_one_whole_model(tmp_path, monkeypatch):
    from agent import atomic_file

    real = atomic_file.write
    for step in range(3):
        home = tmp_path / str(step)
        home.mkdir()
        store = ModelStore(home)
        store.install(check(content_of()))
        newer = check(content_of((1.0,) * 4), *described(content_of((1.0,) * 4), 9))
        countdown = [step]

        def crashing(path, content, countdown=countdown):
            if countdown[0] == 0:
                raise OSError("no space left")
            countdown[0] -= 1
            real(path, content)

        monkeypatch.setattr(atomic_file, "write", crashing)
        with pytest.raises(OSError, match="no space"):
            store.install(newer)
        monkeypatch.setattr(atomic_file, "write", real)
        assert current(store).version == (9 if step == 2 else 7)
        assert store.floor().version == current(store).version
        store.install(newer)
        assert current(store).version == 9


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[", b'{"slot": "../../etc/passwd"}', b'{"slot": 5, "version": "x"}']
)
def test_p11_a_damaged_pointer_means_no_model(tmp_path, damage):
    store = ModelStore(tmp_path)
    store.install(check(content_of()))
    (tmp_path / "models" / "current.json").write_bytes(damage)
    assert current(store) is None
    assert store.floor().version == 7


def test_clear_leaves_nothing(tmp_path):
    store = ModelStore(tmp_path)
    store.install(check(content_of()))
    store.clear()
    store.clear()
    assert list(tmp_path.iterdir()) == []
