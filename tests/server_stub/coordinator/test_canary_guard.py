"""The canary compares a candidate with the best published model and with the first one."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from agent.detector.families.family import Prepared
from server_stub.coordinator.canary_guard import CanaryGuard
from server_stub.validation.root import parted

DRAW = np.random.default_rng(1)
FEATURES = DRAW.normal(size=(800, 3)).astype(np.float32)
LABELS = (FEATURES[:, 0] + DRAW.normal(0, 0.5, 800) > 0).astype(np.int64)
KNOWN = parted(Prepared(np.zeros(800), FEATURES), LABELS, np.arange(800) % 2 == 0)
GOOD, FAIR, BAD = (np.array([one, 0.0, 0.0]).tobytes() for one in (3.0, 0.2, -2.0))


def guard(*published, counter=None):
    stored = dict(enumerate(published, 1))
    read = [] if counter is None else counter

    def get(version):
        read.append(version)
        return SimpleNamespace(content=stored[version])

    models = SimpleNamespace(
        inventory=lambda: [{"version": version} for version in stored], get=get
    )
    return CanaryGuard(
        SimpleNamespace(models=models), lambda content: (np.frombuffer(content), 0.5)
    )


def test_a_candidate_is_measured_against_the_best_model_not_the_newest():
    judged = guard(FAIR, GOOD, FAIR).judge(FAIR, KNOWN)
    assert "LOSS" in judged.reasons
    assert judged.best.loss < judged.start.loss


def test_a_ruined_candidate_is_refused_and_a_better_one_passes():
    assert not guard(FAIR).judge(BAD, KNOWN).passes
    assert guard(FAIR).judge(GOOD, KNOWN).passes


def test_every_published_model_is_scored_once():
    read = []
    one = guard(FAIR, GOOD, FAIR, counter=read)
    one.judge(GOOD, KNOWN)
    first = len(read)
    one.judge(GOOD, KNOWN)
    assert len(read) - first == 2  # the best one and the start model


def test_models_from_before_a_calibration_are_compared_at_its_false_positive_rate():
    """Their own threshold finds more malware, at a rate that no candidate may have."""
    contents = {1: b"0.5", 2: b"0.95"}
    models = SimpleNamespace(
        inventory=lambda: [{"version": version} for version in contents],
        get=lambda version: SimpleNamespace(content=contents[version]),
    )
    one = CanaryGuard(
        SimpleNamespace(models=models),
        lambda content: (np.array([3.0, 0.0, 0.0]), float(content)),
    )
    assert not one.judge(b"0.95", KNOWN).passes
    judged = one.judge(b"0.95", replace(KNOWN, fpr=0.02))
    assert judged.passes
    assert judged.candidate == judged.best == judged.start
    assert judged.candidate.fpr <= 0.02
