"""An aggregator in memory that runs groups: the real group machine behind the client's methods.

A test can replace any response with a lie. Polls make time pass: a phase ends once a device of the
group has polled in vain often enough.
"""

import threading
from dataclasses import replace

from cryptography.x509 import load_pem_x509_certificate

from agent.errors import PeerError, UserActionError
from agent.privacy.plan import plan_secagg
from agent.privacy.policy import DeviceLimits
from agent.protocol.ledger_heads import HeadEcho
from agent.protocol.messages import Mode
from agent.protocol.witness import Witnessed
from agent.transport.statements import Offer
from server_stub.ca.certificates import revocation_list
from server_stub.secagg.join_phase import JoinPhase
from tests.fakes.aggregator import FakeAggregator, FakeClient
from tests.fakes.rounds import round_identity

LIMITS = DeviceLimits(min_group=3, min_sum=2, gamma_milli=0)
EMPTY_POLLS = 150
"""A phase ends when one device has polled in vain more often than this."""


class FakeGroupAggregator(FakeAggregator):
    """`expected` devices make a group. Once that many are ready, a join window is announced."""

    def __init__(self, clock, expected=3, **options):
        self.expected = expected
        self.options = {
            "g_max": expected,
            "min_group": 3,
            "min_sum": 2,
            "gamma_milli": 0,
            "phase_s": 10,
            **options,
        }
        self.lock = threading.RLock()
        self.lies = {}
        """Phase whose outcome is a lie ("advertise", "shares", "masked", "consistency"), or "offer"
        -> function of the true response and the device id, which returns the lie."""
        self.revoked = []
        self.list_number = 1
        super().__init__(clock)
        self.reset()

    def reset(self):
        self.ready, self.window, self.groups, self.empty_polls = {}, None, None, {}
        self.bodies, self.left = [], []
        self.join = JoinPhase(self.config, self.authority.pem, self.clock.now())

    def plan(self, round_id=1):
        self.task = replace(self.task, mode=Mode.SECAGG)
        return plan_secagg(
            self.task,
            round_identity(
                round_id=round_id,
                model_version=self.version,
                model_digest=self.digest,
                opens_at=self.clock.now() - 10,
                closes_at=self.clock.now() + 3600,
            ),
            rho_units_per_round=self.price,
            **self.options,
        )

    def same_model_again(self):
        """Open another round on the same model."""
        self.config = self.plan(self.config.round_id + 1)
        self.reset()

    def next_round(self):
        super().next_round()
        self.reset()

    @property
    def crl_pem(self):
        return revocation_list(
            self.authority.certificate,
            self.authority.key,
            self.list_number,
            self.revoked,
            self.clock.now(),
        )

    def client(self, server, ca_pem, signing_key, identity):
        assert (server, ca_pem) == (self.server, self.authority.pem)
        return FakeGroupClient(self, identity)

    # The routes. `device_id` is the one in the certificate.

    def offer_for(self, device_id, trained=None):
        """`trained`: the model version of the device's finished update."""
        if trained == self.version:
            self.ready[device_id] = True
        now = self.clock.now()
        if len(self.ready) >= self.expected and self.window is None:
            self.window = (now, now + 20)
        opens, closes = self.window or (0, 0)
        config = self.config if self.window else None
        contributed = (device_id, self.config.round_id) in self.updates
        offer = Offer(
            "open" if config else "wait",
            5,
            self.task,
            self.version,
            self.digest,
            config,
            contributed,
            now,
            opens,
            closes,
            self.crl_pem,
        )
        return self.lies.get("offer", lambda true, _: true)(offer, device_id)

    def group_of(self, device_id):
        if self.groups is None or device_id in self.join.left_out:
            raise PeerError("ROUND_CLOSED", "No group.", "")
        for group in self.groups:
            if device_id in group.devices:
                return group
        raise PeerError("NOT_IN_GROUP", "Not in a group.", "")

    def phase(self, device_id, round_id, phase, body):
        if round_id != self.config.round_id:
            raise PeerError("ROUND_CLOSED", "Another round.", "")
        self.bodies.append((device_id, phase, body))
        if phase == "advertise":
            self.join.advertise(device_id, body)
            if self.join.size == self.expected and self.groups is None:
                self._close_join_window()
            return
        if phase == "leave":
            self.left.append(device_id)
            if self.groups is None:
                self.join.leave(device_id, body)
                return
        self.receive(device_id, phase, body)

    def masked(self, device_id, body):
        self.bodies.append((device_id, "masked", body))
        self.receive(device_id, "masked", body)

    def receive(self, device_id, phase, body):
        """Take a message of a phase after the first; a subclass may send others before it."""
        group = self.group_of(device_id)
        group.receive(phase, device_id, body)
        while group.advance(self.clock.now()):
            self.empty_polls.clear()

    def inbox_for(self, device_id, round_id, after, dealer=None):
        if round_id != self.config.round_id:
            raise PeerError("ROUND_CLOSED", "Another round.", "")
        if self.groups is None:
            self._count_empty_poll(device_id, self._close_join_window)
            if self.groups is None:
                return None
        group = self.group_of(device_id)
        if dealer is not None:
            return group.dealing(device_id, dealer)
        if group.inbox(after, device_id) is None:
            self._count_empty_poll(device_id, lambda: group.advance(group.deadline))
        true = group.inbox(after, device_id)
        return true if true is None else self.lies.get(after, lambda true, _: true)(true, device_id)

    def _close_join_window(self):
        request = self.join.draw_request
        witnessed = self.authority.witness(request) if request else Witnessed()
        self.groups = self.join.close(self.clock.now(), witnessed)

    def _count_empty_poll(self, device_id, end_phase):
        self.empty_polls[device_id] = self.empty_polls.get(device_id, 0) + 1
        if self.empty_polls[device_id] > EMPTY_POLLS:
            self.empty_polls.clear()
            end_phase()

    def phases_of(self, device_id=None):
        """The phases of every message received, in order: of one device, or of all."""
        return [phase for sender, phase, _ in self.bodies if device_id in (None, sender)]


class FakeGroupClient(FakeClient):
    """The client of one device. `host.fail` makes one of its methods fail."""

    def _act(self, method, call):
        self._called(method)
        if self._closed:
            raise UserActionError("OFFLINE", "The connection was closed.", "")
        with self._host.lock:
            return call()

    _closed = False

    @property
    def device_id(self):
        return self._identity.device_id

    def register(self, token, csr_pem):
        with self._host.lock:
            self._host.tokens.clear()  # one invitation for all
            return super().register(token, csr_pem)

    def offer(self):
        return self._act("offer", lambda: self._host.offer_for(self.device_id))

    def ready(self, ready):
        return self._act("offer", lambda: self._ready(ready))

    def _ready(self, ready):
        host = self._host
        offer = host.offer_for(self.device_id, ready.trained)
        left_s = max(1, host.config.closes_at - host.clock.now())
        lease_s = left_s if host.window else 0
        self._show(ready, lease_s)
        return replace(offer, ledger=HeadEcho.of(ready.shown, lease_s))

    def send_phase(self, round_id, phase, body):
        self._act(phase, lambda: self._host.phase(self.device_id, round_id, phase, body))

    def inbox(self, round_id, after, dealer=None):
        return self._act(
            f"inbox {after}", lambda: self._host.inbox_for(self.device_id, round_id, after, dealer)
        )

    def send_update(self, body, step=None):
        with self._host.lock:
            self._act("masked", lambda: self._host.masked(self.device_id, body))
            return super().send_update(body, step)

    def close(self, *, for_good=True):
        self._closed = for_good


def serial_of(device):
    identity = device.agent.keys.identity_file().load()
    return load_pem_x509_certificate(identity.certificate_pem.encode()).serial_number
