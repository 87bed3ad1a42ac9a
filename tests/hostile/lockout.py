"""One device that spoils rounds, or a server that lies, against 40 agents over simulated days.

`python -m tests.hostile.lockout` prints what the honest devices pay and when they take part again.
It takes about a minute. Everything is real but the clock: agents, training, TLS, server.
"""

import asyncio
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from agent.errors import PeerError
from agent.privacy.budget import PRODUCT_SPENDING, Budget
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import epsilon
from agent.protocol.witness import AUTHORITY
from server_stub.rounds.lifecycle import State
from tests.fakes.in_process_fleet import InProcessFleet
from tests.fakes.live_agents import DELTA, LiveAgents
from tests.fakes.spoilers import FalseShares, OutOfRange

HONEST = 40
BUDGET = Budget(1.0, DELTA, 365, 3.0)


@dataclass(frozen=True)
class Line:
    """One attempt to hold a round."""

    hours: float
    """Since the first one."""
    liar: str
    ended: str
    """How the server's round ended; "" where none began."""
    sitting_out: int
    charged: int
    """Honest agents that paid."""
    epsilon: float
    """Of the honest agent that has paid most."""
    waiting: dict
    """Reasons of the honest agents that wait: code -> hours until it ends by itself."""

    def text(self):
        waits = "; ".join(
            f"{code} until hour {end:.1f}" if end is not None else code
            for code, end in sorted(self.waiting.items())
        )
        return (
            f"hour {self.hours:5.1f}  {self.liar:13} {self.ended or 'no round':28}"
            f" {self.sitting_out:2} sit out, {self.charged:2} paid, ε {self.epsilon:.3f}"
            + (f"  waiting: {waits}" if waits else "")
        )


class Lockout:
    """The agents, the liars, and what happened so far."""

    def __init__(self, agents, liars, show=lambda line: None):
        """`liars` by name: the devices that the test brings along; at most one lies at a time."""
        self.agents, self.liars, self.show = agents, liars, show
        self.began = agents.clock.now()
        self.lines = []
        self.paid_for_nothing = 0
        """The most that an agent has paid for rounds that gave no model, in units of ρ."""

    async def attempt(self, lying=""):
        """Try to hold a round in which the liar of this name lies, if it is let in."""
        for name, liar in self.liars.items():
            liar.is_honest = name != lying
        ended = await self.agents.round()
        now = self.agents.clock.now()
        round_ = ended.round
        line = Line(
            (now - self.began) / 3600,
            lying or "nobody lies",
            "" if round_ is None else f"{round_.state}: {round_.note or 'a new model'}",
            0 if round_ is None else round_.record.get("sitting_out", 0),
            ended.charged,
            self.agents.epsilon(),
            {
                code: None if until is None else (until - self.began) / 3600
                for code, until in ended.reasons
                if code != "NO_ROUND"
            },
        )
        self.lines.append(line)
        self.paid_for_nothing = self._paid_for_nothing()
        self.show(line)
        return line

    def wait(self, hours):
        self.agents.clock.advance(round(hours * 3600))

    def _paid_for_nothing(self):
        failed = {
            one.round_id
            for one in self.agents.server.view.rounds.all()
            if one.state is State.ABANDONED
        }
        return max(
            sum(
                charge.rho_units
                for charge in device.agent.ledger.charges()
                if charge.round_id in failed
            )
            for device in self.agents.devices
        )


async def two_failures(folder, show=lambda line: None):
    """The two failures of one liar each, a word out of range and false shares, on one day; then
    nobody lies any more.
    """
    async with LiveAgents(folder, HONEST) as agents:
        server = agents.server
        with ExitStack() as stack:
            liars = {
                "out of range": stack.enter_context(OutOfRange(server.enrol())),
                "false shares": stack.enter_context(FalseShares(server.enrol())),
            }
            lockout = Lockout(agents, liars, show)
            await lockout.attempt("out of range")
            lockout.wait(0.5)
            await lockout.attempt("false shares")
            lockout.wait(0.5)
            await lockout.attempt()
            lockout.wait(23.5)
            await lockout.attempt()
        return lockout


async def a_liar_that_goes_on(folder, show=lambda line: None, days=3):
    """A liar that spoils every round without a trace until chance leaves it out, or the agents have
    paid their share for the model.
    """
    async with LiveAgents(folder, HONEST) as agents:
        with OutOfRange(agents.server.enrol()) as liar:
            lockout = Lockout(agents, {"out of range": liar}, show)
            for _ in range(days):
                for _ in range(3):
                    line = await lockout.attempt("out of range")
                    if line.ended.startswith(State.DONE):
                        return lockout
                    lockout.wait(1)
                lockout.wait(21.5)
        return lockout


class LyingServer:
    """An aggregator whose rounds all break off once every agent has paid."""

    def __init__(self, fleet, show=lambda text: None):
        self.fleet, self.show = fleet, show
        self.began = fleet.clock.now()
        self.history = []
        """(hours since the beginning, units paid) of the first agent."""
        fleet.server.options |= {"g_max": HONEST, "min_group": 32, "min_sum": 24}
        fleet.server.options |= {"gamma_milli": 200}
        fleet.server.task = replace(fleet.server.task, witness=AUTHORITY)
        fleet.server.lies["masked"] = self._break_off

    @staticmethod
    def _break_off(*_):
        raise PeerError("ROUND_CLOSED", "The group ended.", "")

    async def offer(self, parts, *, new_model=False):
        """Offer a round that costs the budget divided by `parts`; return how the agents answer."""
        server = self.fleet.server
        server.price = BUDGET.rho_units // parts
        if new_model:
            server.next_round()
        else:
            server.same_model_again()
        before = self._spent()
        # The poll of the last one announces the round to all.
        await self.fleet.train_all_but_last()
        results = await self.fleet.run_cycles(group_wait_s=60)
        paid = [new - old for new, old in zip(self._spent(), before, strict=True)]
        hours = (self.fleet.clock.now() - self.began) / 3600
        self.history.append((hours, paid[0]))
        reasons = {reason.code.value for one in results for reason in one.reasons}
        self.show(
            f"hour {hours:5.1f}  a round for 1/{parts} of the budget"
            f"{' on a new model' if new_model else '':16} {sum(map(bool, paid)):2} paid, ε"
            f" {epsilon(max(self._spent()), DELTA):.3f}  {' '.join(sorted(reasons))}"
        )
        return sum(map(bool, paid)), reasons

    def wait(self, hours):
        self.fleet.clock.advance(round(hours * 3600))

    def _spent(self):
        return [
            sum(charge.rho_units for charge in device.agent.ledger.charges())
            for device in self.fleet.devices
        ]


async def a_lying_server(folder, show=lambda text: None):
    """Offers that cost too much at once, then rounds that all break off after the charge."""
    fleet = InProcessFleet(folder, HONEST, limits=DeviceLimits)
    try:
        server, answers = LyingServer(fleet, show), []
        await fleet.join()
        answers.append(await server.offer(1))
        server.wait(24)
        for _ in range(3):
            for _ in range(3):
                answers.append(await server.offer(20))
                server.wait(1)
            server.wait(21)
        answers.append(await server.offer(20, new_model=True))
        return server, answers
    finally:
        fleet.close()


def _show(line):
    print(line.text(), flush=True)


def _summary(lockout):
    paid, caps = lockout.paid_for_nothing, PRODUCT_SPENDING
    parts = {"a day": caps.day_parts, "a model": caps.model_parts}
    most = ", ".join(
        f"1/{part} {name} = ε {epsilon(BUDGET.rho_units // part, DELTA):.3f}"
        for name, part in parts.items()
    )
    print(
        f"paid for nothing: at most {paid / BUDGET.rho_units:.1%} of the period's ρ"
        f" (ε {epsilon(paid, DELTA):.3f}); caps: {most}\n"
    )


async def main():
    print(f"A lying server: {HONEST} agents")
    with tempfile.TemporaryDirectory() as folder:
        await a_lying_server(Path(folder), lambda text: print(text, flush=True))
    print()
    for title, scenario in (
        ("Two failures on one day", two_failures),
        ("A liar that goes on", a_liar_that_goes_on),
    ):
        print(f"{title}: {HONEST} honest agents")
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            _summary(await scenario(Path(folder), _show))
        print(f"({time.monotonic() - began:.0f} s)\n")


if __name__ == "__main__":
    asyncio.run(main())
