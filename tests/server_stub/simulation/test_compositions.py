"""Each composition deals what its name says."""

import numpy as np
import pytest

from agent.errors import UserActionError
from server_stub.simulation.compositions import FILES, ROWS, Composition, Pool, deal

PLACES = np.arange(100, 700)
POOL = Pool(
    rows=PLACES,
    labels=(np.arange(600) % 3 == 0).astype(np.int64),
    sources=np.arange(600) // 200,
    packages=np.where(np.arange(600) < 300, -1, np.arange(600) // 50),
)


def dealt(composition, devices=25, pool=POOL):
    return deal(composition, pool, devices, np.random.default_rng(1))


@pytest.mark.parametrize("composition", list(Composition))
def test_devices_get_rows_of_the_pool(composition):
    devices = dealt(composition)
    assert len(devices) == 25
    assert set(np.concatenate(devices)) <= set(PLACES)
    assert min(map(len, devices)) >= ROWS


def test_real_devices_have_files_of_their_own_and_of_two_packages():
    for rows in dealt(Composition.REAL):
        packages = POOL.packages[rows - 100]
        assert (packages == -1).sum() == FILES
        assert len(set(packages) - {-1}) == 2
        assert len(set(rows)) == len(rows) == 3 * FILES


def test_disjoint_devices_share_nothing_and_leave_nothing():
    rows = np.concatenate(dealt(Composition.DISJOINT))
    assert sorted(rows) == list(PLACES)


def test_a_device_of_one_source_has_rows_of_one_source():
    for rows in dealt(Composition.ONE_SOURCE):
        assert len(set(POOL.sources[rows - 100])) == 1


def test_shares_of_malware_differ_under_dirichlet():
    shares = [POOL.labels[rows - 100].mean() for rows in dealt(Composition.DIRICHLET)]
    assert np.std(shares) > 0.2
    benign = Pool(PLACES, np.zeros(600, np.int64), POOL.sources, POOL.packages)
    assert len(dealt(Composition.DIRICHLET, pool=benign)) == 25


def test_large_fleets_draw_the_same_row_for_several_devices():
    devices = dealt(Composition.IID, devices=300)
    assert {len(rows) for rows in devices} == {ROWS}


def test_p11_fewer_rows_than_devices_are_refused():
    with pytest.raises(UserActionError) as raised:
        dealt(Composition.DISJOINT, devices=601)
    assert raised.value.code == "TOO_FEW_ROWS"
