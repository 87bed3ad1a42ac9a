import numpy as np
import pytest

from agent.detector.synthetic import generate
from server_stub.simulation.attacks import Attack
from server_stub.simulation.world import Options


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A table of 1500 generated rows, as a file."""
    path = tmp_path_factory.mktemp("simulate") / "rows.npz"
    rows = generate(np.random.default_rng(4), 1500)
    np.savez(path, X=rows.rows, y=rows.labels, group=rows.groups)
    return path


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
