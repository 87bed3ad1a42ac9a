"""Made-up rows are headers that could exist, differ by family, repeat with their seed, and are held
out by whole groups.
"""

from collections import Counter

import numpy as np
import pytest

from agent.detector.model import metrics
from agent.detector.schema import FEATURE_NAMES, validate_row
from agent.detector.synthetic import generate, hold_out
from agent.detector.toolchains import FAMILIES
from agent.detector.transform import transform


@pytest.fixture(scope="module")
def dataset():
    return generate(np.random.default_rng(7), 3000)


def column(dataset, name):
    return dataset.rows[:, FEATURE_NAMES.index(name)].astype(np.int64)


def test_every_row_could_stand_in_a_header(dataset):
    assert len(dataset) == len(dataset.rows) == 3000
    for row in dataset.rows.tolist():
        validate_row(row)


def test_a_header_is_consistent_in_itself(dataset):
    code, align, image = (
        column(dataset, name) for name in ("SizeOfCode", "FileAlignment", "SizeOfImage")
    )
    entry, start = column(dataset, "AddressOfEntryPoint"), column(dataset, "BaseOfCode")
    assert (code % align == 0).all()
    assert (image % column(dataset, "SectionAlignment") == 0).all()
    assert (start + code <= image).all()
    assert (entry < image).all()
    assert (column(dataset, "NumberOfSections") >= 1).all()
    assert set(column(dataset, "SizeOfOptionalHeader")) == {224, 240}


def test_the_same_state_gives_the_same_rows_and_another_one_others(dataset):
    again = generate(np.random.default_rng(7), 3000)
    assert np.array_equal(again.rows, dataset.rows)
    assert again.families == dataset.families
    assert not np.array_equal(generate(np.random.default_rng(8), 3000).rows, dataset.rows)


def test_a_group_is_one_project_of_one_family(dataset):
    families = {}
    for group, family, label in zip(
        dataset.groups.tolist(), dataset.families, dataset.labels.tolist(), strict=True
    ):
        assert families.setdefault(group, (family, label)) == (family, label)
    for name in (
        "Characteristics",
        "DllCharacteristics",
        "ImageBase",
        "MajorLinkerVersion",
        "Subsystem",
    ):
        shared = {
            (group, value)
            for group, value in zip(
                dataset.groups.tolist(), column(dataset, name).tolist(), strict=True
            )
        }
        assert len(shared) == len(families)


def test_families_appear_by_their_weight_and_give_their_label(dataset):
    counted = Counter(dataset.families)
    total = sum(family.weight for family in FAMILIES)
    assert set(counted) == {family.name for family in FAMILIES}
    for family in FAMILIES:
        assert counted[family.name] / len(dataset) == pytest.approx(family.weight / total, abs=0.05)
    malicious = {family.name: family.malicious for family in FAMILIES}
    assert [malicious[name] for name in dataset.families] == (dataset.labels == 1).tolist()


def test_holding_out_splits_no_group(dataset):
    training, held_out = hold_out(dataset, np.random.default_rng(1), 0.25)
    assert len(training) + len(held_out) == len(dataset)
    assert not set(training.groups.tolist()) & set(held_out.groups.tolist())
    groups = len(set(dataset.groups.tolist()))
    assert len(set(held_out.groups.tolist())) == round(0.25 * groups)
    assert Counter(training.families) + Counter(held_out.families) == Counter(dataset.families)


def test_the_two_classes_can_be_learned_but_not_read_off_one_field(dataset):
    inputs = transform(dataset.rows)
    single = max(
        max(metrics(dataset.labels, sign * inputs[:, at]).auc for sign in (1, -1))
        for at in range(inputs.shape[1])
    )
    training, held_out = hold_out(dataset, np.random.default_rng(1), 0.3)
    centred = transform(training.rows) - transform(training.rows).mean(axis=0)
    weights = np.linalg.lstsq(centred, training.labels - training.labels.mean(), rcond=None)[0]
    assert single < 0.9 < metrics(held_out.labels, transform(held_out.rows) @ weights).auc


@pytest.mark.parametrize("rows", [0, 1, 13])
def test_as_many_rows_as_were_asked_for(rows):
    made = generate(np.random.default_rng(0), rows, group_rows=3)
    assert (len(made), len(made.labels), len(made.groups), len(made.families)) == (rows,) * 4
