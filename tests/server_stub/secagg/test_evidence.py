"""Who lies is proven to have lied. Nothing that others do proves anything against the honest."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import PeerError
from agent.protocol import codec, exchange_proof
from agent.protocol.states import GroupState
from server_stub.quarantine.evidence import Proof, Verdict
from server_stub.secagg import evidence
from tests.fakes.ca import TestAuthority
from tests.fakes.liars import (
    LIARS,
    FalseAccuser,
    FalseSecretDealer,
    GarbageForOne,
    Honest,
    Play,
    VagueAccuser,
)
from tests.fakes.secagg import KINDS, Fleet, plan

PROVABLE = [liar for liar in LIARS if liar.is_provable]
CODES = {
    "GarbageDealer": "SHARE_UNREADABLE",
    "OtherCommitments": "SHARE_UNREADABLE",
    "FalseSecretDealer": "SECRET_FALSE",
    "FalseAccuser": "ACCUSATION_FALSE",
    "FalseGiver": "SHARE_FALSE",
    "ShortInput": "WRONG_LENGTH",
    "TwoFaced": "SURVIVORS_TWICE",
}


def played(kinds, seed=0, order=None, **options):
    """A group of players of these kinds, by number, at its end; with the players."""
    fleet = Fleet(len(kinds), plan(len(kinds), **options))
    draw = random.Random(seed)
    players = [
        (kind.of(peer, fleet.config, draw), peer.sealed)
        for kind, peer in zip(kinds, fleet.peers, strict=True)
    ]
    group = fleet.group()
    Play(group, [players[number] for number in order or range(len(kinds))]).run()
    return fleet, group, [player for player, _ in players]


def judged_again(fleet, proof):
    """The verdict of somebody who has the evidence as JSON and the authority's certificate."""
    copy = Proof.from_json(json.loads(json.dumps(proof.to_json())))
    return evidence.judge(copy.evidence.facts, fleet.authority.pem)


@pytest.mark.parametrize("liar", PROVABLE)
@pytest.mark.parametrize("seed", range(3))
def test_each_lie_is_proven_to_be_its_liars(liar, seed):
    fleet, group, players = played([Honest, liar, Honest, Honest, Honest, Honest], seed, min_sum=3)
    assert list(group.proofs) == [players[1].device_id]
    verdict = Verdict(players[1].device_id, CODES[liar.__name__])
    assert group.proofs[verdict.device_id].verdict == verdict
    assert judged_again(fleet, group.proofs[verdict.device_id]) == verdict


@pytest.mark.parametrize("liar", [liar for liar in LIARS if not liar.is_provable])
def test_other_faults_prove_nothing_against_anybody(liar):
    _, group, _ = played([Honest, liar, Honest, Honest, Honest, Honest], min_sum=3)
    assert group.proofs == {}


@given(
    kinds=st.lists(st.sampled_from([Honest, Honest, *LIARS]), min_size=3, max_size=7),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_p6_no_mix_of_liars_proves_anything_against_an_honest_device(kinds, seed, data):
    order = data.draw(st.permutations(range(len(kinds))))
    fleet, group, players = played(kinds, seed, order)
    honest = {player.device_id for player in players if type(player) is Honest}
    assert honest.isdisjoint(group.proofs)
    for device_id, proof in group.proofs.items():
        assert judged_again(fleet, proof) == proof.verdict == Verdict(device_id, proof.verdict.code)
    if group.state is GroupState.DONE and all(type(player) is Honest for player in players):
        assert group.faults == {}


@pytest.mark.parametrize("size", [4, 9])
def test_all_others_together_cannot_get_an_honest_device_convicted(size):
    """One honest device, everybody else lies in every way that there is."""
    for liar in LIARS:
        _, group, players = played([liar] * (size - 1) + [Honest], size)
        assert players[-1].device_id not in group.proofs, liar


# What a lying aggregator could make of an honest device's messages


def facts_of(liar):
    fleet, group, players = played([Honest, liar, Honest, Honest, Honest, Honest], min_sum=3)
    (proof,) = group.proofs.values()
    return fleet, group, players, json.loads(json.dumps(dict(proof.evidence.facts)))


def changed(value, draw):
    """`value` with one part of it changed at random."""
    if isinstance(value, dict) and value:
        key = draw.choice(sorted(value))
        return {**value, key: changed(value[key], draw)}
    if isinstance(value, list) and value:
        place = draw.randrange(len(value))
        return [*value[:place], changed(value[place], draw), *value[place + 1 :]]
    if isinstance(value, bool) or not isinstance(value, int | str) or not value:
        return draw.choice([None, 0, "", [], {}])
    if isinstance(value, int):
        return value + draw.choice([-1, 1])
    place = draw.randrange(len(value))
    return value[:place] + draw.choice("0123456789abcdef") + value[place + 1 :]


@pytest.mark.parametrize("liar", PROVABLE)
def test_changed_evidence_names_nobody_or_the_same_device(liar):
    fleet, _, players, facts = facts_of(liar)
    draw, refused = random.Random(7), 0
    for _ in range(100):
        try:
            verdict = evidence.judge(changed(facts, draw), fleet.authority.pem)
            assert verdict.device_id == players[1].device_id
        except PeerError as error:
            refused += error.code == "NO_PROOF"
    assert refused > 60


@pytest.mark.parametrize("liar", PROVABLE)
def test_evidence_of_another_authority_proves_nothing(liar):
    _, _, _, facts = facts_of(liar)
    with pytest.raises(PeerError, match="proves no fault"):
        evidence.judge(facts, TestAuthority().pem)


def honest_group():
    """A whole honest round, with every message that a lying aggregator then has."""
    fleet = Fleet(4)
    group = fleet.group()
    bodies = {}
    for kind in KINDS:
        bodies[kind] = [fleet.send(group, peer, kind) for peer in fleet.peers]
        group.advance(0)
    return fleet, group, bodies


def nothing(call, *arguments):
    with pytest.raises(PeerError) as raised:
        call(*arguments)
    assert raised.value.code == "NO_PROOF"


def test_an_honest_devices_messages_are_no_evidence_of_any_kind():
    fleet, group, bodies = honest_group()
    drawn, context, sent = group.drawn, group.drawn.context, group.contributions
    dealing = sent.dealings[0]
    for kind, place in (("self", 0), ("pair", 1)):
        right = {
            holder: fleet.peers[0].dealt(drawn.threshold, 4)[holder][place] for holder in (1, 2, 3)
        }
        assert len(right) == drawn.threshold
        nothing(evidence.secret, drawn, 0, dealing, kind, right)
        nothing(evidence.secret, drawn, 0, dealing, kind, {1: right[1], 2: right[2]})
        nothing(evidence.secret, drawn, 0, dealing, kind, {**right, 3: bytes(33)})
    payload, signature = codec.signed_dealing(bodies["shares"][0], context)
    nothing(evidence.length, drawn, 0, "shares", payload, signature)
    nothing(evidence.length, drawn, 0, "shares", payload[:-1], signature)
    masked = codec.decode_masked(bodies["masked"][0], context, fleet.config)
    everybody = frozenset(range(4))
    nothing(evidence.length, drawn, 0, "masked", masked.words, masked.signature, everybody)
    nothing(evidence.length, drawn, 0, "masked", masked.words + b"0", masked.signature, everybody)
    agreed = codec.decode_consistency(bodies["consistency"][0], context)
    nothing(evidence.agreements, drawn, 0, agreed, agreed)
    other = codec.decode_consistency(bodies["consistency"][1], context)
    nothing(evidence.agreements, drawn, 0, agreed, replace(other, survivors=bytes(32)))
    _, signature = codec.decode_unmask(bodies["unmask"][0], context, 4)
    nothing(evidence.share, drawn, 0, agreed, [bytes(32)], [bytes(32)], signature)
    nothing(evidence.share, drawn, 0, agreed, [bytes(32)], [bytes([1] * 32)], signature)


def test_a_complaint_about_other_shares_than_the_dealer_signed_proves_nothing():
    _, group, players = played([Honest, VagueAccuser, Honest, Honest])
    assert group.proofs == {}
    assert players[1].device_id not in group.result.devices
    assert group.result.count == 3


# What follows in the group


def test_a_dealer_of_garbage_and_its_accusers_leave_and_the_others_open_their_sum():
    fleet = Fleet(8, plan(8, min_sum=3))
    group = fleet.group()
    liar = GarbageForOne.of(fleet.peers[2], fleet.config)
    players = [Honest.of(peer, fleet.config) for peer in fleet.peers]
    players[2] = liar
    Play(
        group, [(player, peer.sealed) for player, peer in zip(players, fleet.peers, strict=True)]
    ).run()
    assert group.state is GroupState.DONE
    assert list(group.proofs) == [liar.device_id]
    assert group.result.count == 6
    expected = fleet.expected(group.result.devices)
    assert group.result.words.tolist() == expected.tolist()


def test_a_false_accuser_leaves_and_whom_it_accused_stays():
    _, group, players = played([FalseAccuser, *[Honest] * 5], min_sum=3)
    assert group.result.count == 5
    assert list(group.proofs) == [players[0].device_id]


def test_every_dealer_that_lied_is_found_in_one_opening():
    _, group, players = played(
        [FalseSecretDealer, Honest, FalseSecretDealer, Honest, Honest, Honest]
    )
    assert group.state is GroupState.ABORTED
    assert set(group.proofs) == {players[0].device_id, players[2].device_id}
    assert all(exchange_proof.is_usable(member.sealing_key) for member in players[1].members)


def test_the_evidence_names_only_the_devices_that_it_is_about():
    for liar, named in ((FalseSecretDealer, {1}), (FalseAccuser, None)):
        _, group, players = played([Honest, liar, Honest, Honest, Honest, Honest])
        (proof,) = group.proofs.values()
        text = json.dumps(proof.to_json())
        ids = {number for number, player in enumerate(players) if player.device_id in text}
        assert ids == named or (named is None and len(ids) == 2 and 1 in ids)
