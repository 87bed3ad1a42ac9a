"""Evidence of what a device did wrong in a group, and its judge.

The evidence holds the round's configuration, the digests of all members' advertisements, and the
full advertisements of the devices that it is about. From these follow ctx_group, the devices'
numbers and their certified keys, without naming any other member. The rest differs by kind:

  complaint   what a dealer signed and what an accuser signed. The accuser gave away the secret that
              the two share and proved it, so the shares can be opened again. Either the dealer sent
              unreadable shares, or the accuser lied.
  secret      t shares of one secret that match the dealer's signed commitments. They do not restore
              the secret that the dealer published.
  share       what a device signed as dealt to it, and as returned by it: not the same.
  length      a signature over a message of a length that no message of the round has.
  agreement   two signatures of one device over different sets.

An honest device is never found guilty, whatever all others do: each kind rests on a signature that
an honest device does not make. The one exception, the dealer in `secret`, rests on its signed
commitments, which bind it to shares that restore its secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.errors import PeerError
from agent.privacy.zcdp import sent_words
from agent.protocol import codec
from agent.protocol.exchange_proof import is_usable, proven_secret
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.keys import self_secret_digest
from agent.protocol.messages import RoundConfig
from agent.protocol.packing import packed_bytes
from agent.protocol.sealed_shares import open_shares
from agent.protocol.sharing import Combiner, commitment
from server_stub.quarantine.evidence import Evidence, Proof, Verdict, no_proof
from server_stub.secagg.drawn_group import DrawnGroup

JUDGE = "group"
Facts = Mapping[str, Any]


# Finding


def complaint(
    group: DrawnGroup, dealer: int, dealing: codec.Dealing, accuser: int, body: bytes
) -> Proof:
    """Dealer or accuser lied. Raises PeerError NO_PROOF, like all that follow."""
    return _proof(
        group,
        "complaint",
        (dealer, accuser),
        dealer=dealer,
        accuser=accuser,
        dealing=codec.encode_dealing(group.context, dealer, dealing).hex(),
        complaint=body.hex(),
    )


def secret(
    group: DrawnGroup, dealer: int, dealing: codec.Dealing, kind: str, shares: Mapping[int, bytes]
) -> Proof:
    """A dealer dealt shares of another secret. `kind`: "self" or "pair"; `shares`: by holder."""
    return _proof(
        group,
        "secret",
        (dealer,),
        dealer=dealer,
        dealing=codec.encode_dealing(group.context, dealer, dealing).hex(),
        secret=kind,
        shares={str(holder): share.hex() for holder, share in shares.items()},
    )


def share(
    group: DrawnGroup,
    giver: int,
    agreement: codec.Agreement,
    dealt: list[bytes],
    returned: list[bytes],
    signature: bytes,
) -> Proof:
    """A device returned another share than it was dealt (agent.protocol.codec)."""
    return _proof(
        group,
        "share",
        (giver,),
        giver=giver,
        agreement=_agreement_facts(agreement),
        dealt=[one.hex() for one in dealt],
        returned=[one.hex() for one in returned],
        signature=signature.hex(),
    )


def length(
    group: DrawnGroup,
    sender: int,
    message: str,
    payload: bytes,
    signature: bytes,
    dealers: frozenset[int] = frozenset(),
) -> Proof:
    """A device signed a message ("shares" or "masked") of a wrong length."""
    return _proof(
        group,
        "length",
        (sender,),
        sender=sender,
        message=message,
        dealers=codec.set_digest(dealers).hex(),
        digest=sha256(payload).hexdigest(),
        length=len(payload),
        signature=signature.hex(),
    )


def agreements(
    group: DrawnGroup, signer: int, one: codec.Agreement, other: codec.Agreement
) -> Proof:
    """A device signed two different sets."""
    both = [_agreement_facts(one), _agreement_facts(other)]
    return _proof(group, "agreement", (signer,), signer=signer, agreements=both)


def _proof(group: DrawnGroup, kind: str, about: tuple[int, ...], **facts: Any) -> Proof:
    members = list(group.roster.members)
    known = {
        "kind": kind,
        "config": group.config.to_json(),
        "certified_at": group.certified_at,
        "group": group.roster.group,
        "advertised": len(group.roster.leaves),
        "beacon": group.roster.draw.beacon.hex(),
        "roster": [member.digest.hex() for member in members],
        "members": {
            str(number): {
                "device_id": members[number].device_id,
                "record": codec.record_of(members[number]).hex(),
            }
            for number in about
        },
        **facts,
    }
    # By the judge whom everybody can ask again: there is no second opinion.
    return Proof(judge(known, group.ca_pem), Evidence(JUDGE, known))


# Judging


@dataclass(frozen=True)
class _Scene:
    """The group as the evidence describes it, checked."""

    config: RoundConfig
    context: bytes
    size: int
    members: Mapping[int, codec.Advertisement]
    keys: Mapping[int, EllipticCurvePublicKey]

    def signed(self, number: int, signature: bytes, statement: bytes) -> None:
        """Raises PeerError NO_PROOF unless the device signed the statement."""
        if not verify_signature(self.keys[number], signature, statement):
            raise no_proof("a signature is not the device's")

    def verdict(self, number: int, code: str) -> Verdict:
        return Verdict(self.members[number].device_id, code)


def judge(facts: Facts, ca_pem: str) -> Verdict:
    """Say whose fault the facts prove. Raises PeerError NO_PROOF."""
    judges = {
        "complaint": _judge_complaint,
        "secret": _judge_secret,
        "share": _judge_share,
        "length": _judge_length,
        "agreement": _judge_agreements,
    }
    try:
        return judges[facts["kind"]](facts, _scene(facts, ca_pem))
    except (KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        raise no_proof(f"it is not well formed: {error}") from error
    except PeerError as error:
        if error.code == "NO_PROOF":
            raise
        raise no_proof(f"{error.code} {error.detail}") from error


def _scene(facts: Facts, ca_pem: str) -> _Scene:
    config = RoundConfig.from_json(facts["config"])
    digests = [bytes.fromhex(digest) for digest in facts["roster"]]
    round_context = codec.round_context(config)
    at = datetime.fromtimestamp(facts["certified_at"], UTC)
    # Not the revoked certificates: whoever was in the group was not revoked when it was drawn.
    authority = Authority(ca_pem, at, frozenset())
    members, keys = {}, {}
    for place, one in facts["members"].items():
        number, member = int(place), codec.read_record(bytes.fromhex(one["record"]))
        if number < 0 or member.digest != digests[number] or member.device_id != one["device_id"]:
            raise no_proof("a device is not the one in the roster")
        members[number] = member
        keys[number] = authority.key_of(member.certificate, member.device_id)
        if not verify_signature(keys[number], member.signature, member.statement(round_context)):
            raise no_proof("an advertisement is not signed")
    context = codec.group_context_of(
        round_context,
        facts["group"],
        facts["advertised"],
        bytes.fromhex(facts["beacon"]),
        codec.roster_digest(digests),
    )
    return _Scene(config, context, len(digests), members, keys)


def _judge_complaint(facts: Facts, scene: _Scene) -> Verdict:
    dealer, accuser = facts["dealer"], facts["accuser"]
    dealing = _dealing(facts, scene)
    body = bytes.fromhex(facts["complaint"])
    complaint = codec.decode_complaint(body, scene.context, accuser, scene.size)
    scene.signed(accuser, complaint.signature, codec.complaint_statement(scene.context, complaint))
    (accusation,) = (one for one in complaint.accusations if one.dealer == dealer)
    if accusation.dealing != codec.dealing_digest(dealer, dealing):
        raise no_proof("the complaint is about other shares")
    own, theirs = scene.members[accuser].sealing_key, scene.members[dealer].sealing_key
    if not (is_usable(own) and is_usable(theirs)):
        raise no_proof("a key is not usable")
    context = codec.accusation_context(scene.context, dealer, accuser)
    try:
        exchanged = proven_secret(own, theirs, accusation.proof, context)
    except ValueError:
        return scene.verdict(accuser, "ACCUSATION_FALSE")
    try:
        open_shares(exchanged, scene.context, dealer, accuser, dealing.to[accuser])
    except ValueError:
        return scene.verdict(dealer, "SHARE_UNREADABLE")
    return scene.verdict(accuser, "ACCUSATION_FALSE")


def _judge_secret(facts: Facts, scene: _Scene) -> Verdict:
    dealer, kind = facts["dealer"], facts["secret"]
    dealing = _dealing(facts, scene)
    shares = {int(holder): bytes.fromhex(share) for holder, share in facts["shares"].items()}
    # Fewer restore another secret, also from an honest dealer.
    if len(shares) != codec.threshold(scene.size, scene.config) or kind not in ("self", "pair"):
        raise no_proof("expected as many shares as restore a secret")
    for holder, share in shares.items():
        published = dealing.to[holder]
        expected = published.self_commitment if kind == "self" else published.pair_commitment
        if holder < 0 or commitment(scene.context, dealer, holder, kind, share) != expected:
            raise no_proof("a share is not the one that was dealt")
    if _is_restored(scene, dealer, dealing, kind, shares):
        raise no_proof("the shares restore the secret")
    return scene.verdict(dealer, "SECRET_FALSE")


def _is_restored(
    scene: _Scene, dealer: int, dealing: codec.Dealing, kind: str, shares: Mapping[int, bytes]
) -> bool:
    """Whether the shares restore what the dealer published."""
    holders = sorted(shares)
    try:
        restored = Combiner(holders).combine([shares[holder] for holder in holders])
    except ValueError:
        return False
    if kind == "self":
        return self_secret_digest(scene.context, restored) == dealing.self_digest
    public = X25519PrivateKey.from_private_bytes(restored).public_key().public_bytes_raw()
    return public == scene.members[dealer].masking_key


def _judge_share(facts: Facts, scene: _Scene) -> Verdict:
    giver = facts["giver"]
    dealt = [bytes.fromhex(one) for one in facts["dealt"]]
    returned = [bytes.fromhex(one) for one in facts["returned"]]
    statement = codec.unmask_statement(
        scene.context, _agreement(facts["agreement"]), dealt, returned
    )
    scene.signed(giver, bytes.fromhex(facts["signature"]), statement)
    if dealt == returned:
        raise no_proof("the shares are those that were dealt")
    return scene.verdict(giver, "SHARE_FALSE")


def _judge_length(facts: Facts, scene: _Scene) -> Verdict:
    sender, config = facts["sender"], scene.config
    digest, signed = bytes.fromhex(facts["digest"]), facts["length"]
    if facts["message"] == "masked":
        dealers = bytes.fromhex(facts["dealers"])
        statement = codec.masked_statement_of(scene.context, dealers, digest, signed)
        expected = packed_bytes(sent_words(config), config.bits)
    else:
        statement = codec.dealing_statement_of(scene.context, digest, signed)
        expected = codec.dealing_bytes(scene.size)
    scene.signed(sender, bytes.fromhex(facts["signature"]), statement)
    if signed == expected:
        raise no_proof("the length is right")
    return scene.verdict(sender, "WRONG_LENGTH")


def _judge_agreements(facts: Facts, scene: _Scene) -> Verdict:
    signer = facts["signer"]
    one, other = (_agreement(each) for each in facts["agreements"])
    for each in (one, other):
        scene.signed(signer, each.signature, each.statement(scene.context))
    if (one.dealers, one.survivors) == (other.dealers, other.survivors):
        raise no_proof("both signatures are over the same sets")
    return scene.verdict(signer, "SURVIVORS_TWICE")


def _dealing(facts: Facts, scene: _Scene) -> codec.Dealing:
    """The dealing in the evidence, which its dealer signed."""
    dealer, body = facts["dealer"], bytes.fromhex(facts["dealing"])
    dealing = codec.decode_dealing(body, scene.context, dealer, scene.size)
    payload = codec.dealing_payload(dealer, dealing)
    scene.signed(dealer, dealing.signature, codec.dealing_statement(scene.context, payload))
    return dealing


def _agreement_facts(agreement: codec.Agreement) -> dict[str, str]:
    return {name: value.hex() for name, value in vars(agreement).items()}


def _agreement(facts: Mapping[str, str]) -> codec.Agreement:
    return codec.Agreement(*(bytes.fromhex(facts[name]) for name in _AGREEMENT_FIELDS))


_AGREEMENT_FIELDS = ("dealers", "survivors", "signature")
