"""A base survives its file, scores by its formula, and a file that does not fit is refused."""

import numpy as np
import pytest
from safetensors.numpy import load, save

from agent.detector.families import linear
from agent.detector.families.base_head import BIAS, Base, BaseHead, read_base
from agent.detector.families.family import Head
from agent.detector.transform import transform
from agent.errors import PeerError
from agent.protocol.jobs import VerdictBounds
from agent.protocol.limits import MAX_BASE_BYTES

FAMILY = BaseHead()


def test_a_base_survives_its_file(base, rows):
    again = read_base(base.content)
    assert again.digest == base.digest
    one, other = (FAMILY.scorer(some.content, 0.5).prepare(rows[0]) for some in (base, again))
    assert (one.offsets == other.offsets).all()
    assert (one.features == other.features).all()


def test_the_logit_is_a_share_of_the_base_and_the_head(base, rows):
    inputs = transform(rows[0])
    prepared = FAMILY.scorer(base.content, 0.5).prepare(rows[0])
    of_network = base.network.logits(base.network.hidden(inputs))
    assert prepared.offsets == pytest.approx((base.trees.logits(inputs) + of_network) / 4)
    head = np.arange(32) / 10.0
    assert linear.logits(prepared, head) == pytest.approx(
        prepared.offsets + prepared.features @ head, abs=1e-4
    )


@pytest.mark.parametrize("has_network", [True, False])
def test_features_have_a_norm_of_about_one(stump, network, rows, has_network):
    base = Base(stump, network if has_network else None, 511, 512 if has_network else 0)
    features = base.features(transform(rows[0]))
    assert features.shape == (200, base.d)
    assert np.linalg.norm(features[:, :-1], axis=1) == pytest.approx(1, abs=0.12)
    assert (features[:, -1] == np.float32(BIAS)).all()


def test_a_head_survives_its_file(base):
    head = Head(np.arange(32.0), np.ones(32), base.digest, VerdictBounds(0.4, 0.9, 0.01))
    again = FAMILY.read_head(FAMILY.write_head(head), 32)
    assert (again.trained == head.trained).all()
    assert (again.scored == head.scored).all()
    assert (again.base_digest, again.bounds) == (base.digest, head.bounds)


def test_p11_a_base_or_head_that_does_not_fit_is_refused_by_code(base):
    tensors = load(base.content)
    wrong = [
        {**tensors, "phi": np.array([0, 16])},
        {**tensors, "phi": np.array([15, 0])},
        {**tensors, "phi": np.array([4_990, 16])},
        {name: tensor for name, tensor in tensors.items() if "mlp" not in name},
        {name: tensor for name, tensor in tensors.items() if name != "mlp.1.bias"},
    ]
    for content in (*map(save, wrong), b"\0" * (MAX_BASE_BYTES + 1)):
        with pytest.raises(PeerError) as raised:
            read_base(content)
        assert raised.value.code == "MODEL_WRONG_SHAPE"
    head = FAMILY.write_head(Head(np.ones(32), np.ones(32), base.digest))
    with pytest.raises(PeerError) as raised:
        FAMILY.read_head(head, 33)
    assert raised.value.code == "MODEL_WRONG_SHAPE"
    with pytest.raises(PeerError) as raised:
        FAMILY.read_head(FAMILY.write_head(Head(np.full(32, np.nan), np.ones(32), base.digest)), 32)
    assert raised.value.code == "MODEL_NOT_FINITE"
