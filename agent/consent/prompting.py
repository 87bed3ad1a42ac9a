"""Decides whether a window may open by itself to ask for consent (C17). Pure.

1. While UNASKED: once. While STALE: once for each notice. After a refusal or withdrawal: at most
   once every 12 months.
2. Never when DO_NOT_TRACK is set or a policy forbids taking part. A person can always open the
   dialog; that is not prompting.
"""

from agent.consent.record import ConsentStatus, add_months
from agent.status import ConsentState

QUIET_MONTHS = 12


def may_prompt(
    consent_status: ConsentStatus, notice_id: str, prompted: tuple[str, str, int] | None, now: int
) -> bool:
    """Return whether to prompt now.

    `prompted` is (state, notice id, time) of the last prompt, None for never. Times are in seconds
    since the epoch.
    """
    match consent_status.state:
        case ConsentState.GRANTED:
            return False
        case ConsentState.UNASKED:
            return prompted is None
        case ConsentState.STALE:
            return prompted is None or prompted[:2] != (consent_status.state.value, notice_id)
        case _:
            last = max(
                consent_status.entry.at if consent_status.entry else 0,
                prompted[2] if prompted else 0,
            )
            return now >= add_months(last, QUIET_MONTHS)
