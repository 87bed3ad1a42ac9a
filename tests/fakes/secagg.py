"""Devices and a group without a network: real keys, certificates and state machines.

`Fleet` runs honest rounds. `LyingAggregator` runs one honestly up to a phase; after that the test
makes the aggregator's messages.
"""

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509 import UniformResourceIdentifier

from agent.privacy.plan import plan_secagg
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import sent_words
from agent.protocol import codec, envelope
from agent.protocol.messages import Mode, RoundConfig, Task
from agent.protocol.packing import pack
from agent.protocol.sharing import commitment, split
from agent.protocol.states import DeviceState
from agent.protocol.witness import Witnessed
from agent.secagg.client import SecaggClient
from server_stub.secagg.group import GroupRound
from server_stub.secagg.join_phase import JoinPhase
from tests.fakes.ca import TestAuthority, now
from tests.fakes.rounds import round_identity

KINDS = ("shares", "masked", "consistency", "unmask")


def signer(key):
    def sign(message):
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def plan(
    n, *, min_sum=None, min_group=None, gamma_milli=0, d=8, g_max=None, **fields
) -> RoundConfig:
    task = Task("task", "schema", "logistic", d, Mode.SECAGG, 10, 100, 1000, 1)
    config = plan_secagg(
        task,
        round_identity(round_id=7, model_version=3, closes_at=1000),
        rho_units_per_round=2**36,
        g_max=g_max or n,
        min_group=max(min_group or min(n, 3), min_sum or 0),
        min_sum=min_sum or min(n, 3),
        gamma_milli=gamma_milli,
        phase_s=10,
    )
    return replace(config, **fields)


def recorded_entropy(drawn: list[bytes]) -> Callable[[int], bytes]:
    """Bytes of the operating system; each draw is appended to `drawn`."""

    def entropy(size):
        drawn.append(os.urandom(size))
        return drawn[-1]

    return entropy


@dataclass
class Peer:
    """One device: its identity, its state machine, and the words that it sealed."""

    device_id: str
    certificate: str
    sign: object
    client: SecaggClient
    words: np.ndarray
    sealed: bytes
    drawn: list[bytes]
    """The random bytes that it drew, in order: two X25519 keys, the secret of the self mask, a
    nonce, and the coefficients of both sharings."""

    @property
    def sealing(self):
        return X25519PrivateKey.from_private_bytes(self.drawn[0])

    @property
    def masking(self):
        return X25519PrivateKey.from_private_bytes(self.drawn[1])

    @property
    def self_secret(self):
        return self.drawn[2]

    def dealt(self, threshold, size):
        """Return the (self share, pair share) that this device dealt to each holder."""
        return list(
            zip(
                split(self.self_secret, threshold, size, lambda _: self.drawn[4]),
                split(self.drawn[1], threshold, size, lambda _: self.drawn[5]),
                strict=True,
            )
        )


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

    def peer(self, number, *, config=None, authority=None, key=None, **options) -> Peer:
        config = config or self.config
        key = key or ec.generate_private_key(ec.SECP256R1())
        device_id = f"urn:uuid:00000000-0000-4000-8000-{number:012d}"
        certificate = (authority or self.authority).issue(
            key.public_key(), [UniformResourceIdentifier(device_id)]
        )
        drawn = []
        client = SecaggClient(
            config,
            device_id,
            certificate,
            self.authority.pem,
            signer(key),
            **{
                "limits": self.limits,
                "entropy": recorded_entropy(drawn),
                "now": self.now,
                **options,
            },
        )
        rng = np.random.default_rng(number)
        words = rng.integers(0, 1 << config.bits, sent_words(config), dtype=np.uint32)
        sealed = self.seal(words, config)
        return Peer(device_id, certificate, signer(key), client, words, sealed, drawn)

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
        phase = JoinPhase(self.config, self.authority.pem, self.now)
        for peer in peers or self.peers:
            phase.advertise(peer.device_id, peer.client.advertise())
        return phase

    def group(self, peers=None) -> GroupRound:
        (group,) = self.close(self.join(peers))
        return group

    def close(self, join) -> list[GroupRound]:
        """Close a join window; the authority is the witness where the round has one."""
        request = join.draw_request
        return join.close(0, self.authority.witness(request) if request else Witnessed())

    def expected(self, devices):
        total = sum(peer.words.astype(np.int64) for peer in self.peers if peer.device_id in devices)
        return (total & ((1 << self.config.bits) - 1)).astype(np.uint32)

    def run(self, drops=None) -> GroupRound:
        """Run a whole round; `drops`: phase -> numbers of the devices silent from that phase on."""
        drops = drops or {}
        group = self.group()
        silent = set()
        for kind in KINDS:
            silent |= set(drops.get(kind, ()))
            for number, peer in enumerate(self.peers):
                if number not in silent:
                    self.send(group, peer, kind)
            group.advance(0) or group.advance(group.deadline)
            if group.failure:
                break
        return group

    @staticmethod
    def send(group, peer, kind):
        """Send one device's message of a phase, made from its inbox; return the body."""
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


class LyingAggregator:
    """An aggregator whose group ran the first `phases` of KINDS honestly.

    After that the test makes its messages to the first device, the victim.
    """

    def __init__(self, n=5, phases=0, **options):
        """`options` are those of Fleet."""
        self.fleet = Fleet(n, options.pop("config", None) or plan(n), **options)
        self.group = self.fleet.group()
        self.victim = self.fleet.peers[0]
        self.client = self.victim.client
        self.round_context = codec.round_context(self.fleet.config)
        self.context = codec.group_context(self.round_context, self.roster())
        self.bodies = {}
        """Kind of message -> the body of each device, by its number."""
        for kind in KINDS[:phases]:
            self.phase(kind)

    def phase(self, kind):
        """Run one more phase honestly."""
        self.bodies[kind] = [self.fleet.send(self.group, peer, kind) for peer in self.fleet.peers]
        self.group.advance(0)

    def inbox(self, after):
        return self.group.inbox(after, self.victim.device_id)

    @property
    def threshold(self):
        return codec.threshold(self.fleet.n, self.fleet.config)

    # The true values, which a test changes.

    def roster(self, **changes):
        roster = codec.decode_roster(self.inbox("advertise"), self.round_context)
        return replace(roster, **changes)

    def advertisements(self):
        return list(self.roster().members)

    def dealings(self, numbers=None):
        """Return what the devices dealt, by number."""
        size = self.fleet.n
        return {
            number: codec.decode_dealing(self.bodies["shares"][number], self.context, number, size)
            for number in (range(size) if numbers is None else numbers)
        }

    def signatures(self):
        """Return the devices' signatures over the survivors, by number."""
        return {
            number: codec.decode_consistency(body, self.context).signature
            for number, body in enumerate(self.bodies["consistency"])
        }

    # The messages that carry a lie.

    def roster_body(self, roster):
        return codec.encode_roster(self.round_context, roster)

    def roster_of(self, advertisements):
        """Make a roster of these advertisements, and the list that matches them."""
        leaves = tuple(sorted({one.leaf for one in advertisements}))
        return self.roster_body(self.roster(members=tuple(advertisements), leaves=leaves))

    def sign_dealing(self, number, dealing):
        """Return the message of a dealer that signs another dealing than its own."""
        return signed_dealing(self.fleet.peers[number], self.context, number, dealing)

    def inbox_body(self, dealings):
        return codec.encode_inbox(self.context, 0, dealings)

    def assert_left_without_secrets(self):
        """Assert that the victim left and keeps no secret of the round alive."""
        assert self.client.state is DeviceState.LEFT
        assert self.secrets_alive() == []

    def secrets_alive(self):
        """Return the secrets of the round that the victim's client still keeps alive."""
        own = self.victim.drawn[:3]
        dealt = [
            share
            for peer in self.fleet.peers
            if len(peer.drawn) > 5
            for share in peer.dealt(self.threshold, self.fleet.n)[0]
        ]
        return secrets_in(self.client, {*own, *dealt})


def sign(peer, context, number, dealing):
    """Return `dealing` under the signature of `peer`, the group's device `number`."""
    payload = codec.dealing_payload(number, dealing)
    return replace(dealing, signature=peer.sign(codec.dealing_statement(context, payload)))


def signed_dealing(peer, context, number, dealing):
    """Return the message with which `peer` deals `dealing`."""
    return codec.encode_dealing(context, number, sign(peer, context, number, dealing))


def returned(group, peer, number, shares):
    """Return the message with which `peer`, device `number`, returns and signs these shares."""
    sent, context = group.contributions, group.drawn.context
    dealt, given = [], []
    for dealer, share in zip(sorted(sent.dealers), shares, strict=True):
        kind = "self" if dealer in sent.survivors else "pair"
        published = sent.dealings[dealer].to[number]
        dealt.append(published.self_commitment if kind == "self" else published.pair_commitment)
        given.append(commitment(context, dealer, number, kind, share))
    sets = codec.agreement(sent.dealers, sent.survivors)
    signature = peer.sign(codec.unmask_statement(context, sets, dealt, given))
    return codec.encode_unmask(context, shares, signature)


def secrets_in(root, secrets):
    """Return the private X25519 keys, and those of `secrets`, that `root` keeps alive."""
    return [
        one
        for one in reachable(root)
        if isinstance(one, X25519PrivateKey) or (isinstance(one, bytes) and one in secrets)
    ]


def reachable(root):
    """Return every object that `root` keeps alive, except code, classes and modules."""
    code = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType)
    seen, waiting = {}, [root]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, code):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return list(seen.values())
