"""Each attack of the TUF specification is refused by its own code, and the model in use stays."""

import datetime
import hashlib
import json
import shutil
import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile

from agent.errors import AegisError, UserActionError
from agent.models.repository import ModelRepository
from agent.models.store import ModelStore
from agent.models.verify import MinModelVersion
from agent.protocol.messages import Mode, Task
from server_stub.publishing import tuf_repository

TASK = Task("t", "pehdr29/fixed-v1", "logistic", 4, Mode.SECAGG, 10, 100, 1000, 1)
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Clock:
    def __init__(self):
        self.wall = int(NOW.timestamp())

    def now(self):
        return self.wall

    def monotonic(self):
        return 0.0


def content_of(*values):
    body = struct.pack("<4d", *(values or (0.0, 1.0, 2.0, 3.0)))
    head = json.dumps({"weights": {"dtype": "F64", "shape": [4], "data_offsets": [0, 32]}}).encode()
    return len(head).to_bytes(8, "little") + head + body


def facts(version, **changes):
    return {
        "task_id": "t",
        "version": version,
        "published_at": 1,
        "demonstration": 0,
        "schema": TASK.schema,
        "d": 4,
        **changes,
    }


class World:
    """An operator's folder, a device's home and an attacker in between.

    `altered`: path → content, or None for a missing file.
    """

    def __init__(self, folder, now=NOW, task=TASK, base=b""):
        self.folder = folder / "operator"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.root_sha256 = tuf_repository.create(self.folder, task, now, base=base)
        self.altered = {}
        self.requests = []
        self.clock = Clock()
        self.store = ModelStore(self.home)

    def fetch(self, path, max_bytes):
        self.requests.append(path)
        if path in self.altered:
            return self.altered[path]
        kind, _, name = path.partition("/")
        file = (tuf_repository.metadata_file if kind == "metadata" else tuf_repository.target_file)(
            self.folder, name
        )
        return file.read_bytes() if file else None

    def device(self):
        return ModelRepository(self.home, self.root_sha256, self.fetch, self.clock)

    def update(self):
        """What the agent does: fetch, verify, install."""
        current = self.current()
        model = self.device().model(
            TASK, self.store.min_version(), current.sha256 if current else ""
        )
        if model is not None:
            self.store.install(model)
        return model

    def current(self):
        return self.store.current("", TASK)

    def published(self, name):
        return (self.folder / "metadata" / name).read_bytes()

    def snapshot_of_everything(self):
        return {
            f"{kind.name}/{path.name}": path.read_bytes()
            for kind in [self.folder / "metadata"]
            for path in kind.iterdir()
        }


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    tuf_repository.publish(world.folder, content_of(), facts(1), NOW)
    world.update()
    assert world.current().version == 1
    return world


def refusal(world):
    before = world.current().version
    with pytest.raises(AegisError) as raised:
        world.update()
    assert raised.value.remedy
    assert world.current().version == before
    return raised.value.code


def resigned(world, name, change, keys=("keys/online.pem",)):
    """A metadata file with `change` applied, signed by the operator's own keys (as if they were
    stolen).
    """
    metadata = Metadata.from_bytes(world.published(name))
    change(metadata.signed)
    metadata.signatures.clear()
    for key in keys:
        metadata.sign(tuf_repository.load_key(world.folder / key), append=True)
    return metadata.to_bytes()


def test_p8_each_good_model_is_taken_once(world):
    world.requests.clear()
    assert world.update() is None
    assert not any(path.startswith("targets/") for path in world.requests)
    tuf_repository.publish(world.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW)
    assert world.update().version == 2
    assert world.current().version == 2
    assert world.device().task() == TASK


def test_p8_a_root_that_the_invitation_does_not_name(world, tmp_path):
    other = World(tmp_path / "other")
    world.altered = {path: content for path, content in other.snapshot_of_everything().items()}
    shutil.rmtree(world.home / "trust")
    assert refusal(world) == "MODEL_ROOT"


def test_p8_rollback_of_the_metadata(world):
    old = world.published("timestamp.json")
    tuf_repository.publish(world.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW)
    world.update()
    world.altered = {"metadata/timestamp.json": old}
    assert refusal(world) == "MODEL_OLDER"


def test_p8_rollback_after_the_device_lost_its_metadata(world):
    old = world.snapshot_of_everything()
    tuf_repository.publish(world.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW)
    world.update()
    shutil.rmtree(world.home / "trust")
    world.altered = old
    assert refusal(world) == "MODEL_OLDER"


def test_p8_the_same_version_with_other_weights(world):
    tuf_repository.publish(world.folder, content_of(9.0, 9.0, 9.0, 9.0), facts(1), NOW)
    assert refusal(world) == "MODEL_CHANGED"


def test_p8_a_frozen_repository(tmp_path):
    frozen = World(tmp_path, NOW - 3 * DAY)
    tuf_repository.publish(frozen.folder, content_of(), facts(1), NOW)
    frozen.update()
    tuf_repository.publish(frozen.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW - 2 * DAY)
    assert refusal(frozen) == "MODEL_EXPIRED"
    tuf_repository.refresh(frozen.folder, NOW)
    assert frozen.update().version == 2


def test_refresh_signs_again_only_when_due(world):
    assert not tuf_repository.refresh(world.folder, NOW + DAY / 3)
    assert tuf_repository.refresh(world.folder, NOW + DAY * 2 / 3)
    assert not tuf_repository.refresh(world.folder, NOW + DAY * 2 / 3)
    assert world.update() is None


def test_p8_mix_and_match(world):
    """An older role file under the name of the newer one."""
    tuf_repository.publish(world.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW)
    world.altered = {"metadata/3.snapshot.json": world.published("2.snapshot.json")}
    assert refusal(world) == "MODEL_OLDER"
    world.altered = {"metadata/3.models.json": world.published("2.models.json")}
    assert refusal(world) == "MODEL_OLDER"


@pytest.mark.parametrize("name", ["timestamp.json", "3.snapshot.json", "3.models.json"])
def test_p8_unsigned_or_signed_by_a_stranger(world, name):
    tuf_repository.publish(world.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW)
    metadata = Metadata.from_bytes(world.published(name))
    metadata.signatures.clear()
    world.altered = {f"metadata/{name}": metadata.to_bytes()}
    assert refusal(world) == "MODEL_UNSIGNED"
    metadata.sign(CryptoSigner(Ed25519PrivateKey.generate()))
    world.altered = {f"metadata/{name}": metadata.to_bytes()}
    assert refusal(world) == "MODEL_UNSIGNED"


def test_p8_tampered_target(world):
    content = content_of(4.0, 3.0, 2.0, 1.0)
    tuf_repository.publish(world.folder, content, facts(2), NOW)
    path = f"targets/models/{hashlib.sha256(content).hexdigest()}.current.safetensors"
    world.altered = {path: content_of(5.0, 3.0, 2.0, 1.0)}
    assert refusal(world) == "MODEL_ALTERED"
    world.altered = {path: content + b"more"}
    assert refusal(world) == "MODEL_TOO_LARGE"
    world.altered = {path: None}
    assert refusal(world) == "MODEL_MISSING"


@pytest.mark.parametrize(
    ("content", "changes", "code"),
    [
        (content_of(float("nan"), 0.0, 0.0, 0.0), {}, "MODEL_NOT_FINITE"),
        (content_of()[:-8], {}, "MODEL_WRONG_SHAPE"),
        (content_of(), {"schema": "other"}, "MODEL_WRONG_TASK"),
        (content_of(), {"d": 5}, "MODEL_WRONG_TASK"),
        (content_of(), {"task_id": "other"}, "MODEL_WRONG_TASK"),
        (content_of(), {"extra": 1}, "MODEL_WRONG_TASK"),
        (content_of(), {"version": "2"}, "MODEL_WRONG_TASK"),
    ],
)
def test_p8_a_stolen_online_key_still_cannot_change_shape_or_task(world, content, changes, code):
    tuf_repository.publish(world.folder, content, {**facts(2), **changes}, NOW)
    assert refusal(world) == code


def test_p8_a_stolen_online_key_cannot_change_the_task(world):
    forged = b'{"task_id":"forged"}'

    def add_task(models):
        target = TargetFile.from_data("task.json", forged, ["sha256"])
        models.targets["task.json"] = target

    world.altered = {"metadata/2.models.json": resigned(world, "2.models.json", add_task)}
    shutil.rmtree(world.home / "trust")
    assert world.device().task() == TASK


def test_p8_oversized_is_refused_before_it_is_fetched(world):
    tuf_repository.publish(world.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW)

    def enlarge(models):
        models.targets[tuf_repository.MODEL_TARGET].length = 10**12

    world.altered = {"metadata/3.models.json": resigned(world, "3.models.json", enlarge)}
    world.requests.clear()
    assert refusal(world) == "MODEL_TOO_LARGE"
    assert not any(path.startswith("targets/") for path in world.requests)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 100_000, b"\xff" * 100, b"null", b"x" * 600_000]
)
def test_p11_malformed_metadata_is_refused(world, content):
    world.altered = {"metadata/timestamp.json": content}
    assert refusal(world) in {"MODEL_UNREADABLE", "MODEL_TOO_LARGE"}


def new_root(world, signers):
    def rotate(root):
        root.version = 2
        fresh = CryptoSigner(Ed25519PrivateKey.generate())
        root.revoke_key(next(iter(root.roles["root"].keyids)), "root")
        root.add_key(fresh.public_key, "root")

    return resigned(world, "1.root.json", rotate, [f"keys/offline/root-{n}.pem" for n in signers])


def test_p8_a_new_root_needs_the_threshold_of_the_old_one(world):
    world.altered = {"metadata/2.root.json": new_root(world, (1,))}
    assert refusal(world) == "MODEL_UNSIGNED"
    order = list(Metadata.from_bytes(world.published("1.root.json")).signed.roles["root"].keyids)
    kept = [
        n
        for n in (1, 2, 3)
        if tuf_repository.load_key(world.folder / f"keys/offline/root-{n}.pem").public_key.keyid
        != order[0]
    ]
    world.altered = {"metadata/2.root.json": new_root(world, kept)}
    assert world.update() is None


def test_p8_a_clock_that_went_back_takes_no_models(world):
    world.clock.wall -= 86_400 - 60
    assert world.update() is None
    world.clock.wall -= 120
    with pytest.raises(UserActionError) as raised:
        world.update()
    assert raised.value.code == "CLOCK_WENT_BACK"
    assert world.current().version == 1


def test_a_clock_that_was_far_ahead_leaves_no_mark(world):
    """No metadata was fresh by it, so it proves nothing about the time."""
    right = world.clock.wall
    world.clock.wall += 400 * 86_400
    world.altered = {"metadata/timestamp.json": None}
    assert refusal(world) == "MODEL_MISSING"
    world.altered, world.clock.wall = {}, right
    assert world.update() is None


def test_offline_is_reported_as_offline(world):
    def offline(path, max_bytes):
        raise UserActionError("OFFLINE", "No network.", "Later.")

    world.fetch = offline
    assert refusal(world) == "OFFLINE"


def test_clear_leaves_nothing(world):
    world.device().clear()
    world.store.clear()
    assert list(world.home.iterdir()) == []


def test_an_operator_replaces_a_bad_model_by_a_higher_version(world):
    tuf_repository.publish(world.folder, content_of(9.0, 9.0, 9.0, 9.0), facts(2), NOW)
    world.update()
    tuf_repository.publish(world.folder, content_of(), facts(3), NOW)
    assert world.update().version == 3
    assert world.current().content == content_of()
    assert (
        world.device().model(
            TASK, MinModelVersion(3, world.current().sha256), world.current().sha256
        )
        is None
    )


def test_only_files_of_the_folder_are_served(world):
    assert tuf_repository.metadata_file(world.folder, "../keys/online.pem") is None
    assert tuf_repository.target_file(world.folder, "../../etc/passwd") is None
    assert tuf_repository.metadata_file(world.folder, "/etc/passwd") is None
    assert tuf_repository.metadata_file(world.folder, "") is None
    assert tuf_repository.metadata_file(world.folder, "1.root.json") is not None


def test_a_year_later_and_after_the_online_key_was_stolen(world):
    stolen = (world.folder / "keys" / "online.pem").read_bytes()
    tuf_repository.renew(world.folder, NOW, replace_online_key=True)
    tuf_repository.publish(world.folder, content_of(4.0, 3.0, 2.0, 1.0), facts(2), NOW)
    assert world.update().version == 2
    (world.folder / "keys" / "online.pem").write_bytes(stolen)
    tuf_repository.publish(world.folder, content_of(9.0, 9.0, 9.0, 9.0), facts(3), NOW)
    assert refusal(world) == "MODEL_UNSIGNED"


def test_the_operator_changes_the_task_with_the_offline_keys_only(world):
    import dataclasses

    changed = dataclasses.replace(TASK, train_steps=11)
    tuf_repository.renew(world.folder, NOW, task=changed)
    assert world.device().task() == changed
    shutil.rmtree(world.folder / "keys" / "offline")
    with pytest.raises(FileNotFoundError):
        tuf_repository.renew(world.folder, NOW)


BASE = b"what the operator trained"
WITH_BASE = replace(TASK, base_sha256=hashlib.sha256(BASE).hexdigest(), rounds=20)


@pytest.fixture
def based(tmp_path):
    return World(tmp_path, task=WITH_BASE, base=BASE)


def test_p8_the_base_is_signed_by_the_offline_keys(based):
    assert based.device().task() == WITH_BASE
    assert based.device().base(WITH_BASE) == BASE


def test_p8_a_base_that_was_altered_is_refused(based):
    path = f"targets/{WITH_BASE.base_sha256}.base.safetensors"
    based.altered[path] = BASE[::-1]
    with pytest.raises(AegisError) as raised:
        based.device().base(WITH_BASE)
    assert raised.value.code == "MODEL_ALTERED"


def test_p8_a_base_other_than_the_tasks_is_refused(based):
    other = replace(WITH_BASE, base_sha256="5a" * 32)
    with pytest.raises(AegisError) as raised:
        based.device().base(other)
    assert raised.value.code == "MODEL_ALTERED"


def test_p8_a_repository_without_the_base_is_said_so(world):
    with pytest.raises(AegisError) as raised:
        world.device().base(WITH_BASE)
    assert raised.value.code == "MODEL_MISSING"
