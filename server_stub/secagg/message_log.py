"""Holds every device to its first message of each kind."""

from hashlib import sha256

from agent.errors import PeerError


class MessageLog:
    """Remembers the digest of each accepted message, by kind and device, but not its body."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], bytes] = {}

    def is_repeat(self, kind: str, device_id: str, body: bytes) -> bool:
        """Whether exactly this message was accepted before: a device repeats it when the answer got
        lost.

        Raises PeerError ALREADY_CONTRIBUTED for a second, different message of the same kind.
        """
        digest = self._digests.get((kind, device_id))
        if digest is not None and digest != sha256(body).digest():
            raise PeerError(
                "ALREADY_CONTRIBUTED",
                "This device has already sent a different message of this kind.",
                "The first one counts.",
            )
        return digest is not None

    def record(self, kind: str, device_id: str, body: bytes) -> None:
        """Remember an accepted message."""
        self._digests[kind, device_id] = sha256(body).digest()

    def has(self, kind: str, device_id: str) -> bool:
        return (kind, device_id) in self._digests

    def remove(self, kind: str, device_id: str) -> None:
        """Let the device send a message of this kind again."""
        self._digests.pop((kind, device_id), None)
