"""A fleet that trains the head of `base+head/1`, some of whose devices attack, and an aggregator
that judges and combines as the real one does.

The noise of a group's sum is drawn at once, with the variance that its devices' draws add up to;
everything else (clip, grid, range check, gate, rule, server step, canary) is the product's code.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from agent.detector.families import linear
from agent.detector.families.base_head import BaseHeadScorer, read_base
from agent.detector.families.family import Prepared
from agent.detector.model import metrics
from agent.errors import PeerError
from agent.privacy import codec
from agent.privacy.noise import sample
from agent.privacy.plan import RoundIdentity, headroom, plan_secagg
from agent.privacy.zcdp import rho_for_epsilon
from agent.protocol.messages import Mode, Task, TrainingRows
from agent.protocol.stream import Stream
from server_stub.aggregation.groups import Facts, GroupMeans, spread, unit
from server_stub.aggregation.rules import NEED_ROOT, RULES
from server_stub.training.base import TrainedBase, header_groups, train_base
from server_stub.training.recipe import LARGE_FLEET
from server_stub.training.server_step import HeadState, replay, server_step
from server_stub.validation import canary, gate
from server_stub.validation.root import is_canary, parted, root_update

DELTA = 1e-5
GROUP = 32
ROWS_EACH = 20
KEPT_MALWARE = 0.97
"""The threshold keeps this share of the malware."""
HEAD = LARGE_FLEET.head


@dataclass(frozen=True, eq=False)
class Laboratory:
    """What the runs of one seed share."""

    root: object
    public: object
    fleet: Prepared
    """Benign rows of sources that the operator does not have."""
    sources: np.ndarray
    """The source of each of them."""
    family: Prepared
    """Malware of one kind, for whitewash and backdoor."""
    judged: Prepared
    labels: np.ndarray
    judged_sources: np.ndarray
    family_judged: np.ndarray
    start: np.ndarray

    @property
    def d(self):
        return self.fleet.features.shape[1]


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    attack: str
    share: float
    epsilon: float
    rule: str = "anchored-mean"
    seed: int = 0
    devices: int = 1000
    rounds: int = HEAD.rounds
    skewed: bool = True
    """Each device has rows of one source only."""


@dataclass(frozen=True)
class Outcome:
    """AUC × 100, false alarms in Z and G at the threshold that keeps KEPT_MALWARE, and the share of
    the attacked family that is found, all in percent."""

    auc: float
    z: float
    g: float
    family: float
    refused: float
    """Groups that the gate refused, a round."""
    honest_refused: float
    """Of those, groups without an attacker."""
    rejected: int
    """Rounds whose model the canary refused."""


def laboratory(path: Path, seed: int, bases: Path) -> Laboratory:
    """Read the table and train, or find again, the base of a seed."""
    with np.load(path, allow_pickle=False) as table:
        rows, labels = table["X"].astype(np.uint64), table["y"].astype(np.int64)
        source, dev = table["source"], table["split"] == 1
    own = (source < 3) & ~dev
    base_file, fold_file = bases / f"base-{seed}.safetensors", bases / f"folds-{seed}.npy"
    if base_file.is_file() and fold_file.is_file():
        trained = TrainedBase(read_base(base_file.read_bytes()), np.load(fold_file))
    else:
        trained = train_base(rows[own], labels[own], LARGE_FLEET.base, seed)
        bases.mkdir(parents=True, exist_ok=True)
        base_file.write_bytes(trained.base.content)
        np.save(fold_file, trained.out_of_fold)
    scorer = BaseHeadScorer(trained.base, HEAD.alpha)
    kept = trained.replay_rows(rows[own], HEAD.alpha)
    public = replay(kept, labels[own])
    root = parted(kept, labels[own], is_canary(header_groups(rows[own])))
    fleet = (source >= 3) & (labels == 0) & ~dev
    # One kind of malware: that of source R, which is a fifth of all.
    kind = (source == 2) & (labels == 1)
    return Laboratory(
        root,
        public,
        scorer.prepare(rows[fleet]),
        source[fleet],
        scorer.prepare(rows[kind & ~dev][:600]),
        scorer.prepare(rows[dev]),
        labels[dev],
        source[dev],
        kind[dev],
        np.zeros(trained.base.d),
    )


def task_of(d):
    return Task(
        "robustness", "pehdr29/fixed-v1", "base+head/1", d, Mode.SECAGG, 1, 1000,
        round(HEAD.clip * 1000), 1, base_sha256="ab" * 32, rows=TrainingRows.BENIGN,
        rounds=HEAD.rounds, mean_weight_milli=1000, base_weight_milli=500,
    )  # fmt: skip


def config_of(case, number, task, draw):
    count = case.devices // GROUP
    smallest, largest = case.devices // count, -(-case.devices // count)
    identity = RoundIdentity(number, number, "ab" * 32, 0, 1, draw.bytes(32).hex())
    return plan_secagg(
        task, identity, rho_units_per_round=rho_for_epsilon(case.epsilon, DELTA) // HEAD.rounds,
        g_max=largest, min_group=smallest, min_sum=int(0.9 * smallest),
    )  # fmt: skip


class Fleet:
    """The devices of a case."""

    def __init__(self, lab, case, draw):
        self.lab, self.case = lab, case
        everywhere = np.arange(len(lab.sources))
        pools = [np.flatnonzero(lab.sources == one) for one in np.unique(lab.sources)]
        self.rows = np.stack(
            [
                draw.choice(pools[device % len(pools)] if case.skewed else everywhere, ROWS_EACH)
                for device in range(case.devices)
            ]
        )
        self.bad = np.zeros(case.devices, bool)
        self.bad[draw.permutation(case.devices)[: round(case.share * case.devices)]] = True
        self.draw = draw

    def honest(self, head, flipped=False):
        """The clipped update of every device (devices, d)."""
        score = linear.probability(linear.logits(self.lab.fleet, head)).astype(np.float32)
        residual = ((1.0 if flipped else 0.0) - score)[self.rows] / ROWS_EACH
        updates = np.einsum("nr,nrd->nd", residual, self.lab.fleet.features[self.rows])
        return clipped(updates.astype(np.float64))

    def updates(self, head, number, direction, config):
        """What every device puts under its mask (devices, d)."""
        sent = self.honest(head)
        name = self.case.attack
        if name == "none" or not self.bad.any() or (name == "on-off" and number % 2):
            return sent
        mine = sent[self.bad]
        good = sent[~self.bad]
        sent[self.bad] = ATTACKS[name](self, head, mine, good, direction, config)
        return sent


def clipped(updates):
    lengths = np.linalg.norm(updates, axis=1, keepdims=True)
    return updates * np.minimum(1, HEAD.clip / np.maximum(lengths, 1e-12))


def toward(vectors, length):
    return vectors * (length / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _everyone(vector, mine):
    return np.tile(vector, (len(mine), 1))


def _scaled(factor, fleet, head, mine, good, direction, config):
    return toward(-mine, factor * HEAD.clip)


def _fill(fleet, head, mine, good, direction, config):
    most = 0.9 * headroom(config, GROUP) * float(config.grid)
    wide = fleet.draw.choice([-most, most], (len(mine), config.d_padded))
    return np.stack([codec.rotate_back(one, config) for one in wide])


def _ipm(fleet, head, mine, good, direction, config):
    return _everyone(toward(-good.mean(axis=0)[None], 50 * HEAD.clip)[0], mine)


def _alie(fleet, head, mine, good, direction, config):
    return _everyone(good.mean(axis=0) - 1.5 * good.std(axis=0), mine)


def _label_flip(fleet, head, mine, good, direction, config):
    return fleet.honest(head, flipped=True)[fleet.bad]


def _benign_of_family(factor, fleet, head, mine, good, direction, config):
    step = linear.benign_update(fleet.lab.family, head)
    return _everyone(toward(step[None], factor * HEAD.clip)[0], mine)


def _orthogonal(fleet, head, mine, good, direction, config):
    mean = good.mean(axis=0)
    across = mean - (mean @ direction) * direction
    return _everyone(toward(-across[None], 50 * HEAD.clip)[0], mine)


ATTACKS = {
    "sign-flip": lambda fleet, head, mine, *rest: -mine,
    "scale-within": partial(_scaled, 1),
    "scale-over": partial(_scaled, 50),
    "fill-range": _fill,
    "ipm": _ipm,
    "alie": _alie,
    "mimic": lambda fleet, head, mine, good, *rest: _everyone(good[0], mine),
    "label-flip": _label_flip,
    "backdoor": partial(_benign_of_family, 20),
    "whitewash": partial(_benign_of_family, 1),
    "orthogonal": _orthogonal,
    "on-off": partial(_scaled, 50),
}


def run(lab, case, noise):
    """Run a case. `noise`: 32 bytes from which the noise of this measurement is drawn."""
    draw = np.random.default_rng(case.seed)
    fleet, task = Fleet(lab, case, draw), task_of(lab.d)
    state = HeadState(0, lab.start, lab.start, 0)
    first = best = rows_of(lab, lab.start)
    refused = honest_refused = rejected = 0
    stream = Stream(noise)
    for number in range(case.rounds):
        config = config_of(case, number + 1, task, draw)
        root = root_update(lab.root, state.trained, task)
        direction = unit(root)
        updates = fleet.updates(state.trained, number, direction, config)
        members = np.array_split(draw.permutation(case.devices), case.devices // GROUP)
        means, counts, places = [], [], []
        for place, group in enumerate(members):
            mean = opened(updates[group].sum(axis=0), len(group), config, stream)
            if mean is not None:
                means.append(mean)
                counts.append(len(group))
                places.append(place)
        is_bad = np.array([fleet.bad[members[place]].any() for place in places])
        refused += len(members) - len(places)
        if not places:
            continue
        groups = GroupMeans(
            np.array(means), np.array(counts), np.array([spread(config, one) for one in counts])
        )
        uses_root = case.rule in NEED_ROOT
        if case.rule.startswith("ungated "):
            kept = np.ones(len(places), bool)
        else:
            found = gate.judge(groups, direction if uses_root else None, gate.bounds_of(config))
            kept = np.array([not one.reason for one in found])
        refused += int((~kept).sum())
        honest_refused += int((~kept & ~is_bad).sum())
        if not kept.any():
            rejected += 1
            continue
        rule = RULES[case.rule.removeprefix("ungated ")]
        combined = rule(groups.only(kept), root if uses_root else None, Facts(float(config.clip)))
        after = server_step(state, combined.update, lab.public, HEAD)
        candidate = rows_of(lab, after.scored)
        if uses_root and not canary.judge(candidate, best, first).passes:
            rejected += 1
            continue
        state = after
        if canary.figures(candidate).loss < canary.figures(best).loss:
            best = candidate
    return judged(lab, state.scored, refused / case.rounds, honest_refused / case.rounds, rejected)


def opened(total, count, config, stream):
    """The mean of a group, decoded from its sum as the aggregator does; None out of range."""
    units = np.rint(codec.rotate(total, config) / float(config.grid)).astype(np.int64)
    units += sample(len(units), config.noise_var * count, stream)
    try:
        return codec.decode_sum(codec.to_words(units, config.bits), config, count)
    except PeerError:
        return None


def rows_of(lab, head):
    """The canary's rows under a head, at the threshold that keeps KEPT_MALWARE of them."""
    score = linear.probability(linear.logits(lab.root.canary, head))
    labels = lab.root.canary_labels
    threshold = float(np.quantile(score[labels == 1], 1 - KEPT_MALWARE))
    return canary.CanaryRows(labels, score, threshold)


def judged(lab, head, refused, honest_refused, rejected):
    score = linear.probability(linear.logits(lab.judged, head))
    threshold = np.quantile(score[lab.labels == 1], 1 - KEPT_MALWARE)
    alarms = score >= threshold
    z, g = (float(alarms[(lab.judged_sources == one) & (lab.labels == 0)].mean()) for one in (3, 4))
    return Outcome(
        100 * metrics(lab.labels, score).auc, 100 * z, 100 * g,
        100 * float(alarms[lab.family_judged].mean()), refused, honest_refused, rejected,
    )  # fmt: skip
