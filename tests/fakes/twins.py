"""Copies of one device around one server's database, for tests of what they can do together.

The ledgers, the poll, the outbox and the server's database are the real ones; the network is a call
whose answer may get lost, and time is a number.
"""

import asyncio
import hashlib
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import asdict

from agent.errors import AegisError, UserActionError
from agent.privacy.budget import FAST_SPENDING, Allowed, Budget, Spent, decide
from agent.protocol.ledger_heads import HeadEcho
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.offer_poll import OfferPoll
from agent.rounds.outbox import Outbox
from agent.store.database import Database
from agent.store.head import LedgerHead
from agent.store.ledger import Charge, Ledger, carried_over
from agent.store.values import Values
from agent.transport.responses import ReservedError
from agent.transport.server_clock import ServerClock
from agent.transport.statements import Offer, Receipt
from server_stub.errors import BusyError
from server_stub.rounds.ledger_heads import LOCAL_LEASE_S
from server_stub.storage.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.stored_rows import NOW, add_device, round_config

BUDGET = Budget(1.0, 1e-5, 365, 3.0)
ROUNDS_PAID = 2
"""How many rounds the budget pays for."""
PRICE = BUDGET.rho_units // ROUNDS_PAID


class TwinServer:
    """The server's database, with one round open."""

    def __init__(self, folder):
        self.clock = FakeClock(NOW)
        self.url = f"sqlite:///{folder / 'server.sqlite3'}"
        self.store = Store(self.url)
        self.devices = []
        self.config = None
        self.next_round()

    def next_round(self):
        number = 1 if self.config is None else self.config.round_id + 1
        self.config = round_config(number, self.clock.now())
        self.store.rounds.open(self.config, 1000)

    def new_device(self):
        self.devices.append(f"urn:uuid:{len(self.devices)}")
        add_device(self.store, self.devices[-1])
        return self.devices[-1]

    def crash(self):
        self.store.close()
        self.store = Store(self.url)

    def accepted(self):
        """SHA-256 of the updates that were taken, in order, of all devices."""
        records = [self.store.devices.record(device_id) for device_id in self.devices]
        return [update["body_sha256"] for record in records for update in record["updates"]]


class Keys:
    """The key store's item, which the copies of a home share; stands for an identity file."""

    def __init__(self):
        self.key, self.is_sealed = secrets.token_bytes(32), False

    def derived_key(self, _):
        return self.key

    def has_sealed_ledger(self):
        return self.is_sealed

    def note_sealed_ledger(self):
        self.is_sealed = True


class Twin:
    """One home, and the process that uses it."""

    def __init__(self, server, folder, device_id, keys):
        self.server, self.folder = server, folder
        self.device_id, self.keys = device_id, keys
        folder.mkdir(exist_ok=True)
        self.lose_answer = False
        self.start()

    def start(self):
        clock = self.server.clock
        self.database = Database(self.folder / "agent.sqlite3")
        self.ledger = Ledger(self.database, LedgerHead(self.folder / "ledger-head"))
        agreed = AgreedClock(clock, Values(self.database, "value"))
        self.outbox = Outbox(clock, ServerClock(clock), agreed, self.ledger, _at_once)
        self.offer_poll = OfferPoll(
            clock, self.ledger, lambda: self.keys, secrets.token_hex(16), _at_once, agreed
        )
        self.admission = None

    def crash(self):
        self.database.close()
        self.start()

    def copy(self, folder):
        """Copy the home, as cp -a does between two writes of the agent."""
        self.save(folder)
        return Twin(self.server, folder, self.device_id, self.keys)

    def save(self, folder):
        self.database.close()
        shutil.copytree(self.folder, folder)
        self.database = Database(self.folder / "agent.sqlite3")
        admission, self.admission = self.admission, None
        self.start()
        self.admission = admission

    def restore(self, folder):
        """Put an older copy of the home in place of this one."""
        self.database.close()
        shutil.rmtree(self.folder)
        shutil.copytree(folder, self.folder)
        self.start()

    # What a cycle does, in steps. Each returns the code of a refusal, or "".

    def open(self):
        """Seal the ledger, as the first cycle does."""

        async def nothing():
            pass

        return self._open_and(nothing)

    def say_ready(self):
        async def ready():
            _, self.admission = await self.offer_poll.ready(self, 1)

        self.admission = None
        return self._open_and(ready)

    def charge(self):
        """Seal and charge for the round that is open, if admission and budget allow it."""
        if self.admission is None:
            return "NOT_READY"
        admission, self.admission = self.admission, None

        async def charge():
            if not isinstance(
                decide(BUDGET, FAST_SPENDING, self._history(), self._now(), PRICE), Allowed
            ):
                raise UserActionError("BUDGET_SPENT", "", "")
            admission.check(self.server.clock)
            self._record(admission.head)

        return self._open_and(charge)

    def send(self, *, lose_answer=False):
        """Send what was charged; `lose_answer`: the server stores it and nobody hears of it."""
        self.lose_answer = lose_answer

        async def send():
            for entry in self.outbox.waiting():
                await self.outbox.send(self, self, entry.attempt)

        return self._open_and(send)

    def rejoin(self):
        """Get an identity of its own, as `aegis enroll` gives it to a copy."""
        self.ledger.withdraw(self._now())
        spent = carried_over(BUDGET.rho_units, self._now())
        with self.ledger.sealed.carrying_over(asdict(spent)):
            self.keys, self.device_id = Keys(), self.server.new_device()
        self.crash()

    def _open_and(self, step):
        async def whole():
            await self.offer_poll.open_ledger(self)
            await step()

        try:
            asyncio.run(whole())
        except AegisError as error:
            return error.code
        return ""

    def _record(self, head):
        config = self.server.config
        body = secrets.token_bytes(8) + config.round_id.to_bytes(8)
        charge = Charge(
            at=self._now(),
            task_id=config.task_id,
            round_id=config.round_id,
            attempt=secrets.token_hex(16),
            mode="local",
            model_version=1,
            model_digest=config.model_digest,
            config_digest=config.digest,
            rho_units=PRICE,
            rho_local_units=PRICE,
            body_sha256=hashlib.sha256(body).hexdigest(),
            body_bytes=len(body),
        )
        self.ledger.record(charge, body, config.closes_at, head)

    def _history(self):
        return [Spent(charge.at, charge.rho_units) for charge in self.ledger.charges()]

    def _now(self):
        return self.server.clock.now()

    # The permit.

    def check(self):
        pass

    # The client.

    def ready(self, ready):
        with _answers_of_the_network():
            self.server.store.ledger_heads.show(
                self.device_id, ready.shown, ready.session, self._now(), LOCAL_LEASE_S
            )
        echo = HeadEcho.of(ready.shown, LOCAL_LEASE_S)
        return Offer("open", 1, None, 1, "", None, False, self._now(), ledger=echo)

    def send_update(self, body, step):
        updates, now = self.server.store.updates, self._now()
        round_id, sha256 = int.from_bytes(body[8:]), hashlib.sha256(body).hexdigest()
        known = updates.receipt(round_id, self.device_id)
        if known is None:
            updates.add(self.device_id, round_id, body, sha256, sha256, now, step)
        elif known[0] != sha256:
            raise AegisError("ALREADY_CONTRIBUTED", "")
        if self.lose_answer:
            raise UserActionError("OFFLINE", "", "")
        return Receipt(
            "", round_id, self.device_id, sha256, len(body), now, step.count, step.after, "00"
        )


async def _at_once(call):
    return call()


@contextmanager
def _answers_of_the_network():
    try:
        yield
    except BusyError as error:
        raise ReservedError(error.retry_after_s) from error
