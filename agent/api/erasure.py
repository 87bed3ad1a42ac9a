"""Erases everything about this device, here at once and at the server until it confirms (P2, C18).

1. Read from the identity what the server needs (device id, erase secret). Stop work, turn consent
   off, and remove trained updates, models and logs, which makes room on a full disk.
2. Store the request in a small file, or send it at once where the disk has no room for it. Then
   remove key, certificate, samples, settings and records.
3. Send the request under the leave permit. Every later run repeats it until the server confirms;
   then its file goes too. A locked key store is asked again in the same way to delete its part,
   which by then opens nothing.

A key store that does not open stops an erasure at step 1, with nothing changed. The person can
still erase *here only*; then the server's part stays, and the answer says so.
"""

import logging
from dataclasses import dataclass
from typing import Any

from agent.api.erase_request import EraseRequest, EraseRequests, IdentityLostError
from agent.api.local_data import LocalData
from agent.config.effective import EffectiveConfig
from agent.errors import AegisError, UserActionError
from agent.files.disk_errors import explained
from agent.identity.key_store_choice import KeyStoreChoice
from agent.rounds.cycles import Cycles
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.store.values import Values
from agent.transport.blocking import Blocking

log = logging.getLogger(__name__)

ERASING = "erasing"
"""Key of a value that is stored from the first step of an erasure to the last."""


@dataclass(frozen=True)
class Erasure:
    """Erases, and finishes an erasure that could not complete."""

    values: Values
    effective: EffectiveConfig
    keys: KeyStoreChoice
    requests: EraseRequests
    local_data: LocalData
    runner: RoundRunner
    cycles: Cycles
    blocking: Blocking
    signals: Signals

    async def erase(self, *, here_only: bool = False) -> dict[str, Any]:
        """Erase everything; with `here_only`, what is on this computer, without opening any key.

        `pending`: the server has not confirmed yet, or the key store still holds its part.
        `registered`: a server knew this device, so there was something to erase there.
        `server_cannot_be_told`: the identity is lost, so the server's part stays.

        Raises UserActionError HOME_READ_ONLY or the errors of a key store that does not open now
        before anything is changed, because the server could not be asked afterwards; and
        ERASE_INCOMPLETE where the request can neither be stored nor delivered.
        """
        self.local_data.check_writable()
        request, is_lost = None, False
        try:
            if here_only:
                is_lost = self.requests.is_known
            else:
                request = await self.requests.prepare()
        except IdentityLostError:
            is_lost = True
        registered = request is not None or is_lost or self.requests.is_waiting
        await self.runner.stop()
        self.local_data.make_room()
        if request is not None and not await self._is_safe(request):
            raise _incomplete()
        try:
            self.values.put(ERASING, True)
        except AegisError as error:
            log.warning("erase.not_noted code=%s", error.code)
        await self.blocking(self._destroy_identity)
        try:
            self._remove_local_data()
        except OSError as error:
            raise explained(error) from error
        if self._has_remnant() and not here_only:  # the person is here: the keyring may ask them
            await self.blocking(lambda: self._destroy_identity(may_prompt=True))
        pending = not await self.resume() or self.keys.has_identity()
        self.signals.user_changed()
        return {"pending": pending, "registered": registered, "server_cannot_be_told": is_lost}

    async def _is_safe(self, request: EraseRequest) -> bool:
        """Store the request; where the disk has no room for it, the server has to hear it now."""
        return self.requests.store(request) or await self.requests.send(request)

    def finish(self) -> None:
        """Finish an erasure that a crash interrupted. Call it before anything else.

        Raises UserActionError HOME_UNUSABLE.
        """
        if not self.values.get(ERASING):
            return
        try:
            self._destroy_identity()
            self._remove_local_data()
        except OSError as error:
            raise UserActionError(
                "HOME_UNUSABLE",
                f"An interrupted erasure could not be finished ({error.strerror}).",
                "Make the folder of AegisAI's own files writable, or remove it.",
                str(error),
            ) from error

    async def resume(self) -> bool:
        """Ask the server and the key store again; return whether nothing is left to do."""
        if self._has_remnant():
            await self.blocking(self._destroy_identity)
        return await self.requests.deliver() and not self._has_remnant()

    def _remove_local_data(self) -> None:
        self.local_data.remove()
        self.cycles.forget()

    def _has_remnant(self) -> bool:
        """Whether the key store still holds the key of an identity that is gone."""
        if self.effective.enrolment() is not None or not self.keys.has_identity():
            return False
        try:
            return self.keys.identity_file().is_remnant()
        except AegisError:
            return False

    def _destroy_identity(self, *, may_prompt: bool = False) -> None:
        """Delete the identity's file in any case.

        A wrapping key that the keyring does not delete opens nothing; `resume` tries again.
        """
        try:
            self.keys.destroy_identity(may_prompt=may_prompt)
        except (AegisError, OSError) as error:
            log.warning("erase.keyring_kept error=%s", error)


def _incomplete() -> UserActionError:
    return UserActionError(
        "ERASE_INCOMPLETE",
        "AegisAI is off, and models and logs are deleted. The rest waits: the disk has no room for"
        " the request to the server, and the server cannot be reached.",
        "Free some disk space, then run aegis erase again.",
    )
