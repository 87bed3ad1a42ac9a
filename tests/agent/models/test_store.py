"""Whatever comes or crashes, one whole model stays in use, and no older one comes back."""

import hashlib
import json
from dataclasses import replace

import numpy
import pytest
from safetensors.numpy import save

from agent.errors import PeerError
from agent.models.store import ModelStore
from agent.models.verify import MinModelVersion, ModelFacts, check_model
from agent.protocol.signing import public_hex
from tests.fakes.signed_model import KEY, TASK, check, content_of, described


def current(store):
    return store.current(public_hex(KEY), TASK)


def test_p8_the_old_model_stays_in_use_whatever_comes(tmp_path):
    store = ModelStore(tmp_path)
    assert current(store) is None
    store.install(check(content_of()))
    for bad in (content_of((float("nan"),) * 4), content_of()[:-1]):
        with pytest.raises(PeerError):
            store.install(check(bad, *described(bad, 8), minimum=store.min_version()))
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
    assert store.min_version() == MinModelVersion(9, hashlib.sha256(newer).hexdigest())
    for name, bytes_then in old.items():
        (tmp_path / "models" / name).write_bytes(bytes_then)
    assert current(store) is None
    assert store.min_version().version == 9


def test_p10_a_crash_between_the_steps_leaves_one_whole_model(tmp_path, monkeypatch):
    from agent.files import atomic_file

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
        assert store.min_version().version == current(store).version
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
    assert store.min_version().version == 7


def test_clear_leaves_nothing(tmp_path):
    store = ModelStore(tmp_path)
    store.install(check(content_of()))
    store.clear()
    store.clear()
    assert list(tmp_path.iterdir()) == []


BASE = b"what the operator trained"
WITH_BASE = replace(TASK, base_sha256=hashlib.sha256(BASE).hexdigest(), rounds=20)
OTHER = replace(TASK, base_sha256=hashlib.sha256(b"another").hexdigest(), rounds=20)


def test_a_base_is_kept_by_its_digest_until_another_replaces_it(tmp_path):
    store = ModelStore(tmp_path)
    assert (store.base(TASK), store.has_base(TASK)) == (b"", True)
    assert (store.base(WITH_BASE), store.has_base(WITH_BASE)) == (None, False)
    store.keep_base(BASE, WITH_BASE)
    assert (store.base(WITH_BASE), store.has_base(WITH_BASE)) == (BASE, True)
    store.keep_base(b"another", OTHER)
    assert (store.base(OTHER), store.base(WITH_BASE)) == (b"another", None)


def test_p8_a_base_that_was_altered_on_the_disk_is_not_used(tmp_path):
    store = ModelStore(tmp_path)
    store.keep_base(BASE, WITH_BASE)
    (path,) = (tmp_path / "models").iterdir()
    path.write_bytes(BASE[::-1])
    assert store.base(WITH_BASE) is None


def test_p8_a_head_without_its_base_is_not_used(tmp_path):
    store = ModelStore(tmp_path)
    parts = {"trained": numpy.zeros(4), "scored": numpy.ones(4)}
    digest = numpy.frombuffer(bytes.fromhex(WITH_BASE.base_sha256), numpy.uint8)
    content = save({**parts, "base": digest})
    facts = json.loads(described(content)[0])
    model = check_model(
        ModelFacts.from_json(facts), content, task=WITH_BASE, minimum=MinModelVersion()
    )
    store.install(model)
    assert store.current("", WITH_BASE) is None
    store.keep_base(BASE, WITH_BASE)
    assert store.current("", WITH_BASE).files_for(WITH_BASE).base == BASE
