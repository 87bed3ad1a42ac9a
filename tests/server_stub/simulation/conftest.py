from dataclasses import replace

import numpy as np
import pytest

from agent.detector.synthetic import generate
from server_stub.simulation import study
from server_stub.simulation.attacks import Attack
from server_stub.simulation.compositions import Composition
from server_stub.simulation.study import Plan
from server_stub.simulation.world import Options
from server_stub.training.recipe import SMALL_FLEET, BaseRecipe, Recipe


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A table of 1500 generated rows, as a file."""
    path = tmp_path_factory.mktemp("simulate") / "rows.npz"
    rows = generate(np.random.default_rng(4), 1500)
    np.savez(path, X=rows.rows, y=rows.labels, group=rows.groups)
    return path


@pytest.fixture(scope="session")
def sourced(tmp_path_factory):
    """A table of two sources with malware and one without it, as a file."""
    path = tmp_path_factory.mktemp("simulate") / "sourced.npz"
    rows = generate(np.random.default_rng(5), 900)
    malicious = rows.labels == 1
    source = np.where(malicious, np.arange(900) % 2, np.arange(900) % 3)
    split = (rows.groups % 4 == 0).astype(np.int8)
    names = np.array(["A", "B", "own"])
    np.savez(path, X=rows.rows, y=rows.labels, split=split, source=source, source_names=names)
    return path


TINY = Recipe(
    BaseRecipe(4, 0.3, 4, 1.0, has_network=False, laplacian=63, gaussian=0),
    replace(SMALL_FLEET.head, rounds=3, clip=0.05, fleet_weight=1.0),
)


@pytest.fixture
def plan(options, sourced):
    """Makes the plan of a small study, with some of it changed."""

    def make(**changes):
        own = {"data": sourced, "family": "base+head", "rounds": 3, "devices": 40, "group": 20}
        standard = {
            "options": options(**{**own, **changes.pop("options", {})}),
            "recipe": TINY,
            "epsilons": (4.0,),
            "compositions": (Composition.IID,),
            "seeds": 1,
            "is_labelled": False,
            "packages": None,
            "bases": None,
        }
        return Plan(**{**standard, **changes})

    return make


@pytest.fixture(scope="session")
def small_study(sourced, tmp_path_factory):
    """A study of two seeds, with and without noise."""
    own = Options(
        devices=40,
        rounds=3,
        data=sourced,
        holdout=None,
        epsilon=4.0,
        group=20,
        drop=0.0,
        drop_phase="any",
        attack=Attack.NONE,
        attackers=0.0,
        family="base+head",
        machines=None,
        coordinates=None,
        plain=False,
        top_k=None,
        seed=1,
    )
    both = (Composition.IID, Composition.DISJOINT)
    kept = tmp_path_factory.mktemp("bases")
    return study.run(Plan(own, TINY, (None, 4.0), both, 2, False, None, kept))


@pytest.fixture
def options(table):
    """Makes options of a small simulation, with some of them changed."""

    def make(**changes):
        standard = {
            "devices": 40,
            "rounds": 2,
            "data": table,
            "holdout": None,
            "epsilon": 1.0,
            "group": 20,
            "drop": 0.0,
            "drop_phase": "any",
            "attack": Attack.NONE,
            "attackers": 0.1,
            "family": "logistic",
            "machines": False,
            "coordinates": None,
            "plain": False,
            "top_k": None,
            "seed": 1,
        }
        return Options(**{**standard, **changes})

    return make
