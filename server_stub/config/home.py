"""The server's folder: where its files are, and its keys.

1. Keys are files of mode 0600 and never in a database.
2. `server.json` is written last: a folder without it is not a server.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import AegisError, OperatorActionError
from agent.files import atomic_file, file_system
from server_stub.config.settings import ServerSettings

SETTINGS_FILE, READY_FILE = "server.json", "ready.json"
CA_KEY_FILE, CA_CERTIFICATE_FILE = "ca.key", "ca.pem"
SIGNING_KEY_FILE, SECRET_FILE, ROOT_FILE, TLS_FILE = (
    "signing.key",
    "secret",
    "root.sha256",
    "tls.pem",
)
BASE_FILE, ROWS_FILE, CALIBRATION_FILE = "base.safetensors", "rows.npz", "calibration.npz"
MAX_SETTINGS_BYTES = 64 * 1024


class ServerHome:
    """Paths and keys below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = folder / "ca"
        self.ca_file = self.authority / CA_CERTIFICATE_FILE
        self.repository = folder / "repository"
        self.database_url = f"sqlite:///{folder / 'aggregator.sqlite3'}"
        self._keys = folder / "keys"
        self.tls_file = self._keys / TLS_FILE
        """Key and certificate of the device port."""
        self.base_file = folder / BASE_FILE
        """What the operator trained, for a model family with a base."""
        self.rows_file = folder / ROWS_FILE
        """The operator's own rows, which never leave the server."""
        self.calibration_file = folder / CALIBRATION_FILE

    def create_folders(self) -> None:
        """Create the home and its folder of keys. Raises OperatorActionError HOME_EXISTS."""
        if (self.folder / SETTINGS_FILE).exists() or self._keys.exists():
            raise OperatorActionError(
                "HOME_EXISTS",
                "This folder already holds a server, or an interrupted `init`.",
                "Choose another folder, or remove this one.",
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._keys.mkdir(mode=0o700)

    def create_keys(self) -> None:
        """Draw the signing key and the secret."""
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        atomic_file.write(self._keys / SIGNING_KEY_FILE, pem)
        atomic_file.write(self._keys / SECRET_FILE, secrets.token_bytes(32))

    def settings(self) -> ServerSettings:
        """Read the settings. Raises OperatorActionError NO_SERVER, BAD_SETTING."""
        try:
            return ServerSettings.from_json(
                json.loads(atomic_file.read(self.folder / SETTINGS_FILE, MAX_SETTINGS_BYTES))
            )
        except FileNotFoundError as error:
            raise OperatorActionError(
                "NO_SERVER",
                f"There is no server in {self.folder}.",
                "Run `aegis-server init` first.",
            ) from error
        except (ValueError, TypeError, KeyError, OSError, AegisError) as error:
            raise OperatorActionError(
                "BAD_SETTING", f"{SETTINGS_FILE} is not valid: {error}.", "Correct the file."
            ) from error

    def write_settings(self, settings: ServerSettings) -> None:
        atomic_file.write(
            self.folder / SETTINGS_FILE,
            json.dumps(settings.to_json(), indent=2, ensure_ascii=False).encode() + b"\n",
        )

    @property
    def ca_pem(self) -> str:
        """The enrolment authority's certificate."""
        return self.ca_file.read_text()

    def signing_key(self) -> Ed25519PrivateKey:
        """Read the key that signs offers, receipts, models and invitations.

        Raises OperatorActionError SIGNING_KEY.
        """
        try:
            key = serialization.load_pem_private_key(
                (self._keys / SIGNING_KEY_FILE).read_bytes(), None
            )
        except (OSError, ValueError) as error:
            raise OperatorActionError(
                "SIGNING_KEY", "The signing key cannot be read.", "Check keys/signing.key."
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise OperatorActionError(
                "SIGNING_KEY", "The signing key is not an Ed25519 key.", "Check keys/signing.key."
            )
        return key

    def secret(self) -> bytes:
        """Read the 32 bytes from which erase secrets are derived."""
        return (self._keys / SECRET_FILE).read_bytes()

    def root_sha256(self) -> str:
        """Read the SHA-256 of the model repository's first root, in hex, for invitations."""
        return (self._keys / ROOT_FILE).read_text()

    def write_root_sha256(self, digest: str) -> None:
        atomic_file.write(self._keys / ROOT_FILE, digest.encode())

    @contextmanager
    def repository_lock(self) -> Iterator[None]:
        """Let one process at a time write to the repository. Waits for the others.

        Raises OperatorActionError NO_FILE_LOCKS.
        """
        with (self.folder / "repository.lock").open("ab") as file:
            if os.name != "nt":
                import fcntl

                try:
                    fcntl.flock(file, fcntl.LOCK_EX)
                except OSError as error:
                    if error.errno not in file_system.NONE_HERE:
                        raise
                    raise file_system.no_locks_for_server(self.folder, str(error)) from error
            yield

    def write_ready(self, path: Path | None, ready: dict[str, Any]) -> None:
        """Write where the server listens to the home and, if given, to another file."""
        for target in (self.folder / READY_FILE, path):
            if target is not None:
                atomic_file.write(target, json.dumps(ready).encode())

    def url(self, settings: ServerSettings) -> str:
        """Return where devices reach this server. Raises OperatorActionError NO_URL."""
        if settings.url:
            return settings.url
        try:
            return str(json.loads((self.folder / READY_FILE).read_bytes())["url"])
        except (OSError, ValueError, KeyError, TypeError):
            if settings.port:
                return f"https://{settings.host}:{settings.port}"
        raise OperatorActionError(
            "NO_URL",
            "The server's address is unknown.",
            "Start the server once, or give --server.",
        )
