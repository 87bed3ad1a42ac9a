"""The operator's side of the model repository; tests/agent/models has the device's and the attacks.

Signatures are checked with the TUF library's own verification.
"""

import datetime
import hashlib
import json

import pytest
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata

from server_stub.ca.certificates import key_pem, new_key
from server_stub.config.settings import default_task
from server_stub.publishing import tuf_repository
from server_stub.publishing.tuf_repository import (
    KEPT_MODELS,
    MODELS_DAYS,
    ROOT_DAYS,
    SNAPSHOT_DAYS,
    TARGETS_DAYS,
    TIMESTAMP_DAYS,
    Thresholds,
)

TASK = default_task()
NOW = datetime.datetime(2027, 1, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)


def facts(version):
    return {
        "task_id": TASK.task_id,
        "version": version,
        "published_at": 1,
        "demonstration": 0,
        "schema": TASK.schema,
        "d": TASK.d,
    }


@pytest.fixture
def folder(tmp_path):
    tuf_repository.create(tmp_path / "repository", TASK, NOW)
    return tmp_path / "repository"


def metadata(folder, name):
    return Metadata.from_file(str(folder / "metadata" / name))


def timestamp(folder):
    return metadata(folder, "timestamp.json").signed


def current(folder, role):
    """The newest metadata of a role, reached from the timestamp as a device does."""
    snapshot = metadata(folder, f"{timestamp(folder).snapshot_meta.version}.snapshot.json")
    if role == "snapshot":
        return snapshot
    return metadata(folder, f"{snapshot.signed.meta[f'{role}.json'].version}.{role}.json")


def check_signatures(folder, root_version):
    """Verify every current file against its parent, as the specification orders it."""
    root = metadata(folder, f"{root_version}.root.json")
    targets = current(folder, "targets")
    root.verify_delegate("root", root)
    root.verify_delegate("timestamp", metadata(folder, "timestamp.json"))
    root.verify_delegate("snapshot", current(folder, "snapshot"))
    root.verify_delegate("targets", targets)
    targets.verify_delegate("models", current(folder, "models"))


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_repository_is_signed_and_has_the_task_but_no_model(tmp_path):
    folder = tmp_path / "repository"
    digest = tuf_repository.create(folder, TASK, NOW)
    assert digest == hashlib.sha256((folder / "metadata/1.root.json").read_bytes()).hexdigest()
    check_signatures(folder, 1)
    root = metadata(folder, "1.root.json").signed
    assert {name: (len(role.keyids), role.threshold) for name, role in root.roles.items()} == {
        "root": (3, 2),
        "targets": (2, 2),
        "snapshot": (1, 1),
        "timestamp": (1, 1),
    }
    target = current(folder, "targets").signed.targets["task.json"]
    file = tuf_repository.target_file(folder, f"{target.hashes['sha256']}.task.json")
    assert json.loads(file.read_bytes()) == TASK.to_json()
    assert tuf_repository.published_version(folder) == 0
    assert {path.stat().st_mode & 0o777 for path in (folder / "keys").rglob("*.pem")} == {0o600}


def test_a_repository_is_not_overwritten(folder):
    before = content(folder)
    with pytest.raises(FileExistsError):
        tuf_repository.create(folder, TASK, NOW)
    assert content(folder) == before


def test_thresholds_are_those_that_were_asked_for(tmp_path):
    tuf_repository.create(tmp_path / "r", TASK, NOW, Thresholds(5, 3, 1, 1))
    root = metadata(tmp_path / "r", "1.root.json").signed
    assert (len(root.roles["root"].keyids), root.roles["root"].threshold) == (5, 3)
    assert (len(root.roles["targets"].keyids), root.roles["targets"].threshold) == (1, 1)


def test_a_published_model_is_current_with_its_facts(folder):
    tuf_repository.publish(folder, b"first", facts(1), NOW)
    tuf_repository.publish(folder, b"second", facts(2), NOW + HOUR)
    check_signatures(folder, 1)
    assert tuf_repository.published_version(folder) == 2
    target = current(folder, "models").signed.targets["models/current.safetensors"]
    assert target.unrecognized_fields["custom"] == facts(2)
    target.verify_length_and_hashes(b"second")
    name = f"models/{target.hashes['sha256']}.current.safetensors"
    assert tuf_repository.target_file(folder, name).read_bytes() == b"second"


def test_the_newest_models_stay_for_downloads_that_have_begun(folder):
    for version in range(1, KEPT_MODELS + 3):
        tuf_repository.publish(folder, b"model %d" % version, facts(version), NOW)
    kept = {path.read_bytes() for path in (folder / "targets" / "models").iterdir()}
    assert kept == {b"model %d" % version for version in (3, 4, 5)}


def test_a_publication_is_invisible_before_its_last_file(folder, monkeypatch):
    """What devices see changes with timestamp.json alone."""
    tuf_repository.publish(folder, b"first", facts(1), NOW)
    write = tuf_repository.atomic_file.write

    def fail_at_the_timestamp(path, data):
        if path.name == "timestamp.json":
            raise OSError("disk full")
        write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(tuf_repository.atomic_file, "write", fail_at_the_timestamp)
        with pytest.raises(OSError, match="disk full"):
            tuf_repository.publish(folder, b"second", facts(2), NOW)
    assert tuf_repository.published_version(folder) == 1
    check_signatures(folder, 1)
    tuf_repository.publish(folder, b"second", facts(2), NOW)
    assert tuf_repository.published_version(folder) == 2
    check_signatures(folder, 1)


def test_signatures_are_renewed_at_half_of_the_timestamps_life(folder):
    half = datetime.timedelta(days=TIMESTAMP_DAYS) / 2
    before = content(folder)
    assert not tuf_repository.refresh(folder, NOW + half - HOUR)
    assert content(folder) == before
    assert tuf_repository.refresh(folder, NOW + half)
    assert timestamp(folder).version == 2
    check_signatures(folder, 1)
    assert tuf_repository.ends(folder) == {
        "root": NOW + ROOT_DAYS * DAY,
        "targets": NOW + TARGETS_DAYS * DAY,
        "models": NOW + half + MODELS_DAYS * DAY,
        "snapshot": NOW + half + SNAPSHOT_DAYS * DAY,
        "timestamp": NOW + half + TIMESTAMP_DAYS * DAY,
    }


def test_a_renewal_signs_root_and_targets_for_another_year_and_keeps_the_model(folder):
    tuf_repository.publish(folder, b"first", facts(1), NOW)
    later = NOW + 300 * DAY
    tuf_repository.renew(folder, later)
    check_signatures(folder, 2)
    root = metadata(folder, "1.root.json")
    root.verify_delegate("root", metadata(folder, "2.root.json"))
    ends = tuf_repository.ends(folder)
    assert (ends["root"], ends["targets"]) == (later + ROOT_DAYS * DAY, later + TARGETS_DAYS * DAY)
    assert tuf_repository.published_version(folder) == 1


def test_a_renewal_can_change_the_task(folder):
    task = default_task()
    changed = type(task)(**{**task.__dict__, "train_steps": 7})
    tuf_repository.renew(folder, NOW, task=changed)
    target = current(folder, "targets").signed.targets["task.json"]
    file = tuf_repository.target_file(folder, f"{target.hashes['sha256']}.task.json")
    assert json.loads(file.read_bytes()) == changed.to_json()


def test_a_replaced_online_key_signs_nothing_more(folder):
    old = tuf_repository.load_key(folder / "keys" / "online.pem")
    tuf_repository.renew(folder, NOW, replace_online_key=True)
    check_signatures(folder, 2)
    root, targets = metadata(folder, "2.root.json"), current(folder, "targets")
    for parent, role, forged in (
        (root, "timestamp", metadata(folder, "timestamp.json")),
        (root, "snapshot", current(folder, "snapshot")),
        (targets, "models", current(folder, "models")),
    ):
        forged.signatures.clear()
        forged.sign(old)
        with pytest.raises(UnsignedMetadataError):
            parent.verify_delegate(role, forged)


@pytest.mark.parametrize("missing", [("root-1", "root-2"), ("targets-1",)])
def test_a_renewal_with_too_few_keys_changes_nothing(folder, missing):
    for name in missing:
        (folder / "keys" / "offline" / f"{name}.pem").unlink()
    before = content(folder)
    with pytest.raises(FileNotFoundError, match="keys that must sign"):
        tuf_repository.renew(folder, NOW, replace_online_key=True)
    assert content(folder) == before


def test_an_interrupted_renewal_is_repaired_by_another_one(folder, monkeypatch):
    write = tuf_repository.atomic_file.write

    def fail_at_the_targets(path, data):
        if path.name == "2.targets.json":
            raise OSError("disk full")
        write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(tuf_repository.atomic_file, "write", fail_at_the_targets)
        with pytest.raises(OSError, match="disk full"):
            tuf_repository.renew(folder, NOW, replace_online_key=True)
    tuf_repository.renew(folder, NOW, replace_online_key=True)
    check_signatures(folder, 3)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../keys/online.pem",
        "models/../../keys/online.pem",
        "/etc/passwd",
        "none.json",
        "models",
        "a" * 300,
    ],
)
def test_only_files_of_the_repository_are_handed_out(folder, name):
    assert tuf_repository.metadata_file(folder, name) is None
    assert tuf_repository.target_file(folder, name) is None


def test_a_link_out_of_the_repository_is_not_followed(folder):
    (folder / "targets" / "link.pem").symlink_to(folder / "keys" / "online.pem")
    assert tuf_repository.target_file(folder, "link.pem") is None


def test_a_key_of_another_kind_is_refused(tmp_path):
    (tmp_path / "key.pem").write_bytes(key_pem(new_key()))
    with pytest.raises(TypeError, match=r"key.pem: expected an Ed25519 key"):
        tuf_repository.load_key(tmp_path / "key.pem")
