"""The errors of this package, each with its code and remedy."""

from agent.errors import UserActionError


def not_enrolled() -> UserActionError:
    return UserActionError(
        "NOT_ENROLLED",
        "This device is not enrolled.",
        "Paste an invitation, or ask the operator for one.",
    )


def identity_damaged(detail: str) -> UserActionError:
    return UserActionError(
        "IDENTITY_DAMAGED",
        "This device's identity cannot be opened.",
        "Erase it and ask the operator for a new invitation.",
        detail,
    )


def keyring_locked(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_LOCKED",
        "The keyring is locked.",
        "Unlock it (log in, or press Unlock); AegisAI then continues by itself.",
        detail,
    )


def keyring_absent(message: str, detail: str = "") -> UserActionError:
    remedy = (
        "Start a keyring service (GNOME Keyring, KWallet), or choose key_store = credential or"
        " passphrase in the settings."
    )
    return UserActionError("KEYRING_ABSENT", message, remedy, detail)


def keyring_denied(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_DENIED",
        "The keyring refused.",
        "Allow AegisAI to use its entry in the keyring, then try again.",
        detail,
    )
