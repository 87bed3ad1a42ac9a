"""The operator, the devices and the hold-out have different rows, and false alarms are counted on
software that only the devices know.
"""

from dataclasses import replace

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import UserActionError
from server_stub.demo.evaluation import evaluate_chances
from server_stub.demo.head_demo import headline, read_table


@pytest.fixture
def arrays():
    table = generate(np.random.default_rng(5), 600)
    count = len(table.labels)
    source = np.where((table.labels == 0) & (np.arange(count) % 2 == 0), 1, 0)
    return {
        "X": table.rows,
        "y": table.labels,
        "split": np.arange(count) % 5 == 0,
        "source": source,
    }


def read(tmp_path, **arrays):
    np.savez(tmp_path / "rows.npz", **arrays)
    return read_table(tmp_path / "rows.npz", 1)


def test_nobody_has_a_row_of_somebody_else(tmp_path, arrays):
    table = read(tmp_path, **arrays)
    assert not (table.public & table.devices).any()
    assert not ((table.public | table.devices) & table.held_out).any()
    assert not table.labels[table.devices].any()
    assert (table.unfamiliar == (arrays["source"] == 1)).all()
    shares = table.shares(3, 1)
    assert [len(share.rows) for share in shares] == [10, 10, 10]


def test_without_a_source_of_their_own_devices_have_half_of_the_groups(tmp_path, arrays):
    table = read(tmp_path, X=arrays["X"], y=arrays["y"])
    assert table.devices.any()
    assert not (table.public & table.devices).any()
    assert set(table.labels[table.public].tolist()) == {0, 1}


def test_p11_too_few_benign_rows_are_refused(tmp_path, arrays):
    few = {**arrays, "source": np.where(np.cumsum(arrays["source"]) < 5, arrays["source"], 0)}
    with pytest.raises(UserActionError) as raised:
        read(tmp_path, **few).shares(3, 1)
    assert raised.value.code == "TOO_FEW_ROWS"


def test_the_headline_is_the_reason_to_federate():
    seen = evaluate_chances(np.array([0, 1]), np.array([0.2, 0.8]))
    before, after, control = (replace(seen, alarms=alarms) for alarms in (0.37, 0.09, 0.35))
    assert headline(seen, seen, None) == ""
    assert headline(before, after, control) == (
        "False alarms on software that nobody trained on: 37.0% before and 9.0% after, at the"
        " threshold that finds 97% of the malware. The same rounds without devices: 35.0%."
    )
