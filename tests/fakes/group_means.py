"""Groups of a round with a known answer: honest means around one update, and attackers in some."""

import numpy as np

from server_stub.aggregation.groups import Facts, GroupMeans

FACTS = Facts(clip=1.0)


def honest_groups(seed, *, groups=20, d=200, sd=0.05, size=32, signal=0.5):
    """Means around an update of length `signal` along the first coordinate; noise `sd` in each."""
    draw = np.random.default_rng(seed)
    means = draw.normal(0, sd, (groups, d))
    means[:, 0] += signal
    return GroupMeans(means, np.full(groups, size), np.full(groups, sd))


def attacked(groups, bad, shift):
    """The same groups; the first `bad` of them are moved by `shift` (d,)."""
    means = groups.means.copy()
    means[:bad] += shift
    return GroupMeans(means, groups.counts, groups.noise_sd)


def direction(d=200):
    root = np.zeros(d)
    root[0] = 0.3
    return root
