"""Methods that manage the person's settings and the key store that one of them names."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from agent.api.methods import Method, Result
from agent.config.effective import EffectiveConfig
from agent.errors import UserActionError
from agent.identity.key_store_choice import KeyStoreChoice
from agent.reports.policy import policy_view
from agent.rounds.signals import Signals
from agent.status import Status
from agent.transport.blocking import Blocking


@dataclass(frozen=True)
class SettingsMethods:
    """Reads and changes settings, and unlocks the key store."""

    effective: EffectiveConfig
    keys: KeyStoreChoice
    blocking: Blocking
    signals: Signals
    status: Callable[[], Status]

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "settings.get": Method(self.get, {}, {"key": str}),
            "settings.set": Method(self.set, {"key": str, "value": object}),
            "unlock": Method(self.unlock),
        }

    async def get(self, key: str = "") -> Result:
        settings = self.effective.settings()
        entries = (settings.entry(key),) if key else settings.all()
        policy = policy_view(self.effective)
        return {
            "settings": [entry.to_json() for entry in entries],
            "policy": None if policy is None else asdict(policy),
        }

    async def set(self, key: str, value: object) -> Result:
        if key == "key_store":
            # Check first: a refused value must not cost the identity.
            self.effective.settings().check_change(key, value)
            self._discard_unregistered_identity()
        self.effective.set(key, value)
        self.signals.user_changed()
        return self.effective.settings().entry(key).to_json()

    async def unlock(self) -> Result:
        """Ask the operating system to unlock its keyring.

        Call it only for a button that a person pressed: nothing else may open a keyring prompt.
        """
        await self.blocking(self.keys.key_store().unlock)
        self.signals.user_changed()
        return self.status().to_json()

    def _discard_unregistered_identity(self) -> None:
        """Make room for another key store. Raises UserActionError ALREADY_ENROLLED."""
        enrolment = self.effective.enrolment()
        if enrolment is not None and enrolment.is_registered:
            raise UserActionError(
                "ALREADY_ENROLLED",
                "This device's key is in the key store in use.",
                "Run aegis erase first to choose another.",
            )
        self.keys.discard_identity()
