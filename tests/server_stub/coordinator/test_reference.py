"""The operator's rows are read again when they change, and no row is in both parts."""

from dataclasses import replace

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import AegisError
from agent.protocol.messages import Mode
from server_stub.config.home import ServerHome
from server_stub.config.settings import default_task
from server_stub.coordinator.reference import ReferenceReader
from server_stub.publishing.calibration import Calibration, write_calibration
from server_stub.publishing.public_rows import PublicRows, write_public_rows

TASK = default_task(Mode.LOCAL)


def rows(seed, count):
    made = generate(np.random.default_rng(seed), count)
    return PublicRows(made.rows, made.labels, np.full(count, 2.0))


@pytest.fixture
def home(tmp_path):
    return ServerHome(tmp_path)


def test_without_rows_there_is_no_reference(home):
    assert ReferenceReader(home, TASK)() is None


def test_half_of_the_rows_are_the_canarys_and_a_family_without_a_base_has_no_offsets(home):
    write_public_rows(home.rows_file, rows(1, 400))
    known = ReferenceReader(home, TASK)()
    assert known.size == 400
    assert abs(len(known.root) - 200) < 40
    assert not known.root.offsets.any()
    assert known.has_both_classes


def test_the_rows_of_a_calibration_are_the_canarys(home):
    write_public_rows(home.rows_file, rows(1, 400))
    kept = rows(2, 100)
    write_calibration(home.calibration_file, Calibration(kept.rows, kept.labels, 0.01, 0.05))
    known = ReferenceReader(home, TASK)()
    assert (len(known.root), len(known.canary)) == (400, 100)
    assert np.array_equal(known.canary_labels, kept.labels)


def test_rows_are_prepared_again_only_when_their_file_changed(home):
    write_public_rows(home.rows_file, rows(1, 300))
    reader = ReferenceReader(home, TASK)
    first = reader()
    assert reader() is first
    write_public_rows(home.rows_file, rows(3, 500))
    assert reader().size == 500


def test_p11_rows_that_cannot_be_read_are_named(home):
    home.rows_file.write_bytes(b"no archive")
    with pytest.raises(AegisError) as raised:
        ReferenceReader(home, TASK)()
    assert raised.value.code == "BAD_ROWS"


@pytest.mark.parametrize("content", [None, b"another base"])
def test_p11_a_base_that_is_missing_or_another_one_is_named(home, content):
    write_public_rows(home.rows_file, rows(1, 300))
    if content is not None:
        home.base_file.write_bytes(content)
    task = replace(TASK, model="base+head/1", base_sha256="11" * 32, base_weight_milli=500)
    with pytest.raises(AegisError) as raised:
        ReferenceReader(home, task)()
    assert raised.value.code == "NO_BASE"
