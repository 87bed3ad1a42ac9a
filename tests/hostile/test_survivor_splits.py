"""Searches everything that a lying aggregator with c colluders can do in a group of up to 8 devices
with sets of survivors, and asks what sums it opens (P6).

A model of the protocol, of its own: devices are exchangeable, so a state is how many honest devices
do what. Each honest device is told one set of survivors or none, signs it or not, and unmasks or
not (it restarted, or the aggregator stopped asking). A set opens when t signatures are on it. Each
honest device that unmasks gives one share of each dealer: of its self mask where the set has it,
else of its pair masks. Colluders give both shares of everybody. A sum opens when the masks that the
aggregator does not know cancel in it.
"""

from collections import Counter
from itertools import combinations_with_replacement, product

import pytest

VIEWS = "AB"
"""Two sets of survivors: a third would need t - c more signatures, and `test_p6_at_most_one` says
that not even two have enough."""
PLAYS = [
    (frozenset(view for view, is_in in zip(VIEWS, told, strict=True) if is_in), signs, unmasks)
    for told in product((True, False), repeat=2)
    for signs, unmasks in [("", False), *product(VIEWS, (True, False))]
    # A device signs and opens one set only, and one that holds itself.
    if not signs or told[VIEWS.index(signs)]
]
"""What an honest device can do: the sets that hold it, the set that it signs, and whether it
unmasks."""


def opened_sums(honest, colluders, threshold, fewest):
    """Return the sizes of the sums over honest inputs that open; `honest`: a play for each."""
    opening = set()
    for view in VIEWS:
        size = sum(view in held for held, _, _ in honest) + colluders
        signatures = sum(signs == view for _, signs, _ in honest) + colluders
        if signatures >= threshold and size >= fewest:
            opening.add(view)
    given = Counter(signs for _, signs, unmasks in honest if unmasks and signs in opening)
    known_self, known_pair = [], []
    for held, _, _ in honest:
        own = sum(count for view, count in given.items() if view in held)
        known_self.append(own + colluders >= threshold)
        known_pair.append(sum(given.values()) - own + colluders >= threshold)
    # A pair mask is unknown between two devices whose keys are both unknown: it cancels only in a
    # sum of both. So all devices with unknown keys are in one sum or in none.
    bound = [at for at, known in enumerate(known_pair) if not known]
    sums = [1 for at, known in enumerate(known_pair) if known and known_self[at]]
    if bound and all(known_self[at] for at in bound):
        sums.append(len(bound))
    return sums


def smallest_sum(devices, colluders, threshold, least):
    """Return the fewest honest inputs in any sum that any schedule opens; None for no sum."""
    fewest = max(least, threshold)
    found = [
        min(sums)
        for honest in combinations_with_replacement(PLAYS, devices - colluders)
        if (sums := opened_sums(honest, colluders, threshold, fewest))
    ]
    return min(found, default=None)


def threshold_of(devices, colluders):
    return (devices + colluders) // 2 + 1


GROUPS = [(n, c) for n in range(2, 9) for c in range(n)]


@pytest.mark.parametrize(("devices", "colluders"), GROUPS)
def test_p6_no_schedule_of_a_lying_aggregator_opens_a_sum_below_the_minimum(devices, colluders):
    threshold = threshold_of(devices, colluders)
    least = max(colluders + 1, 2)
    smallest = smallest_sum(devices, colluders, threshold, least)
    assert smallest is None or smallest >= max(least, threshold) - colluders


@pytest.mark.parametrize(("devices", "colluders"), GROUPS)
def test_p6_at_most_one_set_of_survivors_gets_enough_signatures(devices, colluders):
    """Of any number of sets: each needs t - c honest devices of its own."""
    needed = threshold_of(devices, colluders) - colluders
    assert 2 * needed > devices - colluders


@pytest.mark.parametrize(
    ("devices", "colluders"), [(n, c) for n, c in GROUPS if n - c >= 2 and (n + c) % 2 == 0]
)
def test_the_search_finds_the_attack_where_the_threshold_is_lower(devices, colluders):
    """One less, and two sets get enough signatures: a single input opens."""
    threshold = threshold_of(devices, colluders) - 1
    assert smallest_sum(devices, colluders, threshold, colluders + 1) == 1
