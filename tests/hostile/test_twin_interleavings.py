"""Copies of one device never spend more than one budget, in whatever order they act, crash, lose
answers, are copied and are restored, and whenever the server crashes.
"""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server_stub.rounds.ledger_heads import GRACE_S, LOCAL_LEASE_S
from tests.fakes.twins import PRICE, ROUNDS_PAID, Keys, Twin, TwinServer

MAX_COPIES = 4
PLACES = st.integers(0, MAX_COPIES - 1)


def charged(twin):
    """SHA-256 of the bytes that a ledger has paid for."""
    return {charge.body_sha256 for charge in twin.ledger.charges(as_found=True)}


class Twins(RuleBasedStateMachine):
    """Any history of up to four copies."""

    def __init__(self):
        super().__init__()
        # In memory where there is such a folder: every step waits for the disk.
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = tempfile.TemporaryDirectory(dir=memory)
        self.root = Path(self.folder.name)
        self.server = TwinServer(self.root)
        self.twins = [Twin(self.server, self.root / "home", self.server.new_device(), Keys())]
        self.saved = []
        self.replaced = []
        """The charges of ledgers that a restored copy took the place of."""

    def twin(self, place):
        return self.twins[place % len(self.twins)]

    @rule(place=PLACES)
    def say_ready(self, place):
        self.twin(place).say_ready()

    @rule(place=PLACES)
    def charge(self, place):
        self.twin(place).charge()

    @rule(place=PLACES)
    def get_ready_and_charge(self, place):
        _ = self.twin(place).say_ready() or self.twin(place).charge()

    @rule(place=PLACES, lose_answer=st.booleans())
    def send(self, place, lose_answer):
        self.twin(place).send(lose_answer=lose_answer)

    @rule(place=PLACES)
    def take_part(self, place):
        self.server.next_round()
        twin = self.twin(place)
        _ = twin.say_ready() or twin.charge() or twin.send()

    @rule(place=PLACES)
    def crash(self, place):
        self.twin(place).crash()

    @rule(place=PLACES)
    def copy(self, place):
        if len(self.twins) < MAX_COPIES:
            name = f"copy-{len(self.twins)}"
            self.twins.append(self.twin(place).copy(self.root / name))

    @rule(place=PLACES)
    def back_up(self, place):
        self.saved.append(self.root / f"saved-{len(self.saved)}")
        self.twin(place).save(self.saved[-1])

    @rule(place=PLACES, which=st.integers(0, 9))
    def restore(self, place, which):
        if self.saved:
            self.replaced.append(charged(self.twin(place)))
            self.twin(place).restore(self.saved[which % len(self.saved)])

    @rule(place=PLACES)
    def rejoin(self, place):
        if self.twin(place).ledger.sealed.is_forked:
            self.twin(place).rejoin()

    @rule()
    def server_crashes(self):
        self.server.crash()

    @rule(seconds=st.sampled_from([1, LOCAL_LEASE_S, LOCAL_LEASE_S + GRACE_S]))
    def time_passes(self, seconds):
        self.server.clock.advance(seconds)
        self.server.next_round()

    @invariant()
    def one_copy_at_a_time_is_admitted(self):
        clock = self.server.clock
        admitted = [
            (twin.device_id, twin.admission.head)
            for twin in self.twins
            if twin.admission is not None and twin.admission.holds(clock)
        ]
        assert len(admitted) == len(set(admitted))

    @invariant()
    def one_budget_for_all_copies(self):
        assert len(self.server.accepted()) * PRICE <= ROUNDS_PAID * PRICE

    @invariant()
    def every_update_taken_is_a_charge_of_one_ledger(self):
        taken = set(self.server.accepted())
        ledgers = [*self.replaced, *map(charged, self.twins)]
        assert any(taken <= ledger for ledger in ledgers)

    def teardown(self):
        for twin in self.twins:
            twin.database.close()
        self.server.store.close()
        self.folder.cleanup()


Twins.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_p5_copies_together_spend_one_budget = Twins.TestCase
