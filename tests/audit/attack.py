"""Attacks the presence of one update, through the code that devices run.

1. Neighbours: the victim sends an update of the full clipping norm, or zero. The attacker knows the
   round's seeds, the update, and what every other device put in.
2. Each run takes the real path: `encode_update` (clip, rotate, round, noise, reduce modulo 2^B),
   then the sum of m devices' words modulo 2^B, less the words of the c colluders among them.
3. The likelihood ratio of discrete Gaussian words is exactly linear in them: x·q grows with it. q
   is the victim's rounded update. Where rounding is random, its mean stands for it: the best linear
   statistic.
4. Half of the runs choose the threshold; the other half are counted. So no bound is a pick.
5. Devices other than the victim put in zero, which the attacker knows, so that only their noise
   matters. Zero is zero after the rotation too: one long zero vector encodes to the words of many
   runs at once.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.privacy.codec import encode_update, rotate, signed, subset
from agent.privacy.plan import padded, plan_local, plan_secagg
from agent.privacy.zcdp import RHO_UNIT, epsilon, rho_for_epsilon, rho_units, sent_words
from agent.protocol.messages import Mode, RoundConfig, Task
from tests.audit.bounds import Answers, epsilon_at_least, rho_at_least
from tests.fakes.rounds import round_identity

DELTA = 1e-5
LONGEST = 1 << 15
"""Words of other devices that are encoded at once."""
THRESHOLDS = 400

Words = NDArray[np.int64]
Statistics = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    epsilon: float
    """Asked of the planner for one round."""
    d: int
    mode: Mode
    survivors: int = 1
    """m: whose words are in the sum."""
    colluders: int = 0
    """c: whose words the attacker takes out again."""

    def config(self) -> RoundConfig:
        """Plan the round as the server does."""
        task = Task("t", "s", "logistic", self.d, self.mode, 10, 100, 1000, 1)
        price = rho_for_epsilon(self.epsilon, DELTA)
        if self.mode is Mode.LOCAL:
            return plan_local(task, round_identity(), rho_units_per_round=price)
        group = max(self.survivors, 5 * self.colluders)
        return plan_secagg(
            task,
            round_identity(),
            rho_units_per_round=price,
            g_max=group,
            min_group=self.survivors,
            min_sum=self.survivors,
            gamma_milli=1000 * self.colluders // group,
        )


@dataclass(frozen=True)
class Finding:
    """What an attack on one case proved."""

    case: Case
    runs: int
    """Counted runs, of each neighbour."""
    rho_claimed: float
    rho_shown: float
    """At least this much, by the attack."""
    epsilon_claimed: float
    epsilon_shown: float

    @property
    def holds(self) -> bool:
        """Whether the attack stays within the claim."""
        return self.rho_shown <= self.rho_claimed and self.epsilon_shown <= self.epsilon_claimed


class Entropy:
    """32 fresh bytes for each seal, all from one seed, so that a table can be made again."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0

    def __call__(self) -> bytes:
        self._count += 1
        return hashlib.sha256(self._seed + self._count.to_bytes(8, "big")).digest()


def audit(
    case: Case, runs: int, doubt: float, entropy: Entropy, noise_part: float = 1.0
) -> Finding:
    """Attack `case`; the two bounds are both right except with probability `doubt`.

    `runs`: of each neighbour, half of them to choose the thresholds. `noise_part`: a faulty device
    adds noise of this part of the standard deviation that the round demands.
    """
    config = case.config()
    faulty = replace(config, noise_var=max(1, round(config.noise_var * noise_part**2)))
    update = np.zeros(case.d)
    update[0] = float(config.clip)
    expected = rotate(update, config)[subset(config)] / float(config.grid)
    present, absent = (
        observed(faulty, case, vector, runs, entropy) @ expected
        for vector in (update, np.zeros(case.d))
    )
    half = runs // 2
    by_rho, by_epsilon = best_thresholds(present[:half], absent[:half])
    counted = [_answers(present[half:], absent[half:], cut) for cut in (by_rho, by_epsilon)]
    claimed = rho_units(config)
    return Finding(
        case,
        runs - half,
        claimed * RHO_UNIT,
        rho_at_least(counted[0], doubt / 2),
        epsilon(claimed, DELTA),
        epsilon_at_least(counted[1], DELTA, doubt / 2),
    )


def observed(
    config: RoundConfig, case: Case, vector: NDArray[np.float64], runs: int, entropy: Entropy
) -> Words:
    """Return what the attacker is left with in each run, shape (runs, words)."""
    if vector.any():
        total = np.stack([encode_update(vector, config, entropy()) for _ in range(runs)])
    else:
        total = _words_of_zeros(config, runs, entropy)
    known: list[NDArray[np.uint32]] = []
    for other in range(case.survivors - 1):
        words = _words_of_zeros(config, runs, entropy)
        total += words
        if other < case.colluders:
            known.append(words)
    for words in known:
        total -= words
    return signed(total, config.bits)


def best_thresholds(present: Statistics, absent: Statistics) -> tuple[float, float]:
    """Return the thresholds that prove most about ρ and about ε in these runs."""
    both = np.concatenate((present, absent))
    cuts = np.unique(np.quantile(both, np.linspace(0.0, 1.0, THRESHOLDS)))
    answers = [(_answers(present, absent, float(cut)), float(cut)) for cut in cuts]
    by_rho = max(answers, key=lambda one: rho_at_least(one[0], 0.01))
    by_epsilon = max(answers, key=lambda one: epsilon_at_least(one[0], DELTA, 0.01))
    return by_rho[1], by_epsilon[1]


def _answers(present: Statistics, absent: Statistics, cut: float) -> Answers:
    return Answers(int((present >= cut).sum()), int((absent >= cut).sum()), len(present))


def _words_of_zeros(config: RoundConfig, runs: int, entropy: Entropy) -> NDArray[np.uint32]:
    """Encode one device's zero update for many runs."""
    words = sent_words(config)
    found: list[NDArray[np.uint32]] = []
    left = runs * words
    while left > 0:
        d = min(left, LONGEST)
        wide = replace(config, d=d, d_padded=padded(d), subset_k=0, subset_seed="")
        found.append(encode_update(np.zeros(d), wide, entropy())[:d])
        left -= d
    return np.concatenate(found).reshape(runs, words)
