"""300 random histories of one ledger: rounds at any price, new models, restarts, and a clock that
people set back and forth. The server's signed time is right.

The time that has truly passed judges: no period, no life, no model and no round costs more than its
share, and no charge is below the exact price.
"""

import random
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.errors import OperatorActionError
from agent.privacy.budget import DAY_S, PRODUCT_SPENDING, Budget
from agent.privacy.plan import plan_local, plan_secagg
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import UNITS_PER_RHO
from agent.protocol.messages import Mode, Task
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.outbox import Outbox
from agent.store.database import Database
from agent.store.head import LedgerHead
from agent.store.ledger import Ledger
from agent.store.ledger_key import LedgerKey
from agent.store.values import Values
from agent.transport.server_clock import ServerClock
from tests.fakes.clock import FakeClock
from tests.fakes.rounds import round_identity

HISTORIES, STEPS = 300, 70
BUDGET = Budget(1.0, 1e-5, 365, 2.0)
ROUND = BUDGET.rho_units // PRODUCT_SPENDING.round_parts
MODEL = BUDGET.rho_units // PRODUCT_SPENDING.model_parts
YEAR_S = 365 * DAY_S
BODY = b"a sealed update"


@dataclass(frozen=True)
class Paid:
    truly: int
    units: int
    model: int
    exact: Fraction


class Effective:
    """What the gate asks of the settings."""

    def budget(self):
        return BUDGET

    def task(self):
        return {"task_id": "t"}

    def settings(self):
        return SimpleNamespace(integer=lambda name: 10**9)


class History:
    """One device, its clock, and the time that truly passes."""

    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.folder = folder
        self.truly = 1_800_000_000
        self.clock = FakeClock(self.truly)
        self.starts = self.model = self.round = 1
        self.may_lose_days = False
        self.paid = []
        self.is_sealed = False
        self.open()

    def open(self):
        """Start the program on what the disk holds."""
        self.database = Database(self.folder / "agent.sqlite3")
        self.ledger = Ledger(self.database, LedgerHead(self.folder / "ledger-head"))
        self.ledger.sealed.open(LedgerKey(bytes(32)), self.clock.now(), was_sealed=self.is_sealed)
        self.is_sealed = True
        values = Values(self.database, "value")
        self.agreed = AgreedClock(self.clock, values)
        self.gate = BudgetGate(self.clock, Effective(), self.ledger, values, DeviceLimits)
        server_clock = ServerClock(self.clock)
        self.outbox = Outbox(self.clock, server_clock, self.agreed, self.ledger, None)

    def step(self):
        act = self.rng.choices(
            (self.wait, self.set_clock, self.restart, self.publish, self.offer),
            (36, 5, 3, 18, 38),
        )[0]
        act()

    def wait(self):
        seconds = self.rng.choice((3600, DAY_S, DAY_S + 600, 2 * DAY_S))
        if self.rng.random() < 0.05:
            seconds = int(10 ** self.rng.uniform(3, 7.5))
        self.truly += seconds
        self.clock.advance(seconds)

    def set_clock(self):
        self.clock.set(int(self.rng.choice((-1, 1)) * 10 ** self.rng.uniform(2, 8)))

    def restart(self):
        off = self.clock.wall != self.truly
        self.may_lose_days = self.may_lose_days or off
        if self.rng.random() < 0.5:
            self.clock.wall = self.truly
        self.starts += 1
        self.clock.restart_machine(str(self.starts))
        self.database.close()
        self.open()

    def publish(self):
        self.model += 1

    def offer(self):
        """The server offers a round at any price; the device pays where its gate allows it."""
        self.round += 1
        config = self.plan()
        if config is None:
            return
        self.agreed.note(self.truly)
        refused = self.gate.refusal("t", config.model_version, config.model_digest, config)
        if refused is not None:
            return
        head = self.ledger.shown_heads().head
        self.outbox.charge(config, f"{self.round:032x}", BODY, config.closes_at, head)
        honest = config.min_sum - config.colluders
        exact = Fraction(config.sensitivity_sq, 2 * config.noise_var * honest)
        units = self.ledger.charges()[-1].rho_units
        self.paid.append(Paid(self.truly, units, self.model, exact))

    def plan(self):
        mode = self.rng.choice((Mode.LOCAL, Mode.SECAGG))
        task = Task("t", "s", "logistic", self.rng.choice((1, 4, 116)), mode, 10, 100, 1000, 1)
        digest = f"{self.model:064x}"
        identity = round_identity(
            round_id=self.round, model_version=self.model, model_digest=digest
        )
        price = int(ROUND * self.rng.choice((0.8, 1.0, 1.0, 1.0, 1.2)))
        try:
            if mode is Mode.LOCAL:
                return plan_local(task, identity, rho_units_per_round=price)
            return plan_secagg(task, identity, rho_units_per_round=price, g_max=40)
        except OperatorActionError:
            return None

    def check(self):
        charged = [charge.rho_units for charge in self.ledger.charges()]
        assert charged == [one.units for one in self.paid]
        for one in self.paid:
            assert one.exact * UNITS_PER_RHO <= one.units <= ROUND
            assert self.spent_in(one, YEAR_S) <= BUDGET.rho_units
            assert self.may_lose_days or self.spent_in(one, DAY_S) <= ROUND
            assert self.spent_in(one, DAY_S) <= ROUND * self.starts
        for model in {one.model for one in self.paid}:
            assert sum(one.units for one in self.paid if one.model == model) <= MODEL
        assert sum(charged) <= BUDGET.lifetime_rho_units

    def spent_in(self, last, length_s):
        return sum(
            one.units for one in self.paid if last.truly - length_s < one.truly <= last.truly
        )


@pytest.fixture
def memory_folder(tmp_path):
    """A folder in memory where there is one: thousands of durable writes would wait for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.system
def test_p4_p5_caps_and_periods_hold_in_random_histories_of_a_wrong_clock(memory_folder):
    charges = full = 0
    for seed in range(HISTORIES):
        folder = memory_folder / str(seed)
        folder.mkdir()
        history = History(folder, seed)
        for _ in range(STEPS):
            history.step()
        history.check()
        history.database.close()
        charges += len(history.paid)
        full += any(
            history.spent_in(one, YEAR_S) > BUDGET.rho_units - ROUND for one in history.paid
        )
    # The histories are worth something: many devices have spent all that a period gives.
    assert charges > 8 * HISTORIES
    assert full > HISTORIES // 10
