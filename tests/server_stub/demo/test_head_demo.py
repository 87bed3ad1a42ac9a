"""The operator, the devices and the hold-out have different rows, and false alarms are counted on
software that only the devices know.
"""

from dataclasses import replace

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import UserActionError
from server_stub.demo.evaluation import Alarms, evaluate_chances
from server_stub.demo.head_demo import headline, read_table
from server_stub.demo.intervals import wilson


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
    devices = table.pool.rows
    assert not table.public[devices].any()
    assert not table.table.held_out[devices].any()
    assert not (table.public & table.table.held_out).any()
    assert (arrays["source"][devices] == 1).all()
    assert not table.pool.labels.any()
    shares = table.shares(3, 1)
    assert [len(share.rows) for share in shares] == [10, 10, 10]


def test_without_a_source_of_their_own_devices_have_half_of_the_groups(tmp_path, arrays):
    table = read(tmp_path, X=arrays["X"], y=arrays["y"])
    assert len(table.pool.rows)
    assert not table.public[table.pool.rows].any()
    assert set(table.table.labels[table.public].tolist()) == {0, 1}


def test_p11_too_few_benign_rows_are_refused(tmp_path, arrays):
    few = {**arrays, "source": np.where(np.cumsum(arrays["source"]) < 5, arrays["source"], 0)}
    with pytest.raises(UserActionError) as raised:
        read(tmp_path, **few).shares(3, 1)
    assert raised.value.code == "TOO_FEW_ROWS"


@pytest.mark.parametrize(("rows", "can_calibrate"), [(600, False), (4000, True)])
def test_the_operator_keeps_rows_for_the_calibration_where_it_has_enough(
    tmp_path, rows, can_calibrate
):
    made = generate(np.random.default_rng(5), rows)
    table = read(tmp_path, X=made.rows, y=made.labels)
    assert table.write_public(tmp_path / "public.npz", 1) == can_calibrate
    with np.load(tmp_path / "public.npz") as public:
        kept = public["split"] == 1
        assert kept.any() == can_calibrate
        assert len(kept) == table.public.sum()
        assert not can_calibrate or np.sum(public["y"][kept] == 0) >= 100


def alarms(hits, known=8):
    seen = evaluate_chances(np.array([0, 1]), np.array([0.2, 0.8]))
    shares = [Alarms(count / 100, wilson(count, 100)) for count in (hits, known)]
    return replace(seen, alarms=shares[0], alarms_known=shares[1])


def test_the_headline_is_the_reason_to_federate_and_its_price():
    nothing = evaluate_chances(np.array([0, 1]), np.array([0.2, 0.8]))
    assert headline(nothing, nothing, None) == ""
    assert headline(alarms(37), alarms(9, 11), alarms(35)) == (
        "False alarms on software that nobody trained on: 37.0% (28.2–46.8) before and 9.0%"
        " (4.8–16.2) after, at the threshold that finds 97% of the malware. The same rounds without"
        " devices: 35.0%. On other software of the kinds that the operator knows: 8.0% before and"
        " 11.0% after."
    )


def test_the_headline_says_where_the_difference_may_be_chance():
    assert "may be chance" in headline(alarms(37), alarms(30), None)
    assert "may be chance" not in headline(alarms(37), alarms(9), None)
