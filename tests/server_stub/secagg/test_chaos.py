"""Groups of up to twelve under a bad network: messages late, twice, out of order, damaged, replayed
and under other names; devices and the aggregator crash and start again. Whatever happens: the exact
sum over the survivors, never below the minimum, or nothing.
"""

from contextlib import suppress

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.errors import PeerError
from agent.protocol.states import DeviceState, GroupState, LeaveReason
from server_stub.secagg.join_phase import JoinPhase
from tests.fakes.secagg import Fleet, plan

SIGNED = ("masked", "consistency", "unmask")
ENDED = (GroupState.DONE, GroupState.ABORTED)
NEXT = {
    DeviceState.ADVERTISED: ("shares", "advertise"),
    DeviceState.SHARED: ("masked", "shares"),
    DeviceState.MASKED: ("consistency", "masked"),
    DeviceState.SIGNED: ("unmask", "consistency"),
}
"""What a device says next, and the phase whose outcome it waits for."""


class Chaos(RuleBasedStateMachine):
    @initialize(size=st.integers(3, 12), least=st.integers(2, 6), gamma=st.sampled_from([0, 200]))
    def begin(self, size, least, gamma):
        self.fleet = Fleet(
            size,
            plan(size, min_sum=min(size, max(least, gamma * size // 1000 + 1)), gamma_milli=gamma),
        )
        self.advertised = [(peer.device_id, peer.client.advertise()) for peer in self.fleet.peers]
        self.log = []
        self.group = self.restarted()
        self.now = 0
        self.flying, self.arrived = [], []
        self.sealed_inputs = {}
        self.announced = {}
        self.opened_for = set()
        self.outcome = None

    def restarted(self):
        """The aggregator from what it has stored: accepted messages, and the times at which it went
        on.
        """
        join = JoinPhase(self.fleet.config, self.fleet.authority.pem, self.fleet.now)
        for device_id, body in self.advertised:
            join.advertise(device_id, body)
        (group,) = join.close(0)
        for entry in self.log:
            group.advance(entry) if isinstance(entry, int) else group.receive(*entry)
        return group

    def receive(self, kind, device_id, body):
        self.group.receive(kind, device_id, body)
        self.log.append((kind, device_id, body))

    def advance(self):
        if self.group.advance(self.now):
            self.log.append(self.now)

    def speak(self, peer):
        """A device's next message goes on its way, if its time has come."""
        client = peer.client
        if client.state not in NEXT:
            return
        kind, after = NEXT[client.state]
        try:
            received = self.group.inbox(after, peer.device_id)
            if received is None:
                return
            if kind == "masked":
                client.accept_shares(received)
                body = self.sealed_inputs[peer.device_id] = client.mask(peer.sealed)
            else:
                if kind == "consistency":
                    self.announced[peer.device_id] = received
                body = {
                    "shares": client.shares,
                    "consistency": client.consistency,
                    "unmask": client.unmask,
                }[kind](received)
        except PeerError:
            client.wipe()
            return
        if kind == "unmask":
            self.opened_for.add(self.announced[peer.device_id])
        self.flying.append((kind, peer.device_id, body))

    @rule(data=st.data())
    def a_device_speaks(self, data):
        self.speak(self.fleet.peers[data.draw(st.integers(0, self.fleet.n - 1))])

    @rule()
    def all_devices_speak(self):
        for peer in self.fleet.peers:
            self.speak(peer)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), again=st.booleans())
    def a_message_arrives(self, data, again):
        """In any order; perhaps it will arrive once more."""
        at = data.draw(st.integers(0, len(self.flying) - 1))
        message = self.flying[at] if again else self.flying.pop(at)
        self.arrived.append(message)
        with suppress(PeerError):
            self.receive(*message)

    @precondition(lambda self: self.flying)
    @rule()
    def all_messages_arrive(self):
        for message in self.flying:
            self.arrived.append(message)
            with suppress(PeerError):
                self.receive(*message)
        self.flying = []

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def a_message_is_lost(self, data):
        self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def an_old_message_is_replayed(self, data):
        with suppress(PeerError):
            self.receive(*data.draw(st.sampled_from(self.arrived)))

    @precondition(lambda self: any(kind in SIGNED for kind, _, _ in self.arrived))
    @rule(data=st.data())
    def a_message_comes_under_another_name(self, data):
        """What is signed or committed to counts for nobody else. (A dealing and a leave are bound
        to their sender by the request.)
        """
        kind, sender, body = data.draw(
            st.sampled_from([message for message in self.arrived if message[0] in SIGNED])
        )
        other = data.draw(st.sampled_from(self.fleet.peers))
        before = self.group.counts()
        with suppress(PeerError):
            self.receive(kind, other.device_id, body)
        assert other.device_id == sender or self.group.counts() == before

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def a_message_is_damaged(self, data):
        kind, device_id, body = data.draw(st.sampled_from(self.flying))
        at = data.draw(st.integers(0, len(body) - 1))
        with suppress(PeerError):
            self.receive(kind, device_id, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])

    @rule(data=st.data())
    def a_device_crashes(self, data):
        """Its secrets are gone; it may only send its stored masked input again."""
        peer = data.draw(st.sampled_from(self.fleet.peers))
        peer.client.wipe()
        if peer.device_id in self.sealed_inputs:
            self.flying.append(("masked", peer.device_id, self.sealed_inputs[peer.device_id]))

    @rule(data=st.data())
    def a_device_leaves(self, data):
        peer = data.draw(st.sampled_from(self.fleet.peers))
        with suppress(PeerError):
            self.flying.append(("leave", peer.device_id, peer.client.leave(LeaveReason.WITHDRAWN)))

    @rule(seconds=st.integers(0, 6))
    def time_passes(self, seconds):
        self.now += seconds
        self.advance()

    @rule()
    def the_aggregator_restarts(self):
        before = self.group
        self.group = self.restarted()
        assert (self.group.state, self.group.counts(), self.group.deadline) == (
            before.state,
            before.counts(),
            before.deadline,
        )

    @invariant()
    def exact_or_nothing(self):
        if not hasattr(self, "fleet"):
            return
        assert len(self.opened_for) <= 1, "devices opened different sets of survivors"
        result = self.group.result
        assert (result is None) == (self.group.state is not GroupState.DONE)
        if result is not None:
            assert result.count == len(result.devices) >= self.fleet.config.min_sum
            assert set(result.devices) <= self.sealed_inputs.keys()
            assert result.words.tolist() == self.fleet.expected(result.devices).tolist()
            outcome = (result.devices, result.words.tolist())
            assert self.outcome in (None, outcome), "an opened sum changed"
            self.outcome = outcome
        else:
            assert self.outcome is None

    def teardown(self):
        """Whatever happened, the group comes to an end by its deadlines."""
        if not hasattr(self, "fleet"):
            return
        for _ in range(5):
            self.all_devices_speak()
            if self.flying:
                self.all_messages_arrive()
            self.now = max(self.now, self.group.deadline)
            self.advance()
            self.exact_or_nothing()
        event(f"{self.group.state.value}, {bool(self.outcome) and len(self.outcome[0])} in the sum")
        assert self.group.state in ENDED


Chaos.TestCase.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
test_p6_p10_chaos = Chaos.TestCase
