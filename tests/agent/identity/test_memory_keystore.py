"""The memory store keeps secrets for as long as it lives, and no longer."""

from agent.identity.memory_keystore import MemoryKeyStore


def test_memory_keeps_and_deletes_secrets():
    store = MemoryKeyStore()
    store.put("n", b"x")
    assert store.get("n") == b"x"
    store.delete("n")
    store.delete("n")
    store.unlock()
    assert store.get("n") is None
    assert store.describe().kind == "memory"


def test_two_stores_share_nothing():
    store = MemoryKeyStore()
    store.put("n", b"x")
    assert MemoryKeyStore().get("n") is None
