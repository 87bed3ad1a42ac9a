"""The bundled model is whole, verified by its own digest, and known as a demonstration."""

import hashlib

from agent.detector.schema import SCHEMA
from agent.models.bundled import bundled_model
from agent.models.verify import check_content


def test_the_bundled_model_is_version_zero_and_fits_the_packaged_schema():
    model = bundled_model()
    assert (model.version, model.demonstration) == (0, True)
    assert model.sha256 == hashlib.sha256(model.files.head).hexdigest()
    assert SCHEMA
    check_content(model.files.head, 116)
