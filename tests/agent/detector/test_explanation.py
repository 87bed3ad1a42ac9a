"""Reasons name what moves a score most, in words, for any model that gives logits."""

import numpy as np
import pytest

from agent.detector.explanation import GROUPS, LEAST_WEIGHT, MOST_REASONS, explain
from agent.detector.schema import FEATURE_NAMES, FEATURE_RANGES, validate_row
from agent.detector.synthetic import generate

INDEX = {name: place for place, name in enumerate(FEATURE_NAMES)}
ROWS = generate(np.random.default_rng(5), 300).rows.astype(np.uint64)


def by_field(**weights):
    """A model that likes or dislikes the fields themselves."""

    def logits(rows):
        return sum(
            (weight * (rows[:, INDEX[name]] > 0) for name, weight in weights.items()),
            np.zeros(len(rows)),
        )

    return logits


def row(**values):
    one = ROWS[0].copy()
    for name, value in values.items():
        one[INDEX[name]] = value
    return one[None, :]


def test_the_strongest_group_comes_first_and_what_does_nothing_is_no_reason():
    model = by_field(CheckSum=-3.0, DllCharacteristics=-1.0)
    (reasons,) = explain(row(CheckSum=0, DllCharacteristics=0), [False], model)
    assert [(reason.fields, reason.weight) for reason in reasons] == [
        (("CheckSum",), 3.0),
        (("DllCharacteristics",), 1.0),
    ]
    assert [reason.text for reason in reasons] == [
        "has no checksum",
        "protections off: ASLR (random addresses), DEP (data is never run)",
    ]


def test_a_benign_file_is_told_what_lowers_its_score():
    model = by_field(CheckSum=-3.0, LoaderFlags=5.0)
    (reasons,) = explain(row(CheckSum=7), [True], model)
    assert [(reason.text, reason.weight) for reason in reasons] == [("has a checksum", -3.0)]


def test_nothing_is_explained_of_no_rows_and_at_most_three_things_of_each():
    assert explain(ROWS[:0], [], by_field()) == []
    every = by_field(**{names[0]: -1.0 for names in (group.names for group in GROUPS)})
    for one in explain(ROWS, [False] * len(ROWS), every):
        assert len(one) <= MOST_REASONS
        assert all(reason.weight >= LEAST_WEIGHT for reason in one)


def test_p11_what_is_typical_fits_its_fields_and_words_exist_for_every_row():
    lowest, highest = zip(*FEATURE_RANGES.values(), strict=True)
    for one in (*ROWS.tolist(), lowest, highest):
        values = dict(zip(FEATURE_NAMES, one, strict=True))
        for group in GROUPS:
            assert group.says(values)
            for typical in (group.benign(values), group.malicious(values)):
                assert set(typical) <= {*group.names, "AddressOfEntryPoint"}
                validate_row([{**values, **typical}[name] for name in FEATURE_NAMES])


@pytest.mark.parametrize("wide", [224, 240])
def test_the_comparison_keeps_the_word_size_and_the_kind_of_file(wide):
    values = dict.fromkeys(FEATURE_NAMES, 0) | {
        "SizeOfOptionalHeader": wide,
        "Characteristics": 0x2000,
    }
    for group in GROUPS:
        for typical in (group.benign(values), group.malicious(values)):
            assert typical.get("Characteristics", 0x2000) & 0x2000
