"""The device's own bounds on a round, checked before anything is trained or sent (P3).

Each refusal has a code, so that the person and the operator see which bound a server tried to
cross.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from agent.errors import PeerError
from agent.privacy.budget import PRODUCT_SPENDING, SpendingCaps
from agent.privacy.plan import GROUP_PROTOCOL, LOCAL_PROTOCOL, least_sensitivity_sq, padded
from agent.privacy.zcdp import UNITS_PER_RHO, rho_units, sent_words
from agent.protocol.limits import MAX_NOISE_UNITS, MIN_NOISE_UNITS
from agent.protocol.messages import Mode, RoundConfig, Task
from agent.protocol.witness import AUTHORITY

MAX_SENSITIVITY_SQ = 2**40
"""Keeps every sum of squares inside 64 bits."""
MAX_ROUND_S = 7 * 24 * 3600
MAX_PHASE_S = 10 * 60
"""A device in a group polls for no longer than this in each phase."""


@dataclass(frozen=True)
class DeviceLimits:
    """The device's own bounds.

    A demonstration or a test sets lower ones for devices that it made, and the status says so.
    """

    min_group: int = 32
    """Fewest devices that advertise in this device's group (U1)."""
    min_sum: int = 20
    """Fewest inputs whose sum may be opened (U3)."""
    gamma_milli: int = 200
    """Share of colluding devices that the noise must account for, in thousandths."""
    max_rho_units: int = UNITS_PER_RHO // 4
    """Highest price of one round, whatever the budget. (ρ = 0.25 is ε = 3.2 at δ = 1e-5.)"""
    spending: SpendingCaps = PRODUCT_SPENDING
    """How fast the budget may go; the budget gate applies it."""

    @property
    def are_for_tests(self) -> bool:
        """Whether groups may be smaller, or noise weaker, than the product's defaults."""
        product = DeviceLimits()
        return (
            self.min_group < product.min_group
            or self.min_sum < product.min_sum
            or self.gamma_milli < product.gamma_milli
        )


def check_task(task: Task, agreed_mode: str, limits: DeviceLimits) -> None:
    """Check that a task is the one that the notice spoke of: the server names it only later.

    Raises PeerError TASK_NOT_AGREED.
    """
    reason = ""
    if task.mode.value != agreed_mode:
        reason = f"you agreed to {agreed_mode}, and it asks for {task.mode.value}"
    elif task.mode is Mode.SECAGG and task.witness != AUTHORITY and not limits.are_for_tests:
        reason = "its draw of groups has no witness, and you agreed to one that has"
    if reason:
        raise PeerError(
            "TASK_NOT_AGREED",
            f"The server asks for another task than the notice says: {reason}.",
            "Nothing was trained or sent. Tell the operator.",
        )


def check_config(config: RoundConfig, task: Task, limits: DeviceLimits) -> None:
    """Check a round. Raises PeerError with the code of the first bound that it crosses."""
    _check_task(config, task)
    _check_shape(config)
    _check_noise(config, limits)
    if config.mode is Mode.SECAGG:
        _check_group(config, limits)


def _check_task(config: RoundConfig, task: Task) -> None:
    _demand(config.task_id == task.task_id, "ROUND_OTHER_TASK", "it belongs to another task")
    _demand(
        config.mode is task.mode,
        "ROUND_MODE",
        f"this device agreed to {task.mode.value}, but the round asks for {config.mode.value}",
    )
    protocol = LOCAL_PROTOCOL if config.mode is Mode.LOCAL else GROUP_PROTOCOL
    _demand(config.protocol == protocol, "ROUND_PROTOCOL", f"expected the protocol {protocol}")
    _demand(
        config.d == task.width, "ROUND_SHAPE", f"expected {task.width} coordinates, got {config.d}"
    )
    _demand(
        config.witness == task.witness,
        "ROUND_WITNESS",
        "its draw of groups is not witnessed as the task demands",
    )
    _demand(
        config.clip == Fraction(task.clip_milli, 1000),
        "ROUND_CLIP",
        "its clipping norm is not the task's",
    )


def _check_shape(config: RoundConfig) -> None:
    _demand(
        config.d_padded == padded(config.d),
        "ROUND_SHAPE",
        f"expected {padded(config.d)} padded coordinates, got {config.d_padded}",
    )
    _demand(
        config.closes_at - config.opens_at <= MAX_ROUND_S,
        "ROUND_TOO_LONG",
        "it stays open for more than a week",
    )
    _demand(
        bool(config.subset_k) == bool(config.subset_seed),
        "ROUND_SHAPE",
        "its subset has no seed or no size",
    )


def _check_noise(config: RoundConfig, limits: DeviceLimits) -> None:
    _demand(
        config.noise_var >= MIN_NOISE_UNITS**2,
        "NOISE_TOO_SMALL",
        f"each device's noise is below {MIN_NOISE_UNITS} units",
    )
    _demand(
        config.noise_var <= MAX_NOISE_UNITS**2,
        "NOISE_TOO_LARGE",
        f"each device's noise is above {MAX_NOISE_UNITS} units",
    )
    # D² must follow from the clipping norm and the grid; a lower one would understate the price.
    units = config.clip / config.grid
    least = least_sensitivity_sq(units, sent_words(config))
    most = (math.ceil(units) + math.isqrt(sent_words(config)) + 1) ** 2
    fits = config.sensitivity_sq <= MAX_SENSITIVITY_SQ and least <= config.sensitivity_sq <= max(
        least, most
    )
    _demand(
        fits, "ROUND_SENSITIVITY", "its sensitivity does not follow from its clipping norm and grid"
    )
    price = rho_units(config)
    _demand(
        price <= limits.max_rho_units,
        "ROUND_TOO_EXPENSIVE",
        "it would cost more privacy than this device spends on one round",
    )


def _check_group(config: RoundConfig, limits: DeviceLimits) -> None:
    _demand(
        config.min_group >= limits.min_group,
        "GROUP_TOO_SMALL",
        f"this device joins only groups of {limits.min_group} devices or more",
    )
    _demand(
        config.min_sum >= limits.min_sum,
        "SUM_TOO_SMALL",
        f"this device allows only sums of {limits.min_sum} inputs or more to be opened",
    )
    least = limits.gamma_milli * config.g_max // 1000
    _demand(
        config.colluders >= least,
        "COLLUDERS_TOO_FEW",
        f"expected noise for {least} colluding devices, got {config.colluders}",
    )
    _demand(config.phase_s > 0, "ROUND_SHAPE", "its phases have no length")
    _demand(
        config.phase_s <= MAX_PHASE_S,
        "PHASE_TOO_LONG",
        f"each of its phases lasts longer than {MAX_PHASE_S} seconds",
    )


def _demand(holds: bool, code: str, reason: str) -> None:
    if not holds:
        raise PeerError(
            code,
            f"The server offers a round that this device refuses: {reason}.",
            "Nothing was sent. Tell the operator.",
        )
