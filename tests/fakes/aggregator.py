"""An aggregator in memory behind the client's methods, without a network.

Keys, certificates, signatures and models are real. Other tests run `AggregatorClient` against real
servers; this fake serves the tests of the agent's rules.
"""

import hashlib
import json
import uuid
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_csr

from agent.errors import PeerError, UserActionError
from agent.models.verify import ModelFacts
from agent.protocol.canonical import canonical
from agent.protocol.envelope import decode
from agent.protocol.invitation import Invitation, Operator, PrivacyFigures, format_invitation
from agent.protocol.issuance import LogHead, head_bytes
from agent.protocol.ledger_heads import HeadEcho
from agent.protocol.log_tree import Tree, leaf_hash
from agent.protocol.messages import Mode, RoundConfig, Task
from agent.protocol.peer_enrolment import prove_members
from agent.protocol.signing import Context, public_hex, sign
from agent.transport.responses import ReservedError
from agent.transport.statements import ModelDownload, Offer, Receipt, Registration
from server_stub.errors import BusyError
from server_stub.rounds import ledger_heads
from server_stub.rounds.ledger_heads import LOCAL_LEASE_S
from tests.fakes.ca import TestAuthority
from tests.fakes.rounds import round_identity

TASK = Task("demo-task", "pehdr29/fixed-v1", "logistic", 116, Mode.LOCAL, 20, 100, 1000, 10)


PRICE = 2**40 // 2000
"""Of a round: 1/61 of the budget of ε = 1, so that a device may pay for six a day."""


def safetensors(weights):
    """A model file as `agent.models.verify` expects it."""
    import array
    import json

    body = array.array("d", weights).tobytes()
    header = json.dumps(
        {"weights": {"dtype": "F64", "shape": [len(weights)], "data_offsets": [0, len(body)]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + body


class FakeAggregator:
    """The server's state. Build an agent with `client` as its client factory."""

    def __init__(self, clock, config=None, server="https://127.0.0.1:9443"):
        self.clock = clock
        self.server = server
        self.price = PRICE
        self.authority = TestAuthority()
        self.signing_key = Ed25519PrivateKey.generate()
        self.task = TASK
        self.calls = []
        self.hung_up_after = []
        """The last call before each end of a connection that may be opened again."""
        self.tokens = {"one-time-token": None}
        self.devices = {}
        self.updates = {}
        self.heads = {}
        """Device id -> the newest head of its ledger."""
        self.failures = {}
        self.files = {}
        """Public files by their path below /api/v1/."""
        self.log = []
        self.first_entries = {}
        self.log_time = None
        """The date that entries have; None: the present one."""
        self.publish(1, [0.0] * 116)
        self.config = config or self.plan()

    @property
    def is_open(self):
        return self.clock.now() < self.config.closes_at

    def stay_open(self, seconds=86_400):
        """Close the present round later: the device takes its time before it is ready."""
        self.config = replace(self.config, closes_at=self.clock.now() + seconds)

    def plan(self, round_id=1):
        """Plan a local round that a device can afford at ε = 1, several times a day."""
        from agent.privacy.plan import plan_local

        return plan_local(
            self.task,
            round_identity(
                round_id=round_id,
                model_version=self.version,
                model_digest=self.digest,
                opens_at=self.clock.now() - 10,
                closes_at=self.clock.now() + 3600,
            ),
            rho_units_per_round=self.price,
        )

    def publish(self, version, weights):
        self.version, self.content = version, safetensors(weights)
        self.digest = hashlib.sha256(self.content).hexdigest()
        facts = {
            "task_id": self.task.task_id,
            "version": version,
            "sha256": self.digest,
            "length": len(self.content),
            "published_at": self.clock.now(),
            "demonstration": 0,
            "schema": self.task.schema,
            "d": self.task.d,
        }
        assert ModelFacts.from_json(facts).version == version
        self.facts = facts

    def issue(self, csr_pem, device_id):
        certificate_pem = self.authority.issue_device(csr_pem, device_id)
        certificate = load_pem_x509_certificate(certificate_pem.encode())
        first = self.first_entries.get(device_id)
        self.first_entries.setdefault(device_id, len(self.log))
        self.log.append(
            canonical(
                {
                    "event": "issued",
                    "certificate_sha256": certificate.fingerprint(SHA256()).hex(),
                    "time": self.clock.now() if self.log_time is None else self.log_time,
                    "not_after": 0,
                    **({} if first is None else {"first": first}),
                }
            )
        )
        return certificate_pem

    def tree(self):
        return Tree(leaf_hash(entry) for entry in self.log)

    def next_round(self):
        self.publish(self.version + 1, [0.01 * self.version] * 116)
        self.config = self.plan(self.config.round_id + 1)

    def invitation(self, epsilon_milli=1000):
        invitation = Invitation(
            server=self.server,
            token="one-time-token",
            ca_pem=self.authority.pem,
            signing_key=public_hex(self.signing_key),
            task_id=self.task.task_id,
            root_sha256="",
            operator=Operator(
                "Test operator", "privacy@example.org", "The operator only.", "Ninety days."
            ),
            privacy=PrivacyFigures(self.task.mode, epsilon_milli, 100_000, 365, 3 * epsilon_milli),
        )
        return format_invitation(invitation, self.signing_key)

    def fail(self, method, error):
        """Make every call of the client's `method` raise `error`; None ends that."""
        self.failures[method] = error

    def client(self, server, ca_pem, signing_key, identity):
        assert (server, ca_pem) == (self.server, self.authority.pem)
        return FakeClient(self, identity)


class FakeClient:
    def __init__(self, host, identity):
        self._host = host
        self._identity = identity

    def _called(self, method):
        self._host.calls.append(method)
        error = self._host.failures.get(method)
        if error is not None:
            raise error

    def ask_time(self):
        self._called("ask_time")

    def register(self, token, csr_pem):
        self._called("register")
        host = self._host
        key = (
            load_pem_x509_csr(csr_pem.encode())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        if host.tokens.get(token, key) not in (None, key):
            raise UserActionError(
                "TOKEN_USED", "This invitation has been used already.", "Ask for a new one."
            )
        host.tokens[token] = key
        device_id = host.devices.setdefault(key, f"urn:uuid:{uuid.uuid4()}")
        certificate = host.issue(csr_pem, device_id)
        return Registration(
            device_id,
            certificate,
            host.authority.pem,
            "ab" * 16,
            host.task,
            public_hex(host.signing_key),
        )

    @property
    def identity(self):
        return self._identity

    def ready(self, ready):
        self._called("ready")
        shown, lease_s = ready.shown, LOCAL_LEASE_S if self._host.is_open else 0
        self._show(ready, lease_s)
        return replace(self._offer(), ledger=HeadEcho.of(shown, lease_s))

    def _show(self, ready, lease_s):
        host, device_id = self._host, self._identity.device_id
        known, now = host.heads.get(device_id), host.clock.now()
        try:
            host.heads[device_id] = ledger_heads.show(
                known, ready.shown, ready.session, now, lease_s
            )
        except BusyError as error:
            raise ReservedError(error.retry_after_s) from error

    def offer(self):
        self._called("offer")
        return self._offer()

    def _offer(self):
        host = self._host
        contributed = (self._identity.device_id, host.config.round_id) in host.updates
        status = "open" if host.is_open else "wait"
        config: RoundConfig | None = host.config if status == "open" else None
        return Offer(
            status,
            1800,
            host.task,
            host.version,
            host.digest,
            config,
            contributed,
            host.clock.now(),
        )

    def model(self, known_digest=""):
        self._called("model")
        host = self._host
        signature = sign(host.signing_key, Context.MODEL, host.facts)
        return ModelDownload(canonical(host.facts), signature, host.content)

    def public_file(self, path, max_bytes):
        self._called("public_file")
        return self._host.files.get(path)

    def send_update(self, body, step=None):
        self._called("send_update")
        host = self._host
        key = (self._identity.device_id, decode(body).header["round_id"])
        if key[1] == host.config.round_id and host.clock.now() >= host.config.closes_at:
            raise PeerError("ROUND_CLOSED", "The round has closed.", "")
        if host.updates.get(key, body) != body:
            raise PeerError(
                "ALREADY_CONTRIBUTED", "This device has already taken part in this round.", ""
            )
        if key not in host.updates:
            host.heads[key[0]] = ledger_heads.advance(host.heads.get(key[0]), step)
            host.updates[key] = body
        receipt = {
            "task_id": host.task.task_id,
            "round_id": key[1],
            "device_id": key[0],
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "bytes": len(body),
            "received_at": host.clock.now(),
            "ledger_count": step.count if step else 0,
            "ledger_head": step.after if step else "",
        }
        after = host.failures.get("after send_update")
        if after is not None:
            raise after
        return Receipt(**receipt, signature=sign(host.signing_key, Context.RECEIPT, receipt))

    def renew(self, csr_pem):
        self._called("renew")
        return self._host.issue(csr_pem, self._identity.device_id)

    def device(self):
        self._called("device")
        return {
            "device_id": self._identity.device_id,
            "updates": [round_id for _, round_id in self._host.updates],
        }

    def log_head(self):
        tree = self._host.tree()
        head = LogHead(len(tree), tree.root().hex())
        signature = self._host.authority.key.sign(head_bytes(head), ECDSA(SHA256()))
        return {"size": head.size, "root": head.root, "signature": signature.hex()}

    def log_proof(self, certificate_sha256, size):
        (index,) = [
            index
            for index, entry in enumerate(self._host.log)
            if certificate_sha256.encode() in entry
        ]
        proof = self._host.tree().inclusion_proof(index, size)
        return {
            "index": index,
            "size": size,
            "entry": self._host.log[index].decode(),
            "proof": [step.hex() for step in proof],
        }

    def log_members(self, certificates, size):
        host = self._host
        entries = {
            index: entry
            for index, entry in enumerate(host.log[:size])
            if any(certificate.encode() in entry for certificate in certificates)
        }
        firsts = {json.loads(entry).get("first", index) for index, entry in entries.items()}
        entries |= {index: host.log[index] for index in firsts}
        return prove_members(host.tree(), entries, size)

    def log_consistency(self, earlier, size):
        proof = self._host.tree().consistency_proof(earlier, size)
        return {"earlier": earlier, "size": size, "proof": [step.hex() for step in proof]}

    def erase_by_secret(self, device_id, erase_secret):
        self._called("erase_by_secret")
        assert erase_secret == "ab" * 16
        self._host.devices = {
            key: other for key, other in self._host.devices.items() if other != device_id
        }

    def close(self, *, for_good=True):
        if not for_good:
            self._host.hung_up_after.append(self._host.calls[-1])
