"""Finds devices whose groups are bad too often, over rounds that draw the groups anew.

Each group of each round is one test: how far its mean lies along the root update, in standard
deviations of its noise. An honest group's test is normal around the round's centre. With k
attackers it is moved by k times the round's amplitude. Which devices attack is inferred from all
tests at once by belief propagation, amplitude and centre of each round by expectation and
maximisation (as in group testing with noisy tests).

It reads opened sums, rosters and operator rows, nothing else: it is post-processing and costs no
privacy. A device is named at log-odds above NAMED twice in a row, and only where the model explains
the tests (FIT). Nothing below that is shown to anybody.

What it cannot do: name attackers that stay within the clip, or that push by less than about 11
clipping norms at ε = 4 (38 at ε = 1) in groups of 32; work with fewer than LEAST_GROUPS groups a
round.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server_stub.validation.chi_square import upper_quantile

Floats = NDArray[np.float64]
NAMED = 9.0
"""Log-odds: where the model holds, a device at this figure is honest with probability 1/8,100."""
FIT = 1.35
"""Largest mean squared residual, in units of the noise's variance, at which anybody is named."""
LEAST_GROUPS = 12
"""Fewest groups a round from which a round counts."""
CERTAIN = 1e-6
"""The probability with which an honest fleet has tests as far apart as these, at most, before
anybody is looked for: what is left of noise is not fitted with attackers."""
PRIOR = 0.02
"""The share of devices that attack, before any test."""
MOST_ATTACKERS = 8
"""Attackers that the tests of one group tell apart."""
LEAST_AMPLITUDE = 3.0
"""Standard deviations by which one attacker must move its group. Less is noise that was fitted."""
MEMORY_ROUNDS = 40
"""Rounds that count: an attacker of long ago may have been repaired."""
_FITS = 10
_SWEEPS = 5
_DAMPING = 0.3


@dataclass(frozen=True)
class GroupTest:
    """One group of one round."""

    members: tuple[str, ...]
    """The devices in its sum."""
    statistic: float
    """Its component along the root update, in standard deviations of its noise."""


RoundTests = tuple[GroupTest, ...]


@dataclass(frozen=True)
class Suspicion:
    """What the tests say. Figures below NAMED stay inside the aggregator."""

    log_odds: Mapping[str, float]
    """Of attacking, by device."""
    fit: float
    """Mean squared residual of the tests; about 1 where the model explains them."""
    amplitudes: tuple[float, ...]
    """By how many standard deviations one attacker moved its group, by round."""

    @property
    def suspects(self) -> frozenset[str]:
        """The devices above NAMED, where the fit allows naming anybody."""
        if not self.fit < FIT:
            return frozenset()
        return frozenset(one for one, odds in self.log_odds.items() if odds > NAMED)


NOBODY = Suspicion({}, math.inf, ())


def suspicion(rounds: Sequence[RoundTests]) -> Suspicion:
    """Infer who attacks from the tests of the last MEMORY_ROUNDS rounds, oldest first."""
    counted = [one for one in rounds if len(one) >= LEAST_GROUPS][-MEMORY_ROUNDS:]
    if not counted or not _is_attacked(counted):
        return NOBODY
    return _Graph(counted).solve()


def named(before: Suspicion, now: Suspicion) -> frozenset[str]:
    """The devices that are suspects twice in a row."""
    return before.suspects & now.suspects


def _is_attacked(rounds: Sequence[RoundTests]) -> bool:
    """Whether the tests lie farther apart than those of an honest fleet."""
    squares, freedom = 0.0, 0
    for one in rounds:
        values = np.array([test.statistic for test in one])
        squares += float(np.sum((values - values.mean()) ** 2))
        freedom += len(one) - 1
    return squares > upper_quantile(CERTAIN, freedom, 0.0)


class _Graph:
    """Devices and tests, as arrays. Tests have as many places as the largest group."""

    def __init__(self, rounds: Sequence[RoundTests]) -> None:
        tests = [test for one in rounds for test in one]
        self._devices = sorted({member for test in tests for member in test.members})
        number = {device: index for index, device in enumerate(self._devices)}
        places = max(len(test.members) for test in tests)
        self._members = np.full((len(tests), places), len(self._devices))
        for row, test in enumerate(tests):
            self._members[row, : len(test.members)] = [number[one] for one in test.members]
        self._is_member = self._members < len(self._devices)
        self._values = np.array([test.statistic for test in tests])
        self._round = np.repeat(np.arange(len(rounds)), [len(one) for one in rounds])
        # Of two groups with the same attackers the smaller one is moved more: 1/√n of each.
        sizes = self._is_member.sum(axis=1)
        self._scale = np.sqrt(sizes.mean() / sizes)
        self._counts = np.arange(MOST_ATTACKERS + 1)

    def solve(self) -> Suspicion:
        """Start from an attack against the root update and from one along it, and take the one that
        explains the tests better.
        """
        return min((self._fitted(sign) for sign in (-1.0, 1.0)), key=lambda one: one.fit)

    def _fitted(self, sign: float) -> Suspicion:
        rounds = int(self._round[-1]) + 1
        centres, amplitudes = np.zeros(rounds), np.zeros(rounds)
        for one in range(rounds):
            values = self._values[self._round == one]
            centres[one] = np.median(values)
            amplitudes[one] = sign * max(float(np.max(sign * (values - centres[one]))), 0.0)
        incoming = np.zeros(self._members.shape)
        posterior = np.zeros((len(self._values), MOST_ATTACKERS + 1))
        odds = np.zeros(len(self._devices) + 1)
        for _ in range(_FITS):
            for _ in range(_SWEEPS):
                odds, messages, posterior = self._sweep(incoming, centres, amplitudes)
                incoming = _DAMPING * incoming + (1 - _DAMPING) * messages
            centres, amplitudes = self._maximised(posterior, centres, amplitudes, sign)
        residuals = self._values[:, None] - self._expected(centres, amplitudes)
        fit = float(np.mean(np.sum(posterior * residuals**2, axis=1)))
        return Suspicion(
            dict(zip(self._devices, odds[:-1].tolist(), strict=True)),
            fit,
            tuple(amplitudes.tolist()),
        )

    def _expected(self, centres: Floats, amplitudes: Floats) -> Floats:
        """Each test for each number of attackers (tests, MOST_ATTACKERS + 1)."""
        moved = (amplitudes[self._round] * self._scale)[:, None] * self._counts
        expected: Floats = centres[self._round][:, None] + moved
        return expected

    def _sweep(
        self, incoming: Floats, centres: Floats, amplitudes: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Pass messages once. `incoming`: what each test said of each member before.

        Returns the devices' log-odds (devices + 1), the new messages (tests, places), and the
        probabilities of each number of attackers in each test.
        """
        odds = np.full(len(self._devices) + 1, math.log(PRIOR / (1 - PRIOR)))
        np.add.at(odds, self._members, incoming)
        others = np.where(self._is_member, odds[self._members] - incoming, -40.0)
        share = 1 / (1 + np.exp(-np.clip(others, -40, 40)))
        residuals = self._values[:, None] - self._expected(centres, amplitudes)
        likelihood = np.exp(-0.5 * (residuals**2 - (residuals**2).min(axis=1, keepdims=True)))
        # Floored: a test that no number of attackers explains must not decide alone.
        likelihood = np.maximum(likelihood, 1e-12)
        forward, backward = _counted(share), _explained(share, likelihood)
        with_it = np.einsum("tpk,tpk->tp", forward[:, :-1, :-1], backward[:, 1:, 1:])
        without = np.einsum("tpk,tpk->tp", forward[:, :-1], backward[:, 1:])
        messages = np.log(np.maximum(with_it, 1e-300)) - np.log(np.maximum(without, 1e-300))
        posterior = forward[:, -1] * likelihood
        posterior /= posterior.sum(axis=1, keepdims=True)
        return odds, np.where(self._is_member, messages, 0.0), posterior

    def _maximised(
        self, posterior: Floats, centres: Floats, amplitudes: Floats, sign: float
    ) -> tuple[Floats, Floats]:
        """Centre and amplitude of each round that explain its tests best."""
        centres, amplitudes = centres.copy(), amplitudes.copy()
        expected = posterior @ self._counts * self._scale
        squares = posterior @ self._counts**2 * self._scale**2
        for one in range(len(centres)):
            mine = self._round == one
            values, first, second = self._values[mine], expected[mine], squares[mine]
            spread = float(second.mean() - first.mean() ** 2)
            if spread > 1e-9:
                along = float(np.mean(values * first) - values.mean() * first.mean())
                amplitudes[one] = sign * max(sign * along / spread, 0.0)
            centres[one] = float(np.mean(values - amplitudes[one] * first))
            if abs(amplitudes[one]) < LEAST_AMPLITUDE:
                amplitudes[one] = 0.0
        return centres, amplitudes


def _counted(share: Floats) -> Floats:
    """The distribution of the number of attackers among the first p places.

    `share`: each member's probability (tests, places). Returns (tests, places + 1, numbers); the
    last number stands for itself and all above.
    """
    tests, places = share.shape
    forward = np.zeros((tests, places + 1, MOST_ATTACKERS + 1))
    forward[:, 0, 0] = 1
    for place in range(places):
        one = share[:, place, None]
        forward[:, place + 1] = forward[:, place] * (1 - one)
        forward[:, place + 1, 1:] += forward[:, place, :-1] * one
        forward[:, place + 1, -1] += forward[:, place, -1] * one[:, 0]
    return forward


def _explained(share: Floats, likelihood: Floats) -> Floats:
    """The likelihood of the test, given the number of attackers among the first p places.

    Shapes as in `_counted`.
    """
    tests, places = share.shape
    backward = np.zeros((tests, places + 1, MOST_ATTACKERS + 1))
    backward[:, places] = likelihood
    for place in range(places - 1, -1, -1):
        one = share[:, place, None]
        backward[:, place] = backward[:, place + 1] * (1 - one)
        backward[:, place, :-1] += backward[:, place + 1, 1:] * one
        backward[:, place, -1] += backward[:, place + 1, -1] * one[:, 0]
    return backward
