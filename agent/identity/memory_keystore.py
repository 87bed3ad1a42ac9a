"""A key store in this process's memory, for homes that a demonstration made and for tests."""

from agent.identity.keystore import KeyStoreFacts


class MemoryKeyStore:
    """Forgets everything when the process ends."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self._secrets.get(name)

    def put(self, name: str, secret: bytes) -> None:
        self._secrets[name] = secret

    def delete(self, name: str, *, may_prompt: bool = False) -> None:  # noqa: ARG002 - protocol
        self._secrets.pop(name, None)

    def unlock(self) -> None:
        """Do nothing: memory has no lock."""

    def describe(self) -> KeyStoreFacts:
        return KeyStoreFacts("memory", "memory of this process")
