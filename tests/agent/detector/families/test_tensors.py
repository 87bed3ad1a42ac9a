"""A file is read only if it holds exactly the tensors of its family, and numbers."""

import numpy as np
import pytest
from safetensors.numpy import save

from agent.detector.families.tensors import ANY, Form, read
from agent.errors import PeerError

FORMS = {"a": Form(np.float64, (ANY, 2), 3), "b": Form(np.int16, (1,))}
A, B = np.ones((3, 2)), np.ones(1, np.int16)


def test_the_tensors_of_the_forms_are_read():
    assert (read(save({"a": A, "b": B}), FORMS)["a"] == A).all()
    assert set(read(save({"a": A}), FORMS, frozenset({"b"}))) == {"a"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "MODEL_WRONG_SHAPE"),
        (b"\xff" * 64, "MODEL_WRONG_SHAPE"),
        (save({"a": A}), "MODEL_WRONG_SHAPE"),
        (save({"a": A, "b": B, "c": B}), "MODEL_WRONG_SHAPE"),
        (save({"a": np.ones((4, 2)), "b": B}), "MODEL_WRONG_SHAPE"),
        (save({"a": np.ones((0, 2)), "b": B}), "MODEL_WRONG_SHAPE"),
        (save({"a": A.astype(np.float32), "b": B}), "MODEL_WRONG_SHAPE"),
        (save({"a": A.ravel(), "b": B}), "MODEL_WRONG_SHAPE"),
        (save({"a": A * np.inf, "b": B}), "MODEL_NOT_FINITE"),
        (save({"a": A * np.nan, "b": B}), "MODEL_NOT_FINITE"),
    ],
)
def test_p11_anything_else_is_refused_by_code(content, code):
    with pytest.raises(PeerError) as raised:
        read(content, FORMS)
    assert raised.value.code == code
