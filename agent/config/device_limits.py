"""The bounds that this device holds a round to: the product's, or lower ones in a demo's home.

1. Only the mark file of a demo's home can lower them, with JSON {"min_group", "min_sum",
   "gamma_milli", "spends_fast"}; no setting, policy or server can. `spends_fast` says that the
   whole budget may go in a day (agent.privacy.budget.FAST_SPENDING).
2. Lower bounds count only towards a server on this machine, and every status says so in words.
3. A mark that cannot be read lowers nothing.
"""

import json
import logging

from agent.consent.gate import LOOPBACK_HOSTS
from agent.files import atomic_file
from agent.paths import Home
from agent.privacy.budget import FAST_SPENDING
from agent.privacy.policy import DeviceLimits

log = logging.getLogger(__name__)

MAX_MARK_BYTES = 4096


def limits_for(home: Home, server_host: str) -> DeviceLimits:
    """Return this device's bounds towards the server at `server_host`."""
    product = DeviceLimits()
    if server_host not in LOOPBACK_HOSTS or not home.is_demo:
        return product
    try:
        content = atomic_file.read(home.demo_mark, MAX_MARK_BYTES)
        if not content:
            return product
        mark = json.loads(content)
        values = [mark.pop(name) for name in ("min_group", "min_sum", "gamma_milli")]
        spends_fast = mark.pop("spends_fast", False)
        if type(spends_fast) is not bool:
            raise ValueError("expected true or false")
        if mark or not all(type(value) is int for value in values):
            raise ValueError("expected three integers")
        min_group, min_sum, gamma_milli = values
        if not (2 <= min_sum <= min_group and 0 <= gamma_milli < 1000):
            raise ValueError("out of range")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("device_limits.mark_unreadable error=%s", type(error).__name__)
        return product
    return DeviceLimits(
        min_group=min_group,
        min_sum=min_sum,
        gamma_milli=gamma_milli,
        max_rho_units=product.max_rho_units,
        spending=FAST_SPENDING if spends_fast else product.spending,
    )


def mark_demo(home: Home, limits: DeviceLimits | None) -> None:
    """Mark `home` as one that the demo made, with these bounds (None: the product's)."""
    if limits is None:
        atomic_file.touch(home.demo_mark)
        return
    content = {
        "min_group": limits.min_group,
        "min_sum": limits.min_sum,
        "gamma_milli": limits.gamma_milli,
        "spends_fast": limits.spending.are_for_tests,
    }
    atomic_file.write(home.demo_mark, json.dumps(content).encode())


def in_words(limits: DeviceLimits) -> str:
    """Return what a status says about lower bounds on groups; empty for the product's."""
    if not limits.are_for_tests:
        return ""
    return f"test floor: groups of {limits.min_group}, sums of {limits.min_sum}"


def spending_in_words(limits: DeviceLimits) -> str:
    """Return what a status says about faster spending; empty for the product's caps."""
    if not limits.spending.are_for_tests:
        return ""
    return "This device may spend its whole privacy budget in a day, for a demonstration or a test."
