"""What devices send is stored before it is answered, and replayed after a crash: without a network
first, then over real TLS.
"""

import contextlib
import sqlite3
import time
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from agent.errors import OperatorActionError, PeerError
from agent.protocol import codec, envelope
from agent.protocol.messages import Mode
from agent.protocol.states import GroupState, LeaveReason
from server_stub.ca.certificates import revocation_list
from server_stub.config.settings import ServerSettings, default_task, override
from server_stub.coordinator.groups import REVOCATIONS_S, GroupCoordinator
from server_stub.errors import BusyError
from server_stub.rounds.join_window import GroupPlan, Invited
from server_stub.rounds.lifecycle import Event, State
from server_stub.storage.records import CertificateRecord, Round
from server_stub.storage.store import Store
from tests.fakes.group_devices import GroupDevice
from tests.fakes.group_rounds import (
    MESSAGES,
    SMALL_GROUPS,
    assert_mean,
    count_events,
    enrol_devices,
    group_server,
    join_window,
    refusal,
    send_all,
    stored_events,
    wait_for_end,
)
from tests.fakes.liars import FalseAccuser
from tests.fakes.live_server import OPERATOR
from tests.fakes.secagg import Fleet, plan
from tests.fakes.timeouts import until

DEVICES = 4
JOIN_S, PHASE_S = 60, 10


class Coordinator:
    """A coordinator, its database and its devices, in one process and without a server."""

    def __init__(self, folder):
        self.now = int(time.time())
        self.config = plan(
            DEVICES,
            round_id=1,
            opens_at=self.now,
            closes_at=self.now + JOIN_S + 4 * PHASE_S,
        )
        self.fleet = Fleet(DEVICES, self.config)
        self.store = Store(f"sqlite:///{folder / 'aggregator.sqlite3'}")
        self.add_devices()
        options = {name: value for name, value in SMALL_GROUPS.items() if name != "mode"}
        self.settings = override(
            ServerSettings(OPERATOR, default_task(Mode.SECAGG)),
            **{**options, "ready_target": 3},
        )
        self.lists, self.is_authority_up = 0, True
        self.changes = self.enough = 0
        self.restart()

    @property
    def peers(self):
        return self.fleet.peers

    def add_devices(self):
        """Enrol the devices of the fleet."""
        for peer in self.peers:
            record = CertificateRecord(peer.device_id, b"key", self.now, self.now + 1000)
            self.store.devices.add(peer.device_id, record, "", self.now)

    def restart(self):
        """A new coordinator, which knows nothing but the database."""
        self.current = GroupCoordinator(
            self.store,
            self.settings,
            self.fleet.authority.pem,
            self._revocations,
            self._witness,
            self._changed,
            self._has_enough,
        )

    def _revocations(self):
        if not self.is_authority_up:
            raise OperatorActionError("CA_START", "The enrolment authority did not start.")
        self.lists += 1
        authority = self.fleet.authority
        return revocation_list(authority.certificate, authority.key, self.lists, [], self.now)

    def _witness(self, request):
        if not self.is_authority_up:
            raise BusyError("CA_UNREACHABLE", "The enrolment authority does not answer.", 10)
        return self.fleet.authority.witness(request)

    def _changed(self):
        self.changes += 1

    def _has_enough(self):
        self.enough += 1

    def report_ready(self, *peers, trained=3, model_version=3, is_ready=True):
        return [
            self.current.ready(peer.device_id, trained, model_version, self.now, is_ready=is_ready)
            for peer in peers
        ]

    def announce(self, before=None):
        """Report all devices ready, and open the window for them; `before`: the round before."""
        self.report_ready(*self.peers)
        self.current.refresh_revocations(self.now)
        invited = self.current.invite(before, self.now)
        self.current.announce(self.config, GroupPlan(DEVICES, 3, DEVICES), invited, self.now)

    @property
    def stored(self):
        return self.store.rounds.get(1)

    @property
    def round(self):
        return self.current.resume(self.stored)

    def message(self, peer, kind):
        """A device's next message, made from its inbox."""

        def inbox(after):
            return self.current.inbox(1, after, peer.device_id)

        if kind == "advertise":
            return peer.client.advertise()
        if kind == "masked":
            peer.client.accept_shares(inbox("shares"))
            return peer.client.mask(peer.sealed)
        make, after = {
            "shares": (peer.client.shares, "advertise"),
            "consistency": (peer.client.consistency, "masked"),
            "unmask": (peer.client.unmask, "consistency"),
        }[kind]
        return make(inbox(after))

    def send(self, peer, kind, body=None):
        """Send a message, by default the device's own; return its body."""
        body = self.message(peer, kind) if body is None else body
        if kind == "masked":
            self.current.receive_masked(1, peer.device_id, body, "digest", "receipt", self.now)
        else:
            self.current.receive(kind, 1, peer.device_id, body, self.now)
        return body

    def send_all(self, *kinds):
        for kind in kinds:
            for peer in self.peers:
                self.send(peer, kind)

    def events(self):
        return [event.kind for event in self.store.round_events.events(1)]


@pytest.fixture
def coordinator(tmp_path):
    opened = Coordinator(tmp_path)
    with contextlib.closing(opened.store):
        yield opened


def test_the_driver_hears_once_that_enough_devices_are_ready(coordinator):
    first, second, third, fourth = coordinator.peers
    coordinator.report_ready(first, second)
    assert (coordinator.enough, coordinator.current.expected(coordinator.now)) == (0, 0)
    coordinator.report_ready(third, fourth, first)
    assert (coordinator.enough, coordinator.current.expected(coordinator.now)) == (1, 4)
    coordinator.report_ready(first, second, is_ready=False)
    assert coordinator.current.expected(coordinator.now) == 0
    coordinator.report_ready(second)
    assert coordinator.enough == 2


def test_only_devices_that_have_trained_the_present_model_are_ready(coordinator):
    coordinator.report_ready(*coordinator.peers, trained=2)
    assert coordinator.current.expected(coordinator.now) == 0
    coordinator.report_ready(*coordinator.peers)
    assert coordinator.current.expected(coordinator.now) == 4
    coordinator.report_ready(coordinator.peers[0], trained=4, model_version=4)
    assert coordinator.current.expected(coordinator.now) == 0


def test_a_window_is_shown_until_it_closes_or_its_groups_are_drawn(coordinator):
    now, device = coordinator.now, coordinator.peers[0].device_id
    assert coordinator.current.window(device, now) == (0, 0)
    coordinator.announce()
    assert coordinator.current.window(device, now) == (now, now + JOIN_S)
    assert coordinator.current.window(device, now + JOIN_S) == (0, 0)
    coordinator.send_all("advertise")
    assert coordinator.current.window(device, now) == (0, 0)


def failed(coordinator, **changes):
    """The round before, which failed although nobody can be blamed."""
    group = {"failure": "masked: sum out of range", "proven": {}}
    record = {"groups": [group], "ended": Event.UNUSABLE}
    fields = {"config": coordinator.config, "state": State.ABANDONED, "record": record, **changes}
    return Round(
        round_id=0, target=4, updates=4, closed_at=0, model_version=None, note="", **fields
    )


@pytest.mark.parametrize(
    ("changes", "sitting_out"),
    [
        ({}, 1),
        ({"state": State.DONE}, 0),
        ({"record": {"groups": [{"proven": {"a": "SHARE_FALSE"}}], "ended": Event.TOO_FEW}}, 0),
        ({"record": {"groups": [], "ended": Event.TOO_FEW}}, 0),  # too few devices came
        ({"record": {"groups": [{"proven": {}}], "ended": Event.REPLACED}}, 0),
    ],
)
def test_only_after_a_failure_that_nobody_is_blamed_for_some_devices_sit_out(
    coordinator, changes, sitting_out
):
    coordinator.report_ready(*coordinator.peers, *(Other(number) for number in range(3)))
    invited = coordinator.current.invite(failed(coordinator, **changes), coordinator.now)
    assert len(invited.sitting_out) == sitting_out
    assert len(invited.joining) == DEVICES + 3 - sitting_out


def test_who_sits_out_sees_no_window_and_cannot_join_even_after_a_restart(coordinator):
    coordinator.report_ready(*(Other(number) for number in range(96)))
    coordinator.announce(failed(coordinator))
    out = next(iter(coordinator.round.sitting_out))
    assert len(coordinator.round.sitting_out) == (96 + DEVICES) // 5
    for _ in range(2):
        assert coordinator.current.window(out, coordinator.now) == (0, 0)
        with pytest.raises(PeerError, match="sits this round out") as raised:
            coordinator.round.receive("advertise", out, b"", coordinator.now)
        assert raised.value.code == "ROUND_CLOSED"
        coordinator.restart()
        assert out in coordinator.current.resume(coordinator.stored).sitting_out


@dataclass
class Other:
    """A device that is only ever ready."""

    number: int

    @property
    def device_id(self):
        return f"urn:uuid:{self.number:08d}"


def test_the_revocation_list_is_fetched_when_it_is_old_and_outlives_its_authority(coordinator):
    current, now = coordinator.current, coordinator.now
    with pytest.raises(BusyError) as raised:
        current.crl_pem()
    assert raised.value.code == "CA_UNREACHABLE"
    current.refresh_revocations(now)
    current.refresh_revocations(now + REVOCATIONS_S - 1)
    first = current.crl_pem()
    assert coordinator.lists == 1
    coordinator.is_authority_up = False
    current.refresh_revocations(now + REVOCATIONS_S)
    assert current.crl_pem() == first
    coordinator.is_authority_up = True
    current.refresh_revocations(now + REVOCATIONS_S)
    assert (coordinator.lists, current.crl_pem() == first) == (2, False)


def test_without_a_revocation_list_no_round_is_stored(coordinator):
    coordinator.report_ready(*coordinator.peers)
    with pytest.raises(BusyError):
        coordinator.current.announce(
            coordinator.config, GroupPlan(4, 3, 4), Invited(frozenset()), coordinator.now
        )
    assert coordinator.stored is None


def test_p6_while_the_witness_is_away_the_window_stays_open_and_no_group_is_drawn(
    coordinator, caplog
):
    witnessed = replace(coordinator.config, witness="authority")
    coordinator.config, coordinator.fleet = witnessed, Fleet(DEVICES, witnessed)
    coordinator.add_devices()
    coordinator.restart()
    coordinator.announce()
    coordinator.is_authority_up = False
    coordinator.send_all("advertise")
    device = coordinator.peers[0].device_id
    assert coordinator.events() == ["open", *["advertise"] * DEVICES]
    assert coordinator.current.inbox(1, "advertise", device) is None
    coordinator.now += JOIN_S + 1
    assert not coordinator.current.tick(coordinator.stored, coordinator.now)
    coordinator.restart()
    assert coordinator.round.groups is None
    assert "round.no_witness id=1 code=CA_UNREACHABLE" in caplog.text
    coordinator.is_authority_up = True
    coordinator.current.tick(coordinator.stored, coordinator.now)
    assert coordinator.events()[-1] == "close"
    seed = codec.decode_roster(
        coordinator.current.inbox(1, "advertise", device), codec.round_context(witnessed)
    ).witnessed.seed
    coordinator.restart()  # the witness is asked once: a replay has its answer
    coordinator.is_authority_up = False
    again = codec.decode_roster(
        coordinator.current.resume(coordinator.stored).inbox("advertise", device),
        codec.round_context(witnessed),
    )
    assert again.witnessed.seed == seed
    coordinator.send_all(*MESSAGES[1:])
    assert coordinator.round.is_over


def test_p6_p10_the_exact_sum_is_opened_with_a_restart_after_every_message(coordinator):
    coordinator.announce()
    for kind in MESSAGES:
        for peer in coordinator.peers:
            if kind == "unmask" and coordinator.round.is_over:
                continue  # the threshold was enough
            coordinator.restart()
            coordinator.send(peer, kind)
    coordinator.restart()
    ((_, opened),) = coordinator.round.sums()
    assert set(opened.devices) == {peer.device_id for peer in coordinator.peers}
    assert opened.words.tolist() == coordinator.fleet.expected(opened.devices).tolist()


def test_p10_after_a_restart_a_window_still_waits_for_the_devices_that_were_ready(coordinator):
    coordinator.announce()
    for peer in coordinator.peers[:3]:
        coordinator.send(peer, "advertise")
    coordinator.restart()
    assert not coordinator.current.tick(coordinator.stored, coordinator.now)
    assert coordinator.round.groups is None
    coordinator.send(coordinator.peers[3], "advertise")
    assert len(coordinator.round.groups) == 1


def test_p10_a_message_whose_transaction_fails_was_never_received(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise", "shares")
    peer = coordinator.peers[0]
    with coordinator.store.round_events.transaction() as work:
        work.add_receipt(1, peer.device_id, body_sha256="", size=0, receipt="", now=coordinator.now)
    before = coordinator.events()
    with pytest.raises(sqlite3.IntegrityError):
        coordinator.send(peer, "masked")
    assert coordinator.round.groups[0].counts()["masked"] == 0
    assert coordinator.events() == before
    for other in coordinator.peers[1:]:
        coordinator.send(other, "masked")
    assert coordinator.round.groups[0].counts()["masked"] == 3


def test_a_fault_that_a_refused_message_proves_survives_a_restart(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise", "shares")
    honest, cheat = coordinator.peers[:2]
    body = coordinator.send(honest, "masked")
    with pytest.raises(PeerError):
        coordinator.send(cheat, "masked", body)
    assert coordinator.events()[-1] == "blame"
    coordinator.restart()
    assert coordinator.round.fault_of(cheat.device_id) == "MASKED_SIGNATURE"
    assert coordinator.round.fault_of(honest.device_id) == ""


def test_a_proof_is_stored_with_the_message_that_shows_it_and_survives_a_restart(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise")
    accuser, accused = coordinator.peers[:2]
    coordinator.send_all("shares")
    liar = FalseAccuser.of(accuser, coordinator.config)
    context = coordinator.round.groups[0].drawn
    liar.members = list(context.roster.members)
    liar.context, liar.own, liar.size = context.context, context.numbers[accuser.device_id], DEVICES
    number = context.numbers[accused.device_id]
    dealing = coordinator.current.inbox(1, "shares", accuser.device_id, number)
    assert codec.decode_dealing(dealing, context.context, number, DEVICES)
    coordinator.send(accuser, "complaint", liar.complaint({number: dealing}))
    assert coordinator.events()[-1] == "complaint"
    (exclusion,) = coordinator.store.proofs.all()
    assert (exclusion.device_id, exclusion.code) == (accuser.device_id, "ACCUSATION_FALSE")
    assert (exclusion.round_id, exclusion.rounds) == (1, 1)
    coordinator.restart()
    assert list(coordinator.round.proofs) == [accuser.device_id]
    for peer in coordinator.peers[1:]:
        coordinator.send(peer, "masked")
    assert coordinator.store.proofs.all() == [exclusion]
    record = coordinator.round.record()["groups"][0]
    assert record["proven"] == record["blamed"] == {accuser.device_id: "ACCUSATION_FALSE"}


def test_a_proof_in_a_refused_message_is_stored_and_replayed(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise", "shares")
    liar = coordinator.peers[0]
    body = coordinator.message(liar, "masked")
    group = coordinator.round.groups[0]
    words = codec.decode_masked(body, group.drawn.context, coordinator.config).words[:-1]
    statement = codec.masked_statement(group.drawn.context, group.contributions.dealers, words)
    read = envelope.decode(body)
    short = envelope.encode({**read.header, "signature": liar.sign(statement).hex()}, words)
    for _ in range(2):
        with pytest.raises(PeerError) as raised:
            coordinator.send(liar, "masked", short)
        assert raised.value.code == "WRONG_LENGTH"
    assert coordinator.events().count("proof") == 1
    assert [one.code for one in coordinator.store.proofs.all()] == ["WRONG_LENGTH"]
    coordinator.restart()
    assert coordinator.round.proofs[liar.device_id].verdict.code == "WRONG_LENGTH"


def test_only_dealers_have_a_dealing_to_show(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise", "shares")
    one = coordinator.peers[0].device_id
    for after, dealer in (("shares", DEVICES), ("masked", 1)):
        with pytest.raises(PeerError) as raised:
            coordinator.current.inbox(1, after, one, dealer)
        assert raised.value.code == "BAD_MESSAGE"


def test_p2_a_device_that_another_process_revoked_is_dropped_with_its_input(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise", "shares")
    revoked = coordinator.peers[0]
    coordinator.send(revoked, "masked")
    coordinator.store.devices.revoke(revoked.device_id, coordinator.now)
    assert not coordinator.current.tick(coordinator.stored, coordinator.now)
    assert revoked.device_id not in coordinator.round.devices
    masked = [event for event in coordinator.store.round_events.events(1) if event.kind == "masked"]
    assert [event.body for event in masked] == [None]
    with pytest.raises(PeerError):
        coordinator.send(revoked, "consistency", b"")


def test_a_device_that_leaves_is_neither_in_the_window_nor_in_the_ready_pool(coordinator):
    coordinator.announce()
    going = coordinator.peers[0]
    coordinator.send(going, "advertise")
    coordinator.send(going, "leave", going.client.leave(LeaveReason.PAUSED))
    assert coordinator.round.devices == frozenset()
    assert coordinator.current.expected(coordinator.now) == 3
    for peer in coordinator.peers[1:]:
        coordinator.send(peer, "advertise")
    # All that are still ready have advertised, so nobody waits for the device that left.
    assert len(coordinator.round.groups[0].devices) == 3


def test_waiting_devices_are_woken_when_an_inbox_may_have_changed_and_not_before(coordinator):
    coordinator.announce()
    for peer in coordinator.peers[:3]:
        coordinator.send(peer, "advertise")
    assert coordinator.changes == 0
    coordinator.send(coordinator.peers[3], "advertise")
    assert coordinator.changes == 1
    coordinator.send_all("shares")
    assert coordinator.changes == 2


def test_phases_end_by_their_deadline_without_another_message(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise", "shares")
    for peer in coordinator.peers[:3]:
        coordinator.send(peer, "masked")
    group = coordinator.round.groups[0]
    assert not coordinator.current.tick(coordinator.stored, group.deadline - 1)
    assert group.state is GroupState.MASKING
    assert not coordinator.current.tick(coordinator.stored, group.deadline)
    assert group.state is GroupState.AGREEING
    assert coordinator.current.tick(coordinator.stored, group.deadline)
    assert group.failure.reason == "too few"


def test_after_the_end_repeats_are_answered_and_nothing_more_is_stored(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise", "shares", "masked")
    bodies = {peer.device_id: coordinator.send(peer, "consistency") for peer in coordinator.peers}
    for peer in coordinator.peers:
        if not coordinator.round.is_over:
            coordinator.send(peer, "unmask")
    before = coordinator.events()
    for peer in coordinator.peers:
        coordinator.send(peer, "consistency", bodies[peer.device_id])
    assert coordinator.current.tick(coordinator.stored, coordinator.now)
    assert coordinator.events() == before
    coordinator.store.rounds.close_groups(1, coordinator.round.record(), coordinator.now)
    coordinator.current.settle(coordinator.stored)
    assert coordinator.current.inbox(1, "consistency", coordinator.peers[0].device_id)


def test_a_round_that_was_broken_off_is_closed_for_its_devices(coordinator):
    coordinator.announce()
    coordinator.send_all("advertise")
    device_id = coordinator.peers[0].device_id
    coordinator.store.rounds.abandon(1, Event.REPLACED, coordinator.now, "another model")
    coordinator.current.settle(coordinator.stored)
    assert coordinator.changes == 2
    with pytest.raises(PeerError) as raised:
        coordinator.current.inbox(1, "advertise", device_id)
    assert raised.value.code == "ROUND_CLOSED"


def test_messages_to_any_other_round_are_refused(coordinator):
    peer = coordinator.peers[0]
    for round_id in (1, 2):
        with pytest.raises(PeerError) as raised:
            coordinator.current.receive("advertise", round_id, peer.device_id, b"", coordinator.now)
        assert raised.value.code == "ROUND_CLOSED"
        if round_id == 1:
            coordinator.announce()


def test_a_dropped_device_that_is_in_no_round_is_only_no_longer_ready(coordinator):
    coordinator.report_ready(*coordinator.peers)
    coordinator.current.drop(coordinator.peers[0].device_id, coordinator.now)
    assert coordinator.current.expected(coordinator.now) == 3


NONSENSE = (b"", b"AEG1", b"\xff" * 200)
REFUSALS = ("SERVER_ERROR", "BAD_ENVELOPE", "MESSAGE_REFUSED")
"""What a device makes of the port's answer to nonsense."""


def test_a_message_may_be_repeated_but_not_replaced_and_nonsense_changes_nothing(tmp_path):
    with group_server(tmp_path, 3) as server:
        devices = enrol_devices(server, 3)
        stranger = GroupDevice(server.enrol()).enrolled.client
        join_window(devices)
        first, other = devices[0].enrolled.client, devices[1]
        for kind in MESSAGES:
            for body in (*NONSENSE, envelope.encode({"kind": kind}, b"")):
                if kind == "masked":
                    assert refusal(first.send_update, body) in REFUSALS
                else:
                    assert refusal(first.send_phase, 1, kind, body) in REFUSALS
            if kind != "advertise":
                assert refusal(stranger.send_phase, 1, "shares", b"AEG1") == "NOT_IN_GROUP"
            bodies = {device: device.send(kind) for device in devices}
            for device, body in bodies.items():
                client = device.enrolled.client
                if kind == "masked":
                    assert client.send_update(body) == device.receipt
                else:
                    client.send_phase(1, kind, body)
            if kind == "shares":
                assert refusal(first.send_phase, 1, kind, bodies[other]) == "ALREADY_CONTRIBUTED"
            if kind == "masked":
                assert refusal(first.send_update, bodies[other]) == "ALREADY_CONTRIBUTED"
        assert wait_for_end(server).state is State.DONE
        assert refusal(first.send_phase, 9, "shares", b"AEG1") == "ROUND_CLOSED"
        assert refusal(first.inbox, 9, "shares") == "ROUND_CLOSED"


def test_another_devices_masked_input_is_refused_and_its_sender_recorded_over_a_restart(tmp_path):
    with group_server(tmp_path, 4) as server:
        devices = enrol_devices(server, 4)
        join_window(devices)
        send_all(devices, "advertise", "shares")
        honest, cheat = devices[:2]
        body = honest.send("masked")
        assert refusal(cheat.enrolled.client.send_update, body) == "MESSAGE_REFUSED"
        read = envelope.decode(body)
        forged = envelope.encode({**read.header, "round_id": 2}, read.payload)
        assert refusal(cheat.enrolled.client.send_update, forged) == "ROUND_CLOSED"
    with group_server(tmp_path, 4) as server:
        for device in devices:
            device.reconnect(server)
        send_all(devices[1:], "masked")
        send_all(devices, "consistency", "unmask")
        ended = wait_for_end(server)
        assert ended.state is State.DONE
        assert ended.record["groups"][0]["blamed"] == {cheat.device_id: "MASKED_SIGNATURE"}
        assert_mean(server, devices, ended)


def test_p10_a_restart_between_any_two_messages_loses_nothing(tmp_path):
    devices, count = [], 3
    order = [(kind, number) for kind in MESSAGES for number in range(count)]
    # In the middle of each phase, and before some.
    stops = [0, 2, 5, 7, 10, 13, len(order) - 1]
    for start, end in pairwise(stops):
        with group_server(tmp_path, count) as server:
            if not devices:
                devices = enrol_devices(server, count)
                join_window(devices)
            else:
                for device in devices:
                    device.reconnect(server)
            for kind, number in order[start:end]:
                devices[number].send(kind)
    with group_server(tmp_path, count) as server:
        # The last message is not needed: the threshold has answered.
        ended = wait_for_end(server)
        assert (ended.state, ended.updates, ended.model_version) == (State.DONE, count, 2)
        assert_mean(server, devices, ended)
        for device in devices:
            device.reconnect(server)
        other = devices[1].masked
        assert refusal(devices[0].enrolled.client.send_update, other) == "ALREADY_CONTRIBUTED"


def test_p2_a_device_that_left_or_was_erased_or_revoked_in_time_is_not_in_the_sum(tmp_path):
    with group_server(tmp_path, 7) as server:
        devices = enrol_devices(server, 7)
        join_window(devices)
        send_all(devices, "advertise", "shares")
        send_all(devices[:6], "masked")
        left, erased, revoked = devices[:3]
        left.enrolled.client.send_phase(1, "leave", left.machine.leave(LeaveReason.WITHDRAWN))
        erased.enrolled.client.erase()
        server.view.devices.revoke(revoked.device_id, server.clock.now())
        until(lambda: count_events(server, "drop") == 2)
        inputs = {
            event.device_id
            for event in stored_events(server)
            if event.kind == "masked" and event.body is not None
        }
        assert inputs == {device.device_id for device in devices[3:6]}
        assert refusal(left.enrolled.client.inbox, 1, "shares") == "ROUND_CLOSED"
        send_all(devices[6:], "masked")
        send_all(devices[3:], "consistency", "unmask")
        ended = wait_for_end(server)
        assert (ended.state, ended.updates) == (State.DONE, 4)
        assert_mean(server, devices[3:], ended)
