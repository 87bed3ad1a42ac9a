"""Nonces that need no memory until they are spent: expiry and random bytes, bound to one device by
an HMAC.

The key is drawn at the start and kept nowhere, so a restart ends every nonce of before, spent or
not; the clock is the monotonic one, so setting the machine's clock brings none back. That is why
spent nonces need no place in the database (and no write to the disk).
"""

import base64
import binascii
import hashlib
import hmac
import os

from agent.clock import Clock
from agent.errors import PeerError

LIFE_S = 60
_EXPIRY_BYTES, _RANDOM_BYTES, _MAC_BYTES = 6, 12, 16
_LENGTH = _EXPIRY_BYTES + _RANDOM_BYTES + _MAC_BYTES


class Nonces:
    """Makes nonces, and lets each be spent once. Call from one thread.

    Only what a known device has signed is spent, at the rate that devices are allowed: that bounds
    the memory.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = os.urandom(32)
        self._spent: set[str] = set()
        self._spent_before: set[str] = set()
        self._turned_at = clock.monotonic()

    @property
    def held(self) -> int:
        """How many spent ones are remembered."""
        return len(self._spent) + len(self._spent_before)

    def make(self, device_id: str) -> str:
        """A nonce for this device, good for LIFE_S."""
        head = (int(self._clock.monotonic()) + LIFE_S).to_bytes(_EXPIRY_BYTES, "big") + os.urandom(
            _RANDOM_BYTES
        )
        return base64.urlsafe_b64encode(head + self._mac(head, device_id)).decode().rstrip("=")

    def spend(self, nonce: str, device_id: str) -> None:
        """Raises PeerError NONCE_EXPIRED, also for one that was not made here for this device, and
        NONCE_SPENT.
        """
        try:
            raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        now_s = self._clock.monotonic()
        canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=") == nonce
        good = (
            len(raw) == _LENGTH
            and canonical
            and hmac.compare_digest(mac, self._mac(head, device_id))
        )
        if not good or int.from_bytes(head[:_EXPIRY_BYTES], "big") <= now_s:
            raise PeerError(
                "NONCE_EXPIRED",
                "The nonce is not good, or no longer.",
                "Ask again with the nonce in Replay-Nonce.",
            )
        if nonce in self._spent or nonce in self._spent_before:
            raise PeerError(
                "NONCE_SPENT",
                "The nonce was used before.",
                "Ask again with the nonce in Replay-Nonce.",
            )
        if now_s - self._turned_at > LIFE_S:  # whatever was spent before the last turn has expired
            self._spent, self._spent_before, self._turned_at = set(), self._spent, now_s
        self._spent.add(nonce)

    def _mac(self, head: bytes, device_id: str) -> bytes:
        return hmac.digest(self._key, head + device_id.encode(), hashlib.sha256)[:_MAC_BYTES]
