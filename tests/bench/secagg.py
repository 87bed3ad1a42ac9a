"""What a secure-aggregation round costs: a device's processor time, the aggregator's unmasking,
bytes, against the cipher that any such scheme must run (AES-CTR expansion of the same masks,
measured in the same run) and against figures read of Flower 1.42.
"""

import contextlib
import datetime
import json
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.clock import SystemClock
from agent.errors import PeerError
from agent.privacy.noise import table
from agent.privacy.plan import plan_secagg
from agent.privacy.policy import DeviceLimits
from agent.privacy.seal import seal
from agent.privacy.zcdp import rho_for_epsilon
from agent.protocol import codec
from agent.protocol.canonical import canonical
from agent.protocol.draw import Draw
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.issuance import LogHead
from agent.protocol.keys import derive, self_secret_digest
from agent.protocol.log_tree import Tree, leaf_hash
from agent.protocol.messages import Mode, RoundConfig, Task
from agent.protocol.peer_enrolment import EnrolledBefore, check_members, prove_members
from agent.protocol.sharing import Combiner, split
from agent.protocol.states import GroupState
from agent.protocol.witness import DrawRequest, Witnessed, draw_request
from agent.secagg.roster_check import RosterCheck
from server_stub.ca.authority import Authority as EnrolmentAuthority
from server_stub.ca.authority import create
from server_stub.secagg.join_phase import JoinPhase
from server_stub.secagg.unmasking import Opening, unmask
from tests.bench.harness import Figure, bench, median_s
from tests.bench.peer import ask
from tests.fakes.ca import now
from tests.fakes.rounds import round_identity
from tests.fakes.secagg import Fleet

SIZES = {"d10k": 10_000, "d100k": 100_000, "d1m": 1_000_000}
QUOTED = {
    "client_s": {"10000": 1.62, "100000": 1.65},
    "unmask_s": {"10000": 100.0, "100000": 100.0, "1000000": 104.0},
    "vector_bytes": {"10000": 80_000},
}


def flower(name: str, d: int) -> tuple[float, str]:
    """Flower's figure for n = 100 with 10 % dropped out, measured now where it is installed."""
    live = ask("flower_secagg", "100", "10", *map(str, SIZES.values()))
    if live is None:
        return QUOTED[name][str(d)], "Flower 1.42 (quoted)"
    return live[name][str(d)], f"Flower {live['version']}, same run"


def config_for(n: int, d: int, survivors: int) -> RoundConfig:
    task = Task("task", "schema", "logistic", d, Mode.SECAGG, 10, 100, 1000, 1)
    return plan_secagg(
        task,
        round_identity(closes_at=3600),
        rho_units_per_round=rho_for_epsilon(1.0, 1e-5) // 10,
        g_max=n,
        min_sum=survivors,
        min_group=min(32, n),
        phase_s=60,
    )


@dataclass
class Measured:
    """Medians over the devices of one group."""

    device_s: float
    seal_s: float
    up: dict[str, int]
    down: int
    certificates: int


AFTER = {
    "shares": "advertise",
    "masked": "shares",
    "consistency": "masked",
    "unmask": "consistency",
}


def measure(n: int, d: int) -> Measured:
    """One whole group at full survival; every device's processor time is taken, table of the noise
    included.
    """
    config = config_for(n, d, n * 4 // 5)
    fleet = Fleet(n, config, DeviceLimits(min_group=3, min_sum=2, gamma_milli=0))
    vector = np.random.default_rng(1).normal(size=d)
    spent, sealing, up, down = [0.0] * n, [], {}, 0

    def cpu(number, call, *arguments):
        started = time.process_time()
        answer = call(*arguments)
        spent[number] += time.process_time() - started
        return answer

    def fresh_seal():
        table.cache_clear()
        return seal(vector, config, "00" * 16)

    join = JoinPhase(config, fleet.authority.pem, fleet.now)
    for number, peer in enumerate(fleet.peers):
        body = cpu(number, peer.client.advertise)
        join.advertise(peer.device_id, body)
    up["advertise"] = len(body)
    (group,) = join.close(0)
    for kind, after in AFTER.items():
        down += len(group.inbox(after, fleet.peers[0].device_id))
        for number, peer in enumerate(fleet.peers):
            heard = group.inbox(after, peer.device_id)
            if kind == "masked":
                cpu(number, peer.client.accept_shares, heard)
                before = spent[number]
                sealed = cpu(number, fresh_seal)
                sealing.append(spent[number] - before)
                body = cpu(number, peer.client.mask, sealed)
            else:
                act = {
                    "shares": peer.client.shares,
                    "consistency": peer.client.consistency,
                    "unmask": peer.client.unmask,
                }[kind]
                body = cpu(number, act, heard)
            group.receive(kind, peer.device_id, body)
        up[kind] = len(body)
        group.advance(0)
    assert group.state is GroupState.DONE, group.failure
    certificates = sum(len(Authority.der(peer.certificate)) for peer in fleet.peers)
    return Measured(statistics.median(spent), statistics.median(sealing), up, down, certificates)


def unmask_s(n: int, d: int, dropped: int) -> float:
    """Put together every secret, check it, expand every left-over mask."""
    config, context = config_for(n, 1000, n * 3 // 4), os.urandom(32)
    needed = codec.threshold(n, config)
    secrets = [os.urandom(32) for _ in range(n)]
    public = [
        X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        for secret in secrets
    ]
    dealt = [split(secret, needed, n, os.urandom) for secret in secrets]
    opening = Opening(
        context,
        config.model_digest,
        config.digest,
        public,
        {number: self_secret_digest(context, secret) for number, secret in enumerate(secrets)},
        frozenset(range(n)),
        frozenset(range(n - dropped)),
    )
    words = np.zeros(d, np.uint32)
    shares = {
        giver: {dealer: dealt[dealer][giver] for dealer in range(n)} for giver in range(needed)
    }
    return median_s(lambda: unmask(words, opening, shares), 3)


def floor_s(d: int, masks: int) -> float:
    """AES-256-CTR over the same number of 32-bit words, in one reused buffer that stays in the
    cache.
    """
    zeros, spare = bytes(1 << 15), bytearray(1 << 15)
    started = time.perf_counter()
    for _ in range(masks):
        cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(bytes(16))).encryptor()
        for _ in range(4 * d >> 15):
            cipher.update_into(zeros, spare)
        rest = 4 * d & ((1 << 15) - 1)
        cipher.update_into(zeros[:rest], memoryview(spare)[:rest])
    return time.perf_counter() - started


def primitives_s(n: int) -> float:
    """CPU of what no device can do without, bare: chains, signatures, exchanges, derivations and
    share encryption for n - 1 peers.
    """
    fleet = Fleet(3)
    authority = Authority(
        fleet.authority.pem, datetime.datetime.fromtimestamp(fleet.now, datetime.UTC), frozenset()
    )
    peer, private = fleet.peers[0], X25519PrivateKey.generate()
    public, certificate, message = private.public_key(), Authority.der(peer.certificate), bytes(200)
    key, signature = authority.key_of(certificate, peer.device_id), peer.sign(message)
    started = time.process_time()
    for _ in range(n - 1):
        authority.key_of(certificate, peer.device_id)
        verify_signature(key, signature, message)
        for _ in range(2):
            private.exchange(public)
            AESGCM(derive(bytes(32), b"label")).encrypt(bytes(12), bytes(66), message)
        derive(bytes(32), b"label")
    for _ in range(codec.threshold(n, config_for(n, 1000, n * 4 // 5))):
        verify_signature(key, signature, message)
    return time.process_time() - started


@bench(
    *(f"secagg.device_cpu_ms.n100.{size}" for size in ("d10k", "d100k")),
    *(
        f"secagg.{what}_bytes.n100.d10k"
        for what in ("vector", "other_up", "down", "down_certificate")
    ),
)
def device():
    """A device's whole round: keys, 99 certificates and signatures, shares, seal, masks,
    consistency, unmask.
    """
    for size in ("d10k", "d100k"):
        cost = measure(100, SIZES[size])
        floor = floor_s(SIZES[size], 100) * 1e3
        peer_s, peer = flower("client_s", SIZES[size])
        yield Figure(
            f"secagg.device_cpu_ms.n100.{size}", cost.device_s * 1e3, "ms CPU", peer_s * 1e3, peer
        )
        yield Figure(
            f"secagg.device_over_floor.n100.{size}",
            cost.device_s * 1e3,
            "ms CPU",
            floor,
            "AES-CTR alone, same run",
        )
        bare = (primitives_s(100) + cost.seal_s) * 1e3 + floor
        yield Figure(
            f"secagg.device_over_primitives.n100.{size}",
            cost.device_s * 1e3,
            "ms CPU",
            bare,
            "bare primitives and seal, same run",
        )
        yield Figure(
            f"secagg.seal_cpu_ms.{size}",
            cost.seal_s * 1e3,
            "ms CPU",
            None,
            "noise table built anew",
        )
        if size == "d10k":
            other = sum(cost.up.values()) - cost.up["masked"]
            yield Figure(
                "secagg.vector_bytes.n100.d10k",
                cost.up["masked"],
                "B",
                *flower("vector_bytes", 10_000),
            )
            yield Figure(
                "secagg.other_up_bytes.n100.d10k", other, "B", 61_000, "Flower 1.42 (quoted)"
            )
            yield Figure(
                "secagg.down_bytes.n100.d10k",
                cost.down - cost.certificates,
                "B",
                None,
                "certificates apart",
            )
            yield Figure("secagg.down_certificate_bytes.n100.d10k", cost.certificates, "B")


DRAWN = (100, 1000)


@bench(
    *(f"secagg.{what}.n{n}" for what in ("draw_bytes", "draw_cpu_ms") for n in DRAWN),
    "secagg.witness_ms",
    *(f"secagg.members_{what}.n63" for what in ("bytes", "cpu_ms", "authority_ms")),
)
def drawing():
    """What the list of all devices and its witness cost: a device, and the authority each round."""
    for n in DRAWN:
        size, spent = drawn(n)
        yield Figure(f"secagg.draw_bytes.n{n}", size, "B", 64 * 1024, "most bytes that it may take")
        yield Figure(f"secagg.draw_cpu_ms.n{n}", spent * 1e3, "ms CPU")
    yield Figure("secagg.witness_ms", witness_s() * 1e3, "ms")
    size, checked_s, proven_s = members_cost(63, 100_000)
    yield Figure("secagg.members_bytes.n63", size, "B", None, "where the task has peer_days")
    yield Figure("secagg.members_cpu_ms.n63", checked_s * 1e3, "ms CPU")
    yield Figure("secagg.members_authority_ms.n63", proven_s * 1e3, "ms CPU")


def members_cost(members, size):
    """Return the bytes of the proofs that a group's members are in a log of `size` entries, and the
    processor time of a device to check and of the authority to make them. Each has renewed once.
    """
    entries = []
    for number in range(size):
        event = {"event": "issued", "certificate_sha256": f"{number:064x}", "time": 0}
        if number >= size // 2:
            event["first"] = number - size // 2
        entries.append(canonical({**event, "not_after": 2_000_000_000}))
    tree = Tree(map(leaf_hash, entries))
    head = LogHead(size, tree.root().hex())
    drawn = random.Random(1).sample(range(size // 2, size), members)
    asked = {index: entries[index] for one in drawn for index in (one, one - size // 2)}
    started = time.process_time()
    answer = json.dumps(prove_members(tree, asked, size))
    proven = time.process_time()
    names = [f"{number:064x}" for number in drawn]
    check_members(head, json.loads(answer), names, EnrolledBefore(0))
    return len(answer), time.process_time() - proven, proven - started


def drawn(n):
    """Return the bytes of list and witness in a roster for `n` devices, and the processor time that
    a device takes for list, witness and draw.
    """
    config = replace(config_for(63, 1000, 30), min_group=32, witness="authority")
    fleet = Fleet(1, config)
    client = fleet.peers[0].client
    context = codec.round_context(config)
    own = codec.decode_advertisement(client.advertise(), context)
    leaves = tuple(sorted([own.leaf, *(os.urandom(32) for _ in range(n - 1))]))
    witnessed = fleet.authority.witness(draw_request(config, context, Draw(leaves)))
    roster = codec.Roster(0, leaves, witnessed, (own,))
    empty = replace(roster, leaves=leaves[:1], witnessed=Witnessed())
    size = len(codec.encode_roster(context, roster)) - len(codec.encode_roster(context, empty)) + 32
    authority = Authority(fleet.authority.pem, now(), frozenset())
    check = RosterCheck(config, fleet.limits, authority, context)
    times = []
    for _ in range(20):
        # Decoded anew: a roster keeps its draw.
        received = codec.decode_roster(codec.encode_roster(context, roster), context)
        started = time.process_time()
        with contextlib.suppress(PeerError):  # its members are not all there
            check.check_draw(received, own)
        times.append(time.process_time() - started)
    return size, statistics.median(times)


def witness_s():
    """Return the time that the authority takes to draw and store a seed, on this disk."""
    with tempfile.TemporaryDirectory() as folder:
        create(Path(folder) / "ca", "Benchmark", int(time.time()))
        with contextlib.closing(EnrolmentAuthority(Path(folder) / "ca", SystemClock())) as one:
            times = []
            for number in range(20):
                started = time.perf_counter()
                one.witness(DrawRequest("task", number, bytes(32), 1000, bytes(32)))
                times.append(time.perf_counter() - started)
    return statistics.median(times)


@bench(*(f"secagg.unmask_s.n100.{size}.drop{drop}" for size in SIZES for drop in (10, 20)))
def unmasking():
    for size, d in SIZES.items():
        for drop in (10, 20):
            cost, floor = unmask_s(100, d, drop), floor_s(d, 100 - drop + drop * (100 - drop))
            yield Figure(
                f"secagg.unmask_s.n100.{size}.drop{drop}", cost, "s", *flower("unmask_s", d)
            )
            yield Figure(
                f"secagg.unmask_over_floor.n100.{size}.drop{drop}",
                cost,
                "s",
                floor,
                "AES-CTR alone, same run",
            )


@bench(*(f"secagg.against_n.n{n}" for n in (32, 64, 100, 128, 200)))
def against_n():
    """Device and aggregator for d = 10k against the size of the group; the reference is n = 32
    scaled.
    """
    device_32, unmask_32 = 0.0, 0.0
    for n in (32, 64, 100, 128, 200):
        cost, opened = measure(n, 10_000).device_s * 1e3, unmask_s(n, 10_000, n // 10) * 1e3
        device_32, unmask_32 = device_32 or cost, unmask_32 or opened
        yield Figure(
            f"secagg.against_n.n{n}", cost, "ms CPU", device_32 * n / 32, "n = 32 times n/32"
        )
        yield Figure(
            f"secagg.unmask_against_n.n{n}",
            opened,
            "ms",
            unmask_32 * (n / 32) ** 2,
            "n = 32 times (n/32)²",
        )


@bench("secagg.shamir_split_ms.n100", "secagg.shamir_combine_ms.n100")
def shamir():
    secret = os.urandom(32)
    shares = split(secret, 61, 100, os.urandom)
    yield Figure(
        "secagg.shamir_split_ms.n100",
        median_s(lambda: split(secret, 61, 100, os.urandom)) * 1e3,
        "ms",
        61.0,
        "PyCryptodome (quoted)",
    )
    combiner = Combiner(range(61))
    yield Figure(
        "secagg.shamir_combine_ms.n100",
        median_s(lambda: combiner.combine(shares[:61])) * 1e3,
        "ms",
        105.0,
        "PyCryptodome (quoted)",
    )
    yield Figure(
        "secagg.shamir_weights_ms.n100",
        median_s(lambda: Combiner(range(61))) * 1e3,
        "ms",
        None,
        "once for a set of givers",
    )
