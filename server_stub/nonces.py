"""Nonces that need no memory until they are spent: expiry and random bytes, bound to one device by an HMAC."""

import base64
import binascii
import hashlib
import hmac
import os

from agent.errors import PeerFault

LIFE_S = 60
_EXPIRY_BYTES, _RANDOM_BYTES, _MAC_BYTES = 6, 12, 16
_LENGTH = _EXPIRY_BYTES + _RANDOM_BYTES + _MAC_BYTES


class Nonces:
    """Makes and checks nonces with one secret key; whether one is spent is the store's to know."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, device_id: str, now: int) -> str:
        """A nonce for this device, good for LIFE_S."""
        head = (now + LIFE_S).to_bytes(_EXPIRY_BYTES, "big") + os.urandom(_RANDOM_BYTES)
        return base64.urlsafe_b64encode(head + self._mac(head, device_id)).decode().rstrip("=")

    def check(self, nonce: str, device_id: str, now: int) -> int:
        """When the nonce expires. Raises PeerFault NONCE_EXPIRED, also for one that this server did not make for this device."""
        try:
            raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        expires_at = int.from_bytes(head[:_EXPIRY_BYTES], "big")
        canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=") == nonce
        good = len(raw) == _LENGTH and canonical and hmac.compare_digest(mac, self._mac(head, device_id))
        if not good or not now < expires_at <= now + LIFE_S:
            raise PeerFault("NONCE_EXPIRED", "The nonce is not good, or no longer.", "Ask again with the nonce in Replay-Nonce.")
        return expires_at

    def _mac(self, head: bytes, device_id: str) -> bytes:
        return hmac.digest(self._key, head + device_id.encode(), hashlib.sha256)[:_MAC_BYTES]
