"""A second implementation of the protocol agrees with a real group's messages.

It computes shares, masks, contexts and statements from bare primitives, without agent.protocol: a
mistake that both ends share would show here.
"""

import json
from hashlib import sha256
from itertools import pairwise

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509 import load_pem_x509_certificate

from tests.fakes.secagg import Fleet, plan

P = 2**256 + 297
BITS, WORDS = 20, 9


def split_envelope(body):
    size = int.from_bytes(body[4:8], "big")
    assert body[:4] == b"AEG1"
    header = json.loads(body[8 : 8 + size])
    payload = body[8 + size :]
    assert header["payload_sha256"] == sha256(payload).hexdigest()
    return header, payload


def text(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def hkdf(secret, info, salt):
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def expanded(key, count):
    stream = (
        Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(4 * count))
    )
    return [int.from_bytes(stream[at : at + 4], "little") for at in range(0, len(stream), 4)]


def four(number):
    return number.to_bytes(4, "big")


def two(number):
    return number.to_bytes(2, "big")


class CompletedRound:
    """A group of four in which every device survived, with all its secrets and messages."""

    def __init__(self):
        self.fleet = Fleet(4, plan(4, d=WORDS, d_padded=WORDS, bits=BITS))
        peers = self.fleet.peers
        self.group = self.fleet.group()
        self.sealing = [peer.sealing for peer in peers]
        self.masking = [peer.masking for peer in peers]
        self.selves = [peer.self_secret for peer in peers]
        self.roster = self.group.inbox("advertise", peers[0].device_id)
        self.bodies = {}
        for kind in ("shares", "masked", "consistency", "unmask"):
            self.bodies[kind] = [self.fleet.send(self.group, peer, kind) for peer in peers]
            self.group.advance(0)
        config = self.fleet.config
        names = ("protocol", "task_id", "round_id", "model_version", "model_digest")
        agreed = {name: getattr(config, name) for name in names}
        self.config_digest = sha256(text(config.to_json())).hexdigest()
        self.round_context = sha256(text({**agreed, "config_digest": self.config_digest})).digest()
        records, leaves = self.records()
        listed = sha256(b"secagg/list\0" + b"".join(leaves)).digest()
        self.context = sha256(
            b"secagg/group-context"
            + self.round_context
            + text([0, 4])
            + sha256(b"secagg/beacon\0" + listed).digest()
            + sha256(b"".join(sha256(record).digest() for record in records)).digest()
        ).digest()
        assert leaves == sorted(sha256(b"secagg/leaf\0" + record).digest() for record in records)

    def records(self):
        header, payload = split_envelope(self.roster)
        assert header["context"] == self.round_context.hex()
        leaves = [payload[at : at + 32] for at in range(0, 4 * 32, 32)]
        at, found = 4 * 32, []
        while at < len(payload):
            start = at
            at += 1 + payload[at] + 3 * 32 + 64
            at += 2 + int.from_bytes(payload[at : at + 2], "big")
            found.append(payload[start:at])
        return found, leaves

    def public(self, keys, number):
        return X25519PublicKey.from_public_bytes(keys[number].public_key().public_bytes_raw())


def test_contexts_bind_round_model_configuration_group_and_members():
    done = CompletedRound()
    for kind in ("shares", "masked", "consistency", "unmask"):
        for body in done.bodies[kind]:
            assert split_envelope(body)[0]["context"] == done.context.hex()


def test_p6_every_sealed_share_opens_with_its_holders_key_and_restores_the_secret():
    done = CompletedRound()
    threshold = 4 // 2 + 1
    for dealer in range(4):
        _, payload = split_envelope(done.bodies["shares"][dealer])
        assert (
            payload[:32]
            == sha256(b"secagg/self-digest" + done.context + done.selves[dealer]).digest()
        )
        at, points = 32, {"self": {}, "pair": {}}
        for holder in range(4):
            commitments, at = payload[at : at + 64], at + 64
            if holder == dealer:
                continue
            sealed, at = payload[at : at + 82], at + 82
            secret = done.sealing[holder].exchange(done.public(done.sealing, dealer))
            route = two(dealer) + two(holder)
            key = hkdf(secret, b"secagg/enc" + route, done.context)
            both = AESGCM(key).decrypt(bytes(12), sealed, done.context + route + b"shares")
            for number, kind in enumerate(("self", "pair")):
                share = both[33 * number : 33 * number + 33]
                bound = b"secagg/commit" + done.context + bytes([number]) + route + share
                assert commitments[32 * number : 32 * number + 32] == sha256(bound).digest()
                points[kind][holder + 1] = int.from_bytes(share, "big")
        assert at == len(payload)
        assert at_zero(points["self"], threshold) == done.selves[dealer]
        assert at_zero(points["pair"], threshold) == done.masking[dealer].private_bytes_raw()


def at_zero(points, threshold):
    """Interpolate at zero (Lagrange, as in a textbook)."""
    total = 0
    chosen = list(points.items())[:threshold]
    for x, y in chosen:
        for other, _ in chosen:
            if other != x:
                y = y * other * pow(other - x, -1, P) % P
        total += y
    return (total % P).to_bytes(32, "big")


def test_p6_masked_words_are_the_sealed_words_plus_exactly_the_masks_of_the_protocol():
    done = CompletedRound()
    digests = bytes.fromhex(done.fleet.config.model_digest) + bytes.fromhex(done.config_digest)
    for own, peer in enumerate(done.fleet.peers):
        words = [int(word) for word in peer.words]
        masks = [(1, hkdf(done.selves[own], b"secagg/self" + two(own), done.context))]
        for other in range(4):
            if other != own:
                secret = done.masking[own].exchange(done.public(done.masking, other))
                low, high = min(own, other), max(own, other)
                key = hkdf(secret, b"secagg/pair" + two(low) + two(high) + digests, done.context)
                masks.append((1 if own < other else -1, key))
        for sign, key in masks:
            words = [
                word + sign * mask for word, mask in zip(words, expanded(key, WORDS), strict=True)
            ]
        words = [word % 2**BITS for word in words]
        _, payload = split_envelope(done.bodies["masked"][own])
        joined = b"".join(
            (one | other << 20).to_bytes(5, "little")
            for one, other in zip(words[::2], [*words[1::2], 0], strict=True)
        )
        assert payload == joined


def test_the_signed_statements_are_those_of_the_protocol():
    done = CompletedRound()
    everybody = sha256(text([0, 1, 2, 3])).digest()
    for number, peer in enumerate(done.fleet.peers):
        key = load_pem_x509_certificate(peer.certificate.encode()).public_key()
        dealt, shares = split_envelope(done.bodies["shares"][number])
        header, payload = split_envelope(done.bodies["masked"][number])
        _, consistency = split_envelope(done.bodies["consistency"][number])
        assert consistency[:64] == everybody + everybody
        unmask, returned = split_envelope(done.bodies["unmask"][number])
        commitments = b"".join(
            sha256(
                b"secagg/commit"
                + done.context
                + b"\0"
                + two(dealer)
                + two(number)
                + returned[33 * dealer : 33 * dealer + 33]
            ).digest()
            for dealer in range(4)
        )
        given = sha256(commitments).digest()
        for label, parts, signature in (
            (b"shares", (sha256(shares).digest(), four(len(shares))), dealt["signature"]),
            (
                b"masked",
                (everybody, sha256(payload).digest(), four(len(payload))),
                header["signature"],
            ),
            (b"survivors", (everybody, everybody), consistency[64:].hex()),
            (b"unmask", (everybody, everybody, given, given), unmask["signature"]),
        ):
            statement = b"secagg/" + label + b"\0" + done.context
            statement += b"".join(two(len(part)) + part for part in parts)
            signature = bytes.fromhex(signature)
            r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
            key.verify(encode_dss_signature(r, s), statement, ec.ECDSA(SHA256()))


def test_masks_whose_secrets_differ_in_one_bit_are_unrelated():
    """Every bit of the pair secret counts: a mask of 28 bits would fail here."""
    from agent.protocol.keys import pair_key
    from agent.protocol.masking import apply

    def mask(secret):
        words = np.zeros(1 << 10, np.uint32)
        apply(words, [pair_key(secret, bytes(32), 0, 1, "00" * 32, "11" * 32)], [])
        return words

    base, seen = mask(bytes(32)), set()
    for bit in range(256):
        other = mask((1 << bit).to_bytes(32, "little"))
        seen.add(other.tobytes())
        differing = np.unpackbits((base ^ other).view(np.uint8)).mean()
        assert abs(differing - 0.5) < 6 * 0.5 / (1 << 15) ** 0.5
        assert abs(np.corrcoef(base, other)[0, 1]) < 6 / 2**5
    assert len(seen) == 256
    assert all(one != other for one, other in pairwise(sorted(seen)))
