"""The 115 inputs of `fixed-v1`: known values, one row at a time, all in [0, 1]; their order is part
of every model.
"""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detector.schema import FEATURE_NAMES, FEATURE_RANGES
from agent.detector.transform import OUTPUTS, transform

ROWS = st.lists(
    st.tuples(*(st.integers(low, high) for low, high in FEATURE_RANGES.values())),
    min_size=1,
    max_size=4,
)
SIZES = 10 + 8 + 1
BASES = slice(SIZES, SIZES + 6)
EDGES = slice(SIZES + 6, SIZES + 6 + 9 + 13 + 5 + 5 + 6)
SUBSYSTEMS = slice(EDGES.stop, EDGES.stop + 6)
CHARACTERISTICS = slice(SUBSYSTEMS.stop, SUBSYSTEMS.stop + 16)
FLAGS = slice(CHARACTERISTICS.stop, CHARACTERISTICS.stop + 16)
OPTIONAL = slice(FLAGS.stop, FLAGS.stop + 3)
SET = slice(OPTIONAL.stop, OPTIONAL.stop + 3)
ZERO = slice(SET.stop, SET.stop + 4)
SHARES = slice(ZERO.stop, ZERO.stop + 3)


def inputs(**values):
    row = np.zeros((1, len(FEATURE_NAMES)), np.uint64)
    for name, value in values.items():
        row[0, FEATURE_NAMES.index(name)] = value
    return transform(row)[0].tolist()


@given(ROWS)
def test_every_output_lies_between_0_and_1(rows):
    made = transform(np.array(rows, np.uint64))
    assert made.shape == (len(rows), OUTPUTS)
    assert ((made >= 0) & (made <= 1)).all()


@given(ROWS)
def test_a_row_does_not_depend_on_its_neighbours(rows):
    table = np.array(rows, np.uint64)
    assert np.array_equal(transform(table), np.vstack([transform(row[None]) for row in table]))


def test_the_empty_header():
    made = inputs()
    assert made[:SIZES] == [0] * SIZES
    assert made[BASES] == [0, 0, 0, 0, 0, 1]  # none of the known bases
    assert made[EDGES] == [0] * 38
    assert made[SUBSYSTEMS] == [0, 0, 0, 0, 0, 1]
    assert made[OPTIONAL] == [0, 0, 1]
    assert made[ZERO] == [1, 1, 1, 1]
    assert made[-1] == 0  # the entry point does not lie in code that is not there


def test_logarithms_of_sizes_and_versions():
    made = inputs(
        SizeOfCode=2**32 - 1, SizeOfImage=2**16 - 1, SectionAlignment=2**8 - 1, ImageBase=2**32 - 1
    )
    assert (made[0], made[5], made[10], made[18]) == pytest.approx((1, 0.5, 0.5, 0.5))
    assert inputs(SizeOfCode=3)[0] == pytest.approx(2 / 32)
    assert (
        inputs(SectionAlignment=2**32 - 1)[10] == 1
    )  # longer than the 16 bits that it is measured by


@pytest.mark.parametrize(
    ("base", "at"),
    [(0x400000, 0), (0x10000000, 1), (0x10000, 2), (0x180000000, 3), (0x140000000, 4), (7, 5)],
)
def test_the_image_base_is_one_of_the_known_ones_or_another(base, at):
    assert inputs(ImageBase=base)[BASES] == [int(place == at) for place in range(6)]


def test_a_thermometer_shows_every_edge_that_was_reached():
    assert inputs(NumberOfSections=6)[EDGES][:9] == [1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert inputs(MajorLinkerVersion=14)[EDGES][9:22] == [1] * 11 + [0, 0]
    assert inputs(MajorImageVersion=255)[EDGES][-6:] == [1] * 6


def test_flag_words_are_spread_over_their_bits():
    assert inputs(Characteristics=0x8001)[CHARACTERISTICS] == [1, *[0] * 14, 1]
    assert inputs(DllCharacteristics=0x0140)[FLAGS] == [int(bit in (6, 8)) for bit in range(16)]


@pytest.mark.parametrize(("name", "value", "at"), [("Subsystem", 2, 1), ("Subsystem", 14, 5)])
def test_the_subsystem_is_one_of_the_known_ones_or_another(name, value, at):
    assert inputs(**{name: value})[SUBSYSTEMS] == [int(place == at) for place in range(6)]


def test_what_is_set_and_shares_of_the_image():
    made = inputs(
        CheckSum=1,
        NumberOfRvaAndSizes=16,
        SizeOfImage=1000,
        SizeOfCode=250,
        SizeOfInitializedData=2000,
        AddressOfEntryPoint=500,
    )
    assert made[SET] == [1, 0, 1]
    assert made[SHARES] == pytest.approx([0.25, 1, 0.5])
    assert inputs(SizeOfOptionalHeader=240)[OPTIONAL] == [0, 1, 0]


@pytest.mark.parametrize(("entry", "inside"), [(0x0FFF, 0), (0x1000, 1), (0x17FF, 1), (0x1800, 0)])
def test_the_entry_point_lies_in_the_code_or_not(entry, inside):
    assert inputs(BaseOfCode=0x1000, SizeOfCode=0x800, AddressOfEntryPoint=entry)[-1] == inside


def test_the_format_has_not_moved():
    """A model's weights belong to this order; a change of it needs another schema name."""
    highest = [high for _, high in FEATURE_RANGES.values()]
    rows = [
        [(number * 2**61 + number * at * 40_503) % (high + 1) for at, high in enumerate(highest)]
        for number in range(100)
    ]
    inputs = np.round(transform(np.array(rows, np.uint64)) * 10**4).astype("<i4")
    digest = hashlib.sha256(inputs.tobytes()).hexdigest()
    assert digest == "d3a53312883f1a21185a5ef15acfd67a90530eab6543507eec6b2b47e3f31f7a"


@pytest.mark.parametrize("shape", [(0,), (29,), (1, 28), (1, 30), (1, 1, 29)])
def test_p11_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="rows of 29 values"):
        transform(np.zeros(shape))


def test_no_rows_give_no_rows():
    assert transform(np.zeros((0, 29), np.uint64)).shape == (0, OUTPUTS)
    assert math.isclose(transform(np.full((1, 29), 2.0**63)).max(), 1)
