"""Devices and a group that talk without a network: real keys, certificates and machines; only time
is played.
"""

import hashlib
import os
from dataclasses import dataclass, field, replace

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import UniformResourceIdentifier

from agent.privacy.plan import plan_secagg
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import sent_words
from agent.protocol import codec, envelope
from agent.protocol.messages import Mode, RoundConfig, Task
from agent.protocol.packing import pack
from agent.secagg.client import Client
from server_stub.secagg.group import GroupRound, JoinPhase
from tests.fakes.ca import TestAuthority, now

KINDS = ("shares", "masked", "consistency", "unmask")


def signer(key):
    def sign(message):
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def plan(n, *, min_sum=None, gamma_milli=0, d=8, g_max=None, **fields) -> RoundConfig:
    task = Task("task", "schema", "logistic", d, Mode.SECAGG, 10, 100, 1000, 1)
    config = plan_secagg(
        task,
        rho_units_per_round=2**36,
        g_max=g_max or n,
        min_group=min(n, 3),
        min_sum=min_sum or min(n, 3),
        gamma_milli=gamma_milli,
        phase_s=10,
        round_id=7,
        model_version=3,
        model_digest="ab" * 32,
        closes_at=1000,
    )
    return replace(config, **fields)


@dataclass
class Peer:
    """One device: its identity, its machine, and the words that it sealed."""

    device_id: str
    certificate: str
    sign: object
    client: Client
    words: np.ndarray
    sealed: bytes


@dataclass
class Fleet:
    """`n` devices of one authority, one round."""

    n: int
    config: RoundConfig = None
    limits: DeviceLimits = field(
        default_factory=lambda: DeviceLimits(
            min_group=2, min_sum=2, gamma_milli=0, max_rho_units=2**60
        )
    )

    def __post_init__(self):
        self.config = self.config or plan(self.n)
        self.authority = TestAuthority()
        self.now = int(now().timestamp())
        self.peers = [self.peer(number) for number in range(self.n)]

    def peer(self, number, *, config=None, authority=None, **options) -> Peer:
        config = config or self.config
        key = ec.generate_private_key(ec.SECP256R1())
        device_id = f"urn:uuid:00000000-0000-4000-8000-{number:012d}"
        certificate = (authority or self.authority).issue(
            key.public_key(), [UniformResourceIdentifier(device_id)]
        )
        client = Client(
            config,
            device_id,
            certificate,
            self.authority.pem,
            signer(key),
            **{"limits": self.limits, "entropy": os.urandom, "now": self.now, **options},
        )
        rng = np.random.default_rng(number)
        words = rng.integers(0, 1 << config.bits, sent_words(config), dtype=np.uint32)
        return Peer(device_id, certificate, signer(key), client, words, self.seal(words, config))

    @staticmethod
    def seal(words, config):
        header = {
            "kind": "sealed-words",
            "task_id": config.task_id,
            "round_id": config.round_id,
            "config_digest": config.digest,
        }
        return envelope.encode(
            {**header, "attempt": "cd" * 16, "d": config.d, "bits": config.bits},
            pack(words, config.bits),
        )

    def join(self, peers=None) -> JoinPhase:
        made = JoinPhase(self.config, self.authority.pem, self.now)
        for peer in peers or self.peers:
            made.advertise(peer.device_id, peer.client.advertise())
        return made

    def group(self, peers=None) -> GroupRound:
        (group,) = self.join(peers).close(0)
        return group

    def expected(self, devices):
        total = sum(peer.words.astype(np.int64) for peer in self.peers if peer.device_id in devices)
        return (total & ((1 << self.config.bits) - 1)).astype(np.uint32)

    def run(self, drops=None) -> GroupRound:
        """A whole round; `drops`: phase name -> numbers of devices that are silent from that phase
        on.
        """
        drops = drops or {}
        group = self.group()
        silent = set()
        for kind in KINDS:
            silent |= set(drops.get(kind, ()))
            for number, peer in enumerate(self.peers):
                if number not in silent:
                    self.say(group, peer, kind)
            group.advance(0) or group.advance(group.deadline)
            if group.failure:
                break
        return group

    @staticmethod
    def say(group, peer, kind):
        """One device's message of a phase, from what its inbox holds."""
        client = peer.client
        if kind == "shares":
            body = client.shares(group.inbox("advertise", peer.device_id))
        elif kind == "masked":
            client.accept_shares(group.inbox("shares", peer.device_id))
            body = client.mask(peer.sealed)
        elif kind == "consistency":
            body = client.consistency(group.inbox("masked", peer.device_id))
        else:
            body = client.unmask(group.inbox("consistency", peer.device_id))
        group.receive(kind, peer.device_id, body)
        return body


def sha(body):
    return hashlib.sha256(body).hexdigest()


def contexts(fleet, group_roster):
    first = codec.round_context(fleet.config)
    return first, codec.group_context(first, group_roster)
