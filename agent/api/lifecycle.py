"""Methods about what the agent does now: status, pause, run, quit."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from agent.api.methods import Method, Result
from agent.clock import Clock
from agent.config.pause import Pause
from agent.consent.gate import Gate
from agent.errors import UserActionError
from agent.reports.doctor import Doctor
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.status import Status

MAX_PAUSE_S = 366 * 24 * 3600


@dataclass(frozen=True)
class LifecycleMethods:
    """Shows what the agent does, and changes it."""

    clock: Clock
    gate: Gate
    pause_state: Pause
    runner: RoundRunner
    signals: Signals
    doctor: Doctor
    status: Callable[[], Status]

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "status": Method(self.show_status),
            "pause": Method(self.pause, {}, {"seconds": int, "until": int}),
            "resume": Method(self.resume),
            "run_now": Method(self.run_now),
            "discard": Method(self.discard),
            "doctor": Method(self.run_doctor, {}, {"policy": str}),
            "quit": Method(self.quit),
        }

    async def show_status(self) -> Result:
        return self.status().to_json()

    async def pause(self, seconds: int | None = None, until: int | None = None) -> Result:
        """Pause for a time, until a time, or until resumed."""
        now = self.clock.now()
        if seconds is not None:
            until = now + seconds
        if until is not None and not now < until <= now + MAX_PAUSE_S:
            raise UserActionError(
                "BAD_VALUE", "A pause lasts from 1 second to 366 days.", "Nothing was changed."
            )
        await self.runner.pause(lambda: self.pause_state.begin(until))
        self.signals.user_changed()
        return await self.show_status()

    async def resume(self) -> Result:
        self.pause_state.end()
        self.signals.user_changed()
        return await self.show_status()

    async def run_now(self) -> Result:
        self.gate.permit()
        self.signals.run_now()
        return await self.show_status()

    async def discard(self) -> Result:
        await self.runner.discard()
        self.signals.user_changed()
        return await self.show_status()

    async def run_doctor(self, policy: str = "") -> Result:
        """Check this computer, or only what it would make of a policy with this content."""
        if policy:
            checks, all_count = self.doctor.checks_of_policy(policy)
            return {"checks": [asdict(check) for check in checks], "policy_counts": all_count}
        return {"checks": [asdict(check) for check in await self.doctor.checks()]}

    async def quit(self) -> Result:
        self.signals.request_quit()
        return {}
