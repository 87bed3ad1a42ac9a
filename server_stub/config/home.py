"""The server's folder: keys (files of mode 0600, never in a database), settings, the authority's
and the repository's folders.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import atomic_file
from agent.detector.schema import SCHEMA
from agent.errors import AegisError, OperatorActionError
from agent.privacy.policy import MAX_PHASE_S
from agent.protocol.invitation import Operator, check_server
from agent.protocol.limits import MAX_DIMENSION, MAX_GROUP
from agent.protocol.messages import Mode, Task
from server_stub.api.rate_limit import DevicePortLimits
from server_stub.ca import authority
from server_stub.ca import certificates as x
from server_stub.publishing import tuf_repository
from server_stub.rounds.lifecycle import RoundPlan, rho_units_per_round

SETTINGS_FILE, READY_FILE = "server.json", "ready.json"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
MAX_SETTINGS_BYTES = 64 * 1024
RENEW_SERVER_CERTIFICATE_S = 30 * 24 * 3600


@dataclass(frozen=True)
class ServerSettings:
    """What the operator decided. `server.json` holds it; unknown fields are errors."""

    operator: Operator
    task: Task
    rounds: RoundPlan = field(default_factory=RoundPlan)
    hosts: tuple[str, ...] = ()
    """Names and addresses of this server beside the loopback ones."""
    url: str = ""
    """Where devices reach it, for invitations; "" means where it last ran."""
    host: str = "127.0.0.1"
    port: int = 8443
    operator_port: int = 8444
    next_poll_s: int = 1800
    """How often devices are told to ask for offers."""
    period_days: int = 365
    lifetime_epsilon_milli: int = 3000
    limits: DevicePortLimits = field(default_factory=DevicePortLimits)
    """Rates, sizes and times of the device port."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ServerSettings":
        """Raises TypeError, ValueError, KeyError or PeerError."""
        known = {one.name for one in fields(cls)}
        if set(value) - known:
            raise ValueError(f"unknown settings: {', '.join(sorted(set(value) - known))}")
        made = cls(
            **{
                **value,
                "operator": Operator(**value["operator"]),
                "task": Task.from_json(value["task"]),
                "rounds": RoundPlan(**value["rounds"]),
                "hosts": tuple(value["hosts"]),
                "limits": DevicePortLimits.from_json(value.get("limits", {})),
            }
        )
        made.check()
        return made

    def check(self) -> None:
        """Raise ValueError for a setting that is out of range."""
        plan = self.rounds
        for name, number, low, high in (
            ("target", plan.target, 1, 1_000_000),
            ("seconds", plan.seconds, 1, 7 * 24 * 3600),
            ("minimum", plan.minimum, 1, 1_000_000),
            ("planned", plan.planned, 1, 100_000),
            ("epsilon_milli", plan.epsilon_milli, 1, 1_000_000),
            ("delta_inverse", plan.delta_inverse, 1000, 10**15),
            ("pause_s", plan.pause_s, 0, 30 * 24 * 3600),
            ("server_rate_milli", plan.server_rate_milli, 1, 10_000),
            ("g_max", plan.g_max, 2, MAX_GROUP),
            ("min_group", plan.min_group, 2, plan.g_max),
            ("min_sum", plan.min_sum, 2, plan.min_group),
            ("gamma_milli", plan.gamma_milli, 0, 500),
            ("phase_s", plan.phase_s, 1, MAX_PHASE_S),
            ("join_s", plan.join_s, 1, 15 * 60),
            ("lead_s", plan.lead_s, 0, 24 * 3600),
            ("ready_target", plan.ready_target, 0, 1_000_000),
            ("server_decay_milli", plan.server_decay_milli, 0, 2000),
            ("coordinates", plan.coordinates, 0, MAX_DIMENSION),
            ("port", self.port, 0, 65535),
            ("operator_port", self.operator_port, 0, 65535),
            ("next_poll_s", self.next_poll_s, 1, 7 * 24 * 3600),
            ("period_days", self.period_days, 1, 36_500),
            ("lifetime_epsilon_milli", self.lifetime_epsilon_milli, plan.epsilon_milli, 1_000_000),
        ):
            if type(number) is not int or not low <= number <= high:
                raise ValueError(f"{name}: expected {low} to {high}, got {number}")
        for text in (*astuple(self.operator), *self.hosts):
            if type(text) is not str:
                raise ValueError(f"expected text, got {text!r:.80}")
            text.encode()  # raises for what is not Unicode
        for host in self.hosts:
            x.host_name(host)
        if self.url:
            check_server(self.url)


def default_task(mode: Mode = Mode.SECAGG) -> Task:
    """What is learned unless the operator says otherwise."""
    return Task(
        task_id="malware-pe",
        schema=SCHEMA,
        model="logistic",
        d=116,
        mode=mode,
        train_steps=20,
        train_rate_milli=500,
        clip_milli=1000,
        min_rows=20,
    )


class ServerHome:
    """Paths and keys below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = folder / "ca"
        self.repository = folder / "repository"
        self.database_url = f"sqlite:///{folder / 'aggregator.sqlite3'}"
        self._keys = folder / "keys"

    def create(self, settings: ServerSettings, now: int) -> None:
        """Make keys, authority and repository; the settings come last.

        Raises OperatorActionError HOME_EXISTS, BAD_SETTING.
        """
        try:
            settings.check()
            rho_units_per_round(settings.rounds)
        except ValueError as error:
            raise OperatorActionError(
                "BAD_SETTING", f"A setting cannot be used: {error}.", "Correct the option."
            ) from error
        if (self.folder / SETTINGS_FILE).exists() or self._keys.exists():
            raise OperatorActionError(
                "HOME_EXISTS",
                "There is a server in this folder already, or an interrupted `init`.",
                "Choose another, or remove it.",
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._keys.mkdir(mode=0o700)
        authority.create(self.authority, _authority_name(settings.operator.name), now)
        signing = Ed25519PrivateKey.generate()
        form = serialization
        atomic_file.write(
            self._keys / "signing.key",
            signing.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()),
        )
        atomic_file.write(self._keys / "secret", secrets.token_bytes(32))
        root_sha256 = tuf_repository.create(
            self.repository, settings.task, datetime.fromtimestamp(now, UTC)
        )
        atomic_file.write(self._keys / "root.sha256", root_sha256.encode())
        self.issue_server_certificate(settings, now)
        self.write_settings(settings)

    def issue_server_certificate(self, settings: ServerSettings, now: int) -> None:
        """A new TLS key and certificate for this server's names."""
        ca_key = x.load_key((self.authority / authority.KEY_FILE).read_bytes())
        ca = x509.load_pem_x509_certificate(self.ca_pem.encode())
        key = x.new_key()
        hosts = dict.fromkeys((*LOOPBACK_HOSTS, *settings.hosts))
        certificate = x.server_certificate(ca, ca_key, key, hosts, now)
        atomic_file.write(self.tls_file, x.key_pem(key) + x.pem(certificate).encode())

    def renew_server_certificate(self, settings: ServerSettings, now: int) -> bool:
        """Renew the TLS certificate when its end is near; says whether it did."""
        pem = self.tls_file.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        if certificate.not_valid_after_utc.timestamp() - now > RENEW_SERVER_CERTIFICATE_S:
            return False
        self.issue_server_certificate(settings, now)
        return True

    def settings(self) -> ServerSettings:
        """Raises OperatorActionError NO_SERVER, BAD_SETTING."""
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
                "BAD_SETTING", f"{SETTINGS_FILE} cannot be used: {error}.", "Correct the file."
            ) from error

    def write_settings(self, settings: ServerSettings) -> None:
        atomic_file.write(
            self.folder / SETTINGS_FILE,
            json.dumps(settings.to_json(), indent=2, ensure_ascii=False).encode() + b"\n",
        )

    @property
    def ca_pem(self) -> str:
        return (self.authority / authority.CERTIFICATE_FILE).read_text()

    @property
    def ca_file(self) -> Path:
        return self.authority / authority.CERTIFICATE_FILE

    @property
    def tls_file(self) -> Path:
        """Key and certificate of the device port."""
        return self._keys / "tls.pem"

    def signing_key(self) -> Ed25519PrivateKey:
        """Signs offers, receipts, models and invitations.

        Raises OperatorActionError SIGNING_KEY.
        """
        try:
            key = serialization.load_pem_private_key(
                (self._keys / "signing.key").read_bytes(), None
            )
        except (OSError, ValueError) as error:
            raise OperatorActionError(
                "SIGNING_KEY", "The signing key cannot be read.", "Look at keys/signing.key."
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise OperatorActionError(
                "SIGNING_KEY", "The signing key is of another kind.", "Look at keys/signing.key."
            )
        return key

    def secret(self) -> bytes:
        """32 bytes from which nonces and erase secrets are derived."""
        return (self._keys / "secret").read_bytes()

    def root_sha256(self) -> str:
        """Digest of the model repository's first root, for invitations."""
        return (self._keys / "root.sha256").read_text()

    @contextmanager
    def repository_lock(self) -> Iterator[None]:
        """One process at a time writes to the repository."""
        with (self.folder / "repository.lock").open("ab") as file:
            if os.name != "nt":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write_ready(self, path: Path | None, ready: dict[str, Any]) -> None:
        """Say where the server listens, in the home and, if asked, in another file."""
        for target in (self.folder / READY_FILE, path):
            if target is not None:
                atomic_file.write(target, json.dumps(ready).encode())

    def url(self, settings: ServerSettings) -> str:
        """Where devices reach this server. Raises OperatorActionError NO_URL."""
        if settings.url:
            return settings.url
        try:
            return str(json.loads((self.folder / READY_FILE).read_bytes())["url"])
        except (OSError, ValueError, KeyError):
            if settings.port:
                return f"https://{settings.host}:{settings.port}"
        raise OperatorActionError(
            "NO_URL",
            "It is not known where devices reach this server.",
            "Start it once, or give --server.",
        )


def _authority_name(operator: str) -> str:
    """The authority's common name, at most 64 bytes (RFC 5280, ub-common-name)."""
    return f"{operator.encode()[:44].decode(errors='ignore').strip()} enrolment authority"


def group_floor(size: int) -> dict[str, int]:
    """Settings that allow groups of `size` devices: below the product's floor they are for tests,
    and devices refuse them unless told.
    """
    plan = RoundPlan()
    if size >= plan.min_group:
        return {"min_group": size}
    return {
        "min_group": size,
        "min_sum": max(2, -(-size * plan.min_sum // plan.min_group)),
        "gamma_milli": 0,
    }


def changed(settings: ServerSettings, **options: Any) -> ServerSettings:
    """`settings` with the options that were given; None means not given.

    Raises OperatorActionError BAD_SETTING.
    """
    given = {name: value for name, value in options.items() if value is not None}
    plan = {
        name: given.pop(name)
        for name in list(given)
        if name in {one.name for one in fields(RoundPlan)}
    }
    made = replace(settings, **given, rounds=replace(settings.rounds, **plan))
    try:
        made.check()
    except ValueError as error:
        raise OperatorActionError(
            "BAD_SETTING", f"A setting cannot be used: {error}.", "Correct the option."
        ) from error
    return made
