"""Writes the model repository, in the format of The Update Framework (TUF).

1. Offline keys sign the repository once a year; the online key signs every new model.
2. The server hands out `metadata/` and `targets/` byte for byte.
3. `timestamp.json` is written last, in one step. Until then devices see the previous state.

    keys/offline/root-{1,2,3}.pem     sign the root: two of three must
    keys/offline/targets-{1,2}.pem    sign the task, its base if it has one, and the delegation of
                                      "models/*": both must
    keys/online.pem                   signs models, snapshot and timestamp

The operator moves the offline keys to other media after `create`.
"""

import copy
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]
from tuf.api.metadata import (  # type: ignore[attr-defined]
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from agent.files import atomic_file
from agent.protocol.canonical import canonical
from agent.protocol.messages import Task

ROOT_DAYS, TARGETS_DAYS, MODELS_DAYS, SNAPSHOT_DAYS, TIMESTAMP_DAYS = 365, 365, 30, 7, 1
TASK_TARGET = "task.json"
BASE_TARGET = "base.safetensors"
MODEL_TARGET = "models/current.safetensors"
KEPT_MODELS = 3
"""How many model files stay, so that a device can finish a download that it has begun."""


@dataclass(frozen=True)
class Thresholds:
    """How many offline keys exist, and how many must sign."""

    root_keys: int = 3
    root: int = 2
    targets_keys: int = 2
    targets: int = 2


def create(
    folder: Path,
    task: Task,
    now: datetime,
    thresholds: Thresholds | None = None,
    base: bytes = b"",
) -> str:
    """Create keys and the first metadata, without a model. `base`: the file that the task names.

    Returns the SHA-256 of the first root in hex, for invitations. Raises FileExistsError if the
    folder already has a repository.
    """
    counts = thresholds or Thresholds()
    (folder / "keys" / "offline").mkdir(mode=0o700, parents=True)
    (folder / "metadata").mkdir()
    (folder / "targets" / "models").mkdir(parents=True)
    roots = [
        _new_key(folder / "keys" / "offline" / f"root-{n + 1}.pem") for n in range(counts.root_keys)
    ]
    targets_keys = [
        _new_key(folder / "keys" / "offline" / f"targets-{n + 1}.pem")
        for n in range(counts.targets_keys)
    ]
    online = _new_key(folder / "keys" / "online.pem")

    root = Root(expires=_after(now, ROOT_DAYS), consistent_snapshot=True)
    for role, signers, threshold in (
        ("root", roots, counts.root),
        ("targets", targets_keys, counts.targets),
        ("snapshot", [online], 1),
        ("timestamp", [online], 1),
    ):
        root.roles[role].threshold = threshold
        for signer in signers:
            root.add_key(signer.public_key, role)
    first_root = _signed(root, roots)
    atomic_file.write(folder / "metadata" / "1.root.json", first_root)

    keys: dict[str, Key] = {online.public_key.keyid: online.public_key}
    delegation = DelegatedRole(
        "models", [online.public_key.keyid], 1, terminating=True, paths=["models/*"]
    )
    targets = Targets(
        expires=_after(now, TARGETS_DAYS), delegations=Delegations(keys, {"models": delegation})
    )
    targets.targets[TASK_TARGET] = _add_target(folder, TASK_TARGET, canonical(task.to_json()), {})
    if base:
        targets.targets[BASE_TARGET] = _add_target(folder, BASE_TARGET, base, {})
    atomic_file.write(folder / "metadata" / "1.targets.json", _signed(targets, targets_keys))

    _write_online(folder, online, Targets(expires=_after(now, MODELS_DAYS)), now)
    return hashlib.sha256(first_root).hexdigest()


def publish(folder: Path, content: bytes, facts: dict[str, int | str], now: datetime) -> None:
    """Make `content` the current model.

    `facts`: task_id, version, published_at, demonstration, schema, d (`agent.models.verify`). To
    withdraw a bad model, publish a good one again under a higher version.
    """
    models = _current_models(folder)
    models.targets[MODEL_TARGET] = _add_target(folder, MODEL_TARGET, content, facts)
    models.version += 1
    models.expires = _after(now, MODELS_DAYS)
    _write_online(folder, load_key(folder / "keys" / "online.pem"), models, now)
    _delete_old_models(folder)


def published_version(folder: Path) -> int:
    """The version of the current model; 0 before the first."""
    target = _current_models(folder).targets.get(MODEL_TARGET)
    return 0 if target is None else int(target.unrecognized_fields["custom"]["version"])


def refresh(folder: Path, now: datetime) -> bool:
    """Renew the online key's signatures once half of the timestamp's life is over. Call it hourly.

    Says whether it did.
    """
    timestamp = Metadata[Timestamp].from_file(str(folder / "metadata" / "timestamp.json")).signed
    if timestamp.expires - now > timedelta(days=TIMESTAMP_DAYS) / 2:
        return False
    models = _current_models(folder)
    models.version += 1
    models.expires = _after(now, MODELS_DAYS)
    _write_online(folder, load_key(folder / "keys" / "online.pem"), models, now)
    return True


def renew(
    folder: Path,
    now: datetime,
    *,
    task: Task | None = None,
    replace_online_key: bool = False,
    offline: Path | None = None,
) -> None:
    """Sign root and targets for another year with the offline keys in `offline`.

    By default these are in `keys/offline/`. A new task and a new online key need the same
    signatures. After an interruption, renew again. Raises FileNotFoundError, with nothing changed,
    if fewer keys are there than must sign.
    """
    metadata = folder / "metadata"
    root = Metadata[Root].from_file(str(metadata / f"{_newest(folder, 'root')}.root.json")).signed
    targets = (
        Metadata[Targets]
        .from_file(str(metadata / f"{_newest(folder, 'targets')}.targets.json"))
        .signed
    )
    roots, targets_keys = (
        _offline_keys(offline or folder / "keys" / "offline", name, root)
        for name in ("root", "targets")
    )
    online = load_key(folder / "keys" / "online.pem")
    if replace_online_key:
        fresh = _new_key(folder / "keys" / "online.pem")
        for role in ("snapshot", "timestamp"):
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            root.add_key(fresh.public_key, role)
        roles = targets.delegations.roles if targets.delegations else None
        for keyid in list(roles["models"].keyids if roles else ()):
            targets.revoke_key(keyid, "models")
        targets.add_key(fresh.public_key, "models")
        online = fresh
    if task is not None:
        targets.targets[TASK_TARGET] = _add_target(
            folder, TASK_TARGET, canonical(task.to_json()), {}
        )
    for signed, name, signers, days in (
        (root, "root", roots, ROOT_DAYS),
        (targets, "targets", targets_keys, TARGETS_DAYS),
    ):
        signed.version += 1
        signed.expires = _after(now, days)
        atomic_file.write(metadata / f"{signed.version}.{name}.json", _signed(signed, signers))
    models = _current_models(folder)
    models.version += 1
    _write_online(folder, online, models, now)


def ends(folder: Path) -> dict[str, datetime]:
    """When each role's newest metadata expires."""
    metadata, models = folder / "metadata", _current_models(folder)
    timestamp = Metadata[Timestamp].from_file(str(metadata / "timestamp.json")).signed
    snapshot = (
        Metadata[Snapshot]
        .from_file(str(metadata / f"{timestamp.snapshot_meta.version}.snapshot.json"))
        .signed
    )
    root = Metadata[Root].from_file(str(metadata / f"{_newest(folder, 'root')}.root.json")).signed
    targets = (
        Metadata[Targets]
        .from_file(str(metadata / f"{_newest(folder, 'targets')}.targets.json"))
        .signed
    )
    newest = {
        "root": root,
        "targets": targets,
        "models": models,
        "snapshot": snapshot,
        "timestamp": timestamp,
    }
    return {name: signed.expires for name, signed in newest.items()}


def metadata_file(folder: Path, name: str) -> Path | None:
    """The file behind `GET /api/v1/metadata/{name}`, or None."""
    return _within(folder / "metadata", name)


def target_file(folder: Path, path: str) -> Path | None:
    """The file behind `GET /api/v1/targets/{path}`, or None."""
    return _within(folder / "targets", path)


def load_key(path: Path) -> CryptoSigner:
    """Read a key that signs. Raises OSError, ValueError, and TypeError for another kind of key."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path.name}: expected an Ed25519 key")
    return CryptoSigner(key)


def _write_online(folder: Path, online: CryptoSigner, models: Targets, now: datetime) -> None:
    """Write models, snapshot and timestamp, in this order: each names the version before it."""
    metadata = folder / "metadata"
    previous = (
        Metadata[Timestamp].from_file(str(metadata / "timestamp.json")).signed
        if (metadata / "timestamp.json").exists()
        else None
    )
    snapshot_version = previous.snapshot_meta.version + 1 if previous else 1
    meta = {
        "targets.json": MetaFile(_newest(folder, "targets")),
        "models.json": MetaFile(models.version),
    }
    snapshot = Snapshot(version=snapshot_version, expires=_after(now, SNAPSHOT_DAYS), meta=meta)
    timestamp = Timestamp(
        version=previous.version + 1 if previous else 1,
        expires=_after(now, TIMESTAMP_DAYS),
        snapshot_meta=MetaFile(snapshot_version),
    )
    atomic_file.write(metadata / f"{models.version}.models.json", _signed(models, [online]))
    atomic_file.write(metadata / f"{snapshot_version}.snapshot.json", _signed(snapshot, [online]))
    atomic_file.write(metadata / "timestamp.json", _signed(timestamp, [online]))


def _newest(folder: Path, role: str) -> int:
    return max(
        int(path.name.split(".")[0]) for path in (folder / "metadata").glob(f"*.{role}.json")
    )


def _offline_keys(folder: Path, role: str, root: Root) -> list[CryptoSigner]:
    """Load the keys of `folder` that may sign as `role`.

    Raises FileNotFoundError if fewer are there than must sign.
    """
    keys = [load_key(path) for path in sorted(folder.glob(f"{role}-*.pem"))]
    valid = [key for key in keys if key.public_key.keyid in root.roles[role].keyids]
    if len(valid) < root.roles[role].threshold:
        raise FileNotFoundError(
            f"{len(valid)} of the {root.roles[role].threshold} {role} keys that must sign are in"
            f" {folder}"
        )
    return valid


def _current_models(folder: Path) -> Targets:
    metadata = folder / "metadata"
    timestamp = Metadata[Timestamp].from_file(str(metadata / "timestamp.json")).signed
    snapshot = (
        Metadata[Snapshot]
        .from_file(str(metadata / f"{timestamp.snapshot_meta.version}.snapshot.json"))
        .signed
    )
    version = snapshot.meta["models.json"].version
    return copy.deepcopy(
        Metadata[Targets].from_file(str(metadata / f"{version}.models.json")).signed
    )


def _add_target(
    folder: Path, name: str, content: bytes, custom: dict[str, int | str]
) -> TargetFile:
    target = TargetFile.from_data(name, content, ["sha256"])
    target.unrecognized_fields["custom"] = custom
    folder_name, _, base = name.rpartition("/")
    atomic_file.write(
        folder / "targets" / folder_name / f"{target.hashes['sha256']}.{base}", content
    )
    return target


def _delete_old_models(folder: Path) -> None:
    oldest_first = sorted(
        (folder / "targets" / "models").glob("*.safetensors"),
        key=lambda path: path.stat().st_mtime_ns,
    )
    for path in oldest_first[:-KEPT_MODELS]:
        path.unlink()


def _signed(signed: Any, signers: list[CryptoSigner]) -> bytes:
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _new_key(path: Path) -> CryptoSigner:
    key = Ed25519PrivateKey.generate()
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    atomic_file.write(path, encoded)
    return CryptoSigner(key)


def _after(now: datetime, days: int) -> datetime:
    return (now.astimezone(UTC) + timedelta(days=days)).replace(microsecond=0)


def _within(folder: Path, name: str) -> Path | None:
    """A file in `folder` by its relative name. None if it is missing or outside the folder."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except OSError:  # The name is too long for the file system.
        return None
