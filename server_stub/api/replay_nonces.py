"""Makes nonces that need no memory until they are spent.

A nonce is an expiry time and random bytes, bound to one device by an HMAC.

1. The key lives in memory only, so a restart ends every earlier nonce, spent or not.
2. Expiry follows the monotonic clock, so setting the machine's clock revives no nonce.
3. Hence spent nonces need no database: they stay in memory until they expire.
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
    """Makes nonces and lets each be spent once. Call it from one thread.

    Only a known device's signed request spends one, and devices are rate-limited: that bounds the
    memory.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = os.urandom(32)
        self._spent: set[str] = set()
        self._spent_before: set[str] = set()
        self._rotated_s = clock.monotonic()

    @property
    def spent_count(self) -> int:
        """How many spent nonces are in memory."""
        return len(self._spent) + len(self._spent_before)

    def make(self, device_id: str) -> str:
        """Make a nonce for a device, valid for LIFE_S."""
        head = (int(self._clock.monotonic()) + LIFE_S).to_bytes(_EXPIRY_BYTES, "big") + os.urandom(
            _RANDOM_BYTES
        )
        return base64.urlsafe_b64encode(head + self._mac(head, device_id)).decode().rstrip("=")

    def spend(self, nonce: str, device_id: str) -> None:
        """Spend a nonce.

        Raises PeerError NONCE_SPENT, or NONCE_EXPIRED: also for one that is not this device's or
        that another process made.
        """
        try:
            raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        now_s = self._clock.monotonic()
        canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=") == nonce
        is_authentic = (
            len(raw) == _LENGTH
            and canonical
            and hmac.compare_digest(mac, self._mac(head, device_id))
        )
        if not is_authentic or int.from_bytes(head[:_EXPIRY_BYTES], "big") <= now_s:
            raise PeerError(
                "NONCE_EXPIRED",
                "The nonce is not valid, or no longer.",
                "Sign the request again with the nonce in Replay-Nonce.",
            )
        if nonce in self._spent or nonce in self._spent_before:
            raise PeerError(
                "NONCE_SPENT",
                "The nonce has already been used.",
                "Sign the request again with the nonce in Replay-Nonce.",
            )
        if now_s - self._rotated_s > LIFE_S:  # The older set has expired as a whole.
            self._spent, self._spent_before, self._rotated_s = set(), self._spent, now_s
        self._spent.add(nonce)

    def _mac(self, head: bytes, device_id: str) -> bytes:
        return hmac.digest(self._key, head + device_id.encode(), hashlib.sha256)[:_MAC_BYTES]
