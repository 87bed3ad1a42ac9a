"""The errors of a ledger that cannot be relied on. With each of them it counts as spent."""

from agent.errors import UserActionError


def forked_error() -> UserActionError:
    """The aggregator knows charges that this ledger lacks: another copy of the home made them."""
    return UserActionError(
        "LEDGER_FORKED",
        "Another copy of this device has taken part since, so this one no longer may.",
        "Ask the operator for a new invitation and run aegis enroll INVITATION. What was spent"
        " stays spent: this copy then waits for one budget period.",
    )


def set_back_error() -> UserActionError:
    """The ledger lacks charges that its recorded head names."""
    return UserActionError(
        "LEDGER_SET_BACK",
        "The ledger of privacy charges was set back to an older state, so it counts as spent.",
        "Restore the newest copy of this home, or run aegis erase and join again.",
    )


def missing_error() -> UserActionError:
    """The key store knows of a sealed ledger, and there is none."""
    return UserActionError(
        "LEDGER_MISSING",
        "The ledger of privacy charges is missing, or its seals are, so it counts as spent.",
        "Restore the newest copy of this home, or run aegis erase and join again.",
    )


def altered_error(number: int) -> UserActionError:
    """A charge is not the one that this device sealed."""
    return UserActionError(
        "LEDGER_ALTERED",
        f"Something other than AegisAI wrote the ledger of privacy charges at entry {number}, so"
        " it counts as spent.",
        "Restore the newest copy of this home, or run aegis erase and join again.",
    )
