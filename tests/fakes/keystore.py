"""A key store in memory that a test can look into."""

from agent.identity.memory_keystore import MemoryKeyStore


class RecordingKeyStore(MemoryKeyStore):
    """Knows the names of its secrets."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def put(self, name, secret):
        super().put(name, secret)
        self.names.add(name)

    def delete(self, name, *, may_prompt=False):
        super().delete(name, may_prompt=may_prompt)
        self.names.discard(name)
