"""Says as reasons why a cycle failed or waited. Pure."""

from dataclasses import replace

from agent.errors import AegisError
from agent.reasons import Reason, ReasonCode
from agent.rounds.outcome import CycleResult, Outcome

KEYRING_REASONS = {
    "KEYRING_LOCKED": ReasonCode.KEYRING_LOCKED,
    "KEYRING_ITEM_LOCKED": ReasonCode.KEYRING_ITEM_LOCKED,
    "KEYRING_PROMPT_OPEN": ReasonCode.KEYRING_ITEM_LOCKED,
    "KEYRING_NO_DEFAULT": ReasonCode.KEYRING_NO_DEFAULT,
    "KEYRING_DEFAULT_GONE": ReasonCode.KEYRING_NO_DEFAULT,
    "KEYRING_ABSENT": ReasonCode.KEYRING_ABSENT,
    "KEYRING_TIMEOUT": ReasonCode.KEYRING_TIMEOUT,
    "KEYRING_DENIED": ReasonCode.KEYRING_DENIED,
    "KEYRING_TOO_LARGE": ReasonCode.KEYRING_TOO_LARGE,
    "CREDENTIAL_MISSING": ReasonCode.KEY_STORE_CLOSED,
    "CREDENTIAL_WRONG": ReasonCode.KEY_STORE_CLOSED,
    "PASSPHRASE_MISSING": ReasonCode.KEY_STORE_CLOSED,
    "PASSPHRASE_WRONG": ReasonCode.KEY_STORE_CLOSED,
    "PASSPHRASES_DIFFER": ReasonCode.KEY_STORE_CLOSED,
    "KEY_STORE_DAMAGED": ReasonCode.KEY_STORE_CLOSED,
}
"""The reason to show for an error of the key store."""
SEEN_WITHOUT_A_CYCLE = frozenset({"NO_CONSENT", "DENIED_BY_POLICY", "NOT_ENROLLED"})
"""Errors whose cause the status sees by itself, so that the memory of them would only grow old."""


def reasons_of(
    error: AegisError | None, result: CycleResult | None, at: int | None
) -> tuple[Reason, ...]:
    """Return why a cycle that ended at `at` failed with `error` or ended with `result`."""
    reasons = []
    if error is not None and error.code not in SEEN_WITHOUT_A_CYCLE:
        reasons.append(_of_error(error))
    if result is not None:
        reasons.extend(result.reasons)
        if result.outcome in (Outcome.NO_ROUND, Outcome.ALREADY_CONTRIBUTED):
            reasons.append(Reason(ReasonCode.NO_ROUND, result.text))
    return tuple(replace(reason, at=at) for reason in reasons)


def _of_error(error: AegisError) -> Reason:
    text = f"{error.message} {error.remedy}".strip()
    code = KEYRING_REASONS.get(error.code)
    if code is ReasonCode.KEY_STORE_CLOSED:
        return Reason(ReasonCode.KEY_STORE_CLOSED, text)
    if code is not None:
        return Reason(code, text)
    if error.code == "OFFLINE":
        return Reason(ReasonCode.OFFLINE, text)
    return Reason(ReasonCode.CYCLE_FAILED, text, reading=error.code)
