"""Devices that take part in rounds of secure aggregation over real TLS.

They use the state machine of agent.secagg and the session and client of agent.transport. Each runs
in its own thread, as fast as the server answers.
"""

import asyncio
import os
import threading
import time

import numpy as np

from agent.clock import SystemClock
from agent.errors import AegisError
from agent.privacy.policy import DeviceLimits, check_config
from agent.privacy.seal import seal
from agent.protocol.ledger_heads import Ready
from agent.protocol.revocations import read_revocations
from agent.secagg.client import SecaggClient
from agent.transport.round_session import RoundSession
from tests.fakes.liars import Honest
from tests.fakes.secagg import recorded_entropy
from tests.fakes.timeouts import TIMEOUT_S, until

TEST_LIMITS = DeviceLimits(min_group=2, min_sum=2, gamma_milli=0, max_rho_units=2**60)


class Dropped(Exception):
    """The device goes silent, as the test asked."""


class Channel:
    """The connection of a round. It goes silent before the phase `silent_from`."""

    def __init__(self, client, round_id, silent_from=None):
        self.client, self.round_id, self.silent_from = client, round_id, silent_from
        self.sent = {}

    async def send(self, phase, body):
        if phase == self.silent_from:
            raise Dropped
        self.sent[phase] = body
        await asyncio.to_thread(self.client.send_phase, self.round_id, phase, body)

    async def inbox(self, after, dealer=None):
        return await asyncio.to_thread(self.client.inbox, self.round_id, after, dealer)


class GroupDevice:
    """An enrolled device with an update; `value` is every coordinate of it."""

    def __init__(self, enrolled, value=0.01, limits=TEST_LIMITS):
        self.enrolled, self.value, self.limits = enrolled, value, limits
        self.device_id = enrolled.device_id
        self.identity = enrolled.file.load()
        self.receipt = self.failure = self.machine = self.channel = self.masked = None
        self.player = Honest
        """What it does with the messages of its state machine (tests.fakes.liars)."""
        self.charges = 0

    def report_ready(self, trained=None):
        """Poll with a finished update of the newest model, or of version `trained`."""
        if trained is None:
            trained = self.enrolled.server.view.models.newest_version()
        return self.enrolled.client.ready(Ready(trained))

    def poll_until_offered(self, trained=None):
        """Poll until a join window is announced; return that offer."""

        def offered():
            offer = self.report_ready(trained)
            return offer if offer.round is not None else None

        return until(offered, what="a join window", poll_s=0.1)

    def join(self, offer):
        """Make the state machine for the round on offer."""
        config = offer.round
        check_config(config, offer.task, self.limits)
        registration, now = self.enrolled.registration, int(time.time())
        revoked = read_revocations(offer.crl_pem, registration.ca_pem, offer.time).serials
        self.config, drawn = config, []
        self.failure = None
        client = SecaggClient(
            config,
            self.device_id,
            registration.certificate_pem,
            registration.ca_pem,
            self.identity.signer.sign,
            limits=self.limits,
            entropy=recorded_entropy(drawn),
            now=now,
            revoked=revoked,
        )
        sign = self.identity.signer.sign
        self.machine = self.player(client, self.device_id, sign, config, drawn)
        return self.machine

    def send(self, kind):
        """Send the message of one phase, made from the inbox; return its body."""
        body = self.make(kind)
        self.carry(kind, body)
        return body

    def make(self, kind):
        """Make the message of one phase from the inbox."""
        machine = self.machine
        if kind == "advertise":
            return machine.advertise()
        if kind == "shares":
            return machine.shares(self.inbox("advertise"))
        if kind == "masked":
            machine.accept_shares(self.inbox("shares"))
            self.masked = machine.mask(self.sealed(self.config))
            return self.masked
        if kind == "consistency":
            return machine.consistency(self.inbox("masked"))
        return machine.unmask(self.inbox("consistency"))

    def carry(self, kind, body):
        """Bring a message to the server; the same one again changes nothing."""
        client = self.enrolled.client
        if kind == "masked":
            self.receipt = client.send_update(body)
        else:
            client.send_phase(self.config.round_id, kind, body)

    def inbox(self, after):
        """Wait for the outcome of a phase."""
        return until(
            lambda: self.enrolled.client.inbox(self.config.round_id, after),
            what=f"the outcome of {after}",
            poll_s=0,
        )

    def reconnect(self, server):
        """Connect again after a restart of the server, which now listens elsewhere."""
        self.enrolled.client.close()
        self.enrolled.server, self.enrolled.client = server, server.client(self.identity)

    def sealed(self, config):
        return seal(np.full(config.d, self.value), config, os.urandom(8).hex())

    def take_part(self, offer, silent_from=None):
        """Run a whole round; drop out before the phase `silent_from` ("advertise", "shares", …)."""
        self.channel = Channel(self.enrolled.client, offer.round.round_id, silent_from)
        self.silent_from = silent_from
        session = RoundSession(
            offer.round,
            self.join(offer),
            self.channel,
            self,
            clock=SystemClock(),
            sleep=lambda _: asyncio.sleep(0.02),
            joining_s=60.0,
        )
        try:
            asyncio.run(session.run())
        except Dropped:
            self.failure = silent_from
        except AegisError as error:
            self.failure = error.code

    # agent.transport.round_session.RoundContribution

    async def seal(self):
        return self.sealed(self.config)

    def charge(self, body):
        if self.silent_from == "masked":
            raise Dropped
        self.masked = body
        self.charges += 1

    async def deliver(self):
        self.receipt = await asyncio.to_thread(self.enrolled.client.send_update, self.masked)

    def claim(self, _):
        return True


def run_round(devices, offer, silent=None):
    """Run all devices through one round at the same time.

    `silent`: phase -> devices that drop out before it.
    """
    silent_from = {
        device.device_id: phase for phase, some in (silent or {}).items() for device in some
    }
    threads = [
        threading.Thread(target=device.take_part, args=(offer, silent_from.get(device.device_id)))
        for device in devices
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
