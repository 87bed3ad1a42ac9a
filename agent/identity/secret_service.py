"""Asks the Secret Service (GNOME Keyring, KWallet) over D-Bus whether its collection is open.

keyring's own backend unlocks the collection on each call, which would raise a prompt that nobody
asked for. So the state is read first.
"""

from contextlib import closing

from agent.identity.errors import keyring_absent, keyring_locked


def check_open() -> None:
    """Raise KEYRING_LOCKED or KEYRING_ABSENT unless the default collection is open. No prompt."""
    import secretstorage
    from secretstorage.exceptions import ItemNotFoundException

    with closing(secretstorage.dbus_init()) as bus:
        try:
            collection = secretstorage.Collection(bus)
        except ItemNotFoundException as error:
            raise keyring_absent("This login has no default keyring yet.") from error
        if collection.is_locked():
            raise keyring_locked("the collection is locked")


def unlock() -> None:
    """Raise the prompt and wait for the person. Raises KEYRING_LOCKED if they close it."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        collection = secretstorage.get_default_collection(bus)
        if collection.is_locked():
            collection.unlock()
        if collection.is_locked():
            raise keyring_locked("the prompt was closed")
