"""Chooses the integers of a round: grid, sensitivity, noise and word size, from a task and the
price of one round.

1. The grid step is γ = C/G: G whole units per clipping norm, so everything that follows is integer
   arithmetic.
2. D² = G² + k/4 + (G + √k/2), k words sent: the bound of conditional rounding (Kairouz, Liu,
   Steinke 2021, β = e^(-1/2)), rounded up.
3. Local: s² = D²/(2ρ). Sum: s² = D²/(2ρ(m - c)), m - c honest inputs carry the whole noise. G is
   made smaller where s would pass the end of the noise table, larger where s would fall below the
   least noise.
4. Words hold every honest sum: g_max·D plus eight standard deviations of its noise.
"""

import math
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from agent.errors import OperatorActionError
from agent.privacy.zcdp import UNITS_PER_RHO, rho_units
from agent.protocol.limits import MAX_NOISE_UNITS, MIN_NOISE_UNITS
from agent.protocol.messages import Mode, RoundConfig, Task

LOCAL_PROTOCOL = "LocalUpdate/1"
GROUP_PROTOCOL = "GroupSecAgg/2"
MAX_BLOCK = 2**11
"""Longest block that is rotated at once."""
HEADROOM_SD = 8
"""Standard deviations of the sum's noise that fit beside the largest signal."""
WORD_BITS = (16, 20, 24, 32)
UNITS_PER_ROOT = 5
"""G = 5·√k: rounding adds 1 % to the sensitivity and less to the error than the noise does."""


def padded(d: int) -> int:
    """Length of the rotated vector: a power of two up to 2¹¹, then whole blocks of 2¹¹."""
    if d <= MAX_BLOCK:
        return 1 << (d - 1).bit_length()
    return -(-d // MAX_BLOCK) * MAX_BLOCK


def least_sensitivity_sq(units: Fraction, words: int) -> int:
    """D² for a clipping norm of `units` grid steps and `words` rounded coordinates, rounded up."""
    root = math.isqrt(words - 1) + 1
    return math.ceil(units * units + Fraction(words, 4) + units + Fraction(root, 2))


def headroom(config: RoundConfig, count: int) -> int:
    """Largest magnitude that a coordinate of an honest sum of `count` updates has."""
    return count * (math.isqrt(config.sensitivity_sq) + 1) + HEADROOM_SD * (
        math.isqrt(count * config.noise_var) + 1
    )


@dataclass(frozen=True)
class RoundIdentity:
    """What tells one round of a task from the others."""

    round_id: int
    """Strictly increasing for a task."""
    model_version: int
    model_digest: str
    """The model that the round starts from: SHA-256, hex."""
    opens_at: int
    closes_at: int
    """Seconds since the epoch."""
    rotation_seed: str
    """32 bytes, hex; public, drawn anew for each round."""
    subset_k: int = 0
    """Coordinates of the rotated update that each device sends; 0: all."""
    subset_seed: str = ""
    """Draws those coordinates: 32 bytes, hex; "" when all are sent."""


def plan_local(task: Task, identity: RoundIdentity, *, rho_units_per_round: int) -> RoundConfig:
    """Plan a round in `local` mode that costs a device at most `rho_units_per_round`.

    Raises OperatorActionError PRICE_TOO_LOW.
    """
    return _finished(
        task,
        identity,
        rho_units_per_round,
        protocol=LOCAL_PROTOCOL,
        mode=Mode.LOCAL,
        g_max=1,
        min_group=1,
        min_sum=1,
        colluders=0,
        phase_s=0,
    )


def plan_secagg(
    task: Task,
    identity: RoundIdentity,
    *,
    rho_units_per_round: int,
    g_max: int,
    min_group: int = 32,
    min_sum: int = 20,
    gamma_milli: int = 200,
    phase_s: int = 60,
) -> RoundConfig:
    """Plan a round of GroupSecAgg/2 in which one opened sum costs a device at most
    `rho_units_per_round`.

    Choose `min_sum` close to the number of devices that you expect to survive: every survivor
    beyond it adds noise that the price does not need. Raises OperatorActionError PRICE_TOO_LOW,
    GROUP_PLAN (the smallest sum would hold no honest device).
    """
    colluders = gamma_milli * g_max // 1000
    if colluders >= min_sum:
        raise OperatorActionError(
            "GROUP_PLAN",
            f"A sum of {min_sum} updates may hold {colluders} from colluding devices.",
            "Raise the smallest sum.",
        )
    return _finished(
        task,
        identity,
        rho_units_per_round,
        protocol=GROUP_PROTOCOL,
        mode=Mode.SECAGG,
        g_max=g_max,
        min_group=min_group,
        min_sum=min_sum,
        colluders=colluders,
        phase_s=phase_s,
    )


def _finished(task: Task, identity: RoundIdentity, price: int, **fields: Any) -> RoundConfig:
    """Add grid, sensitivity, noise and word size."""
    words = identity.subset_k or padded(task.width)
    honest = fields["min_sum"] - fields["colluders"]
    units = _units(words, 2 * price * honest)
    clip = Fraction(task.clip_milli, 1000)
    sensitivity_sq = least_sensitivity_sq(Fraction(units), words)
    draft = RoundConfig(
        task_id=task.task_id,
        witness=task.witness,
        d=task.width,
        d_padded=padded(task.width),
        bits=32,
        clip_num=clip.numerator,
        clip_den=clip.denominator,
        grid_num=(clip / units).numerator,
        grid_den=(clip / units).denominator,
        sensitivity_sq=sensitivity_sq,
        noise_var=math.ceil(Fraction(sensitivity_sq * UNITS_PER_RHO, 2 * price * honest)),
        **asdict(identity),
        **fields,
    )
    # The price is rounded up as well, which may leave it a unit too high.
    while rho_units(draft) > price:
        draft = replace(draft, noise_var=draft.noise_var + 1)
    # For the largest group: a smaller sum fits all the more.
    room = headroom(draft, draft.g_max)
    return replace(draft, bits=next(bits for bits in WORD_BITS if room < 2 ** (bits - 1)))


def _units(words: int, price: int) -> int:
    """G. `price`: 2ρ·(m - c) in units, so that s² = D²/price."""
    most = price * MAX_NOISE_UNITS**2 // UNITS_PER_RHO
    least = price * MIN_NOISE_UNITS**2 // UNITS_PER_RHO + 1
    units = UNITS_PER_ROOT * (math.isqrt(words - 1) + 1)
    # In steps of about a quarter and a sixteenth: the result need not be exact, only reproducible.
    while least_sensitivity_sq(Fraction(units), words) < least:
        units += units // 4
    while least_sensitivity_sq(Fraction(units), words) > most:
        units = units * 15 // 16
        # Eight steps per clipping norm: on a coarser grid rounding would outweigh the update.
        if units < 8:
            raise OperatorActionError(
                "PRICE_TOO_LOW",
                "So much noise has no room on the grid.",
                "Raise ε, or lower the rounds or the parameters.",
            )
    return units
