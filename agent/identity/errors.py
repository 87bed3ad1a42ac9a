"""The errors of this package, each with its code and remedy."""

from agent.errors import OperatorActionError, UserActionError


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
        "Unlock it (log in, press Unlock, or run aegis unlock); AegisAI then continues by itself.",
        detail,
    )


def keyring_item_locked(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_ITEM_LOCKED",
        "The keyring asks before it lets AegisAI use its entry.",
        "Press Unlock, or run aegis unlock, and allow it in the keyring's window; let the keyring"
        " remember the answer.",
        detail,
    )


def keyring_prompt_closed(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_PROMPT_CLOSED",
        "The keyring's question was closed without a yes.",
        "Press Unlock, or run aegis unlock, when you want to answer it.",
        detail,
    )


def keyring_prompt_open(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_PROMPT_OPEN",
        "The keyring is asking you a question.",
        "Answer it in the keyring's window; AegisAI then continues by itself.",
        detail,
    )


def keyring_prompt_unanswered(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_PROMPT_UNANSWERED",
        "Nobody answered the keyring's question in time.",
        "Press Unlock, or run aegis unlock, when you want to answer it.",
        detail,
    )


_CREATE_DEFAULT = (
    "Press Create a default keyring, or run aegis unlock. Or set a default keyring in the"
    " keyring's own program."
)


def keyring_no_default(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_NO_DEFAULT",
        "A keyring service is running, but it has no default keyring.",
        _CREATE_DEFAULT,
        detail,
    )


def keyring_default_gone(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_DEFAULT_GONE",
        "A keyring service is running, but its default keyring no longer exists.",
        _CREATE_DEFAULT,
        detail,
    )


def keyring_absent(message: str, detail: str = "") -> UserActionError:
    remedy = (
        "Start a keyring service (GNOME Keyring, KWallet), or choose key_store = credential or"
        " passphrase in the settings."
    )
    return UserActionError("KEYRING_ABSENT", message, remedy, detail)


def keyring_timeout(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_TIMEOUT",
        "The keyring did not answer in time.",
        "AegisAI tries again. If this stays, restart the keyring, or log in again.",
        detail,
    )


def keyring_denied(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_DENIED",
        "The keyring refused.",
        "Allow AegisAI to use its entry in the keyring, then try again.",
        detail,
    )


def passphrase_missing() -> UserActionError:
    return UserActionError(
        "PASSPHRASE_MISSING",
        "The key store's passphrase is needed.",
        "Start aegis run from a terminal and type it, or name a file with --passphrase-file.",
    )


def passphrase_wrong() -> UserActionError:
    return UserActionError(
        "PASSPHRASE_WRONG",
        "The passphrase is wrong.",
        "Start the command again and type the passphrase that you chose.",
    )


def passphrases_differ() -> UserActionError:
    return UserActionError(
        "PASSPHRASES_DIFFER",
        "The two passphrases differ.",
        "Start the command again and type the same one twice. Nothing was stored.",
    )


def credential_wrong() -> OperatorActionError:
    return OperatorActionError(
        "CREDENTIAL_WRONG",
        "The service's credential does not open the key store.",
        "Give the service the credential with which this device joined.",
    )


def key_store_damaged(detail: str) -> UserActionError:
    return UserActionError(
        "KEY_STORE_DAMAGED",
        "The key store's file is damaged.",
        "Restore keystore.aead from a backup, or erase and ask the operator for a new invitation.",
        detail,
    )
