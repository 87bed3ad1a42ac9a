import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from agent.errors import OperatorActionError
from agent.models.verify import MinModelVersion, verify_model
from agent.protocol.signing import public_hex
from server_stub.publishing import models, tuf_repository
from server_stub.storage.store import Store
from tests.fakes.live_server import make_home

NOW = 1_800_000_000


@pytest.fixture
def server(tmp_path):
    home, settings = make_home(tmp_path / "server", NOW)
    store = Store(home.database_url)
    yield home, store, settings.task
    store.close()


def file(values):
    return save({"weights": np.asarray(values, dtype=np.float64)})


def published(home):
    return tuf_repository.published_version(home.repository)


def refusal(content, task):
    """The code with which a file is refused; "" if it is accepted."""
    try:
        models.check_file(content, task)
    except OperatorActionError as error:
        return error.code
    return ""


def test_the_start_model_is_one_that_devices_accept(server):
    assert refusal(models.start_model(), server[2]) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a model",
        file(np.zeros(3)),
        file(np.zeros((2, 58))),
        file(np.full(116, 1.1e6)),
        file(np.full(116, np.nan)),
        file(np.full(116, np.inf)),
        save({"weights": np.zeros(116), "more": np.zeros(1)}),
        save({"other": np.zeros(116)}),
    ],
    ids=["empty", "text", "short", "matrix", "range", "nan", "inf", "two tensors", "name"],
)
def test_a_file_that_devices_would_refuse_is_not_published(server, content):
    assert refusal(content, server[2]) == "BAD_MODEL"


def test_weights_up_to_a_million_are_accepted(server):
    assert refusal(file(np.full(116, -1e6)), server[2]) == ""


@given(
    start=st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4),
    step=st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4),
)
def test_a_step_is_added_to_every_weight(start, step):
    moved = models.apply_step(file(start), np.array(step))
    np.testing.assert_array_equal(load(moved)["weights"], np.array(start) + np.array(step))


def test_a_signed_model_passes_the_devices_own_check(server):
    home, store, task = server
    key, model = home.signing_key(), store.models.newest()
    signed = models.sign_model(model, task, key)
    verified = verify_model(
        signed.metadata,
        signed.signature,
        signed.content,
        signing_key=public_hex(key),
        task=task,
        minimum=MinModelVersion(),
    )
    assert (verified.version, verified.sha256) == (1, model.sha256)
    assert signed.sha256 == hashlib.sha256(signed.content).hexdigest()
    assert json.loads(signed.metadata)["length"] == len(signed.content)


def test_a_published_model_is_the_next_version_in_database_and_repository(server):
    home, store, task = server
    content = file(np.linspace(-1, 1, 116))
    model = models.publish(
        home, store, task, content, origin="operator", demonstration=False, now=NOW + 5
    )
    assert (model.version, model.published_at, model.demonstration) == (2, NOW + 5, 0)
    assert model.content == content
    assert store.models.newest() == model
    assert published(home) == 2


def test_a_model_that_a_crash_kept_out_of_the_repository_is_put_there(server):
    home, store, task = server
    content = file(np.zeros(116))
    store.models.add(
        models.make_model(2, content, origin="operator", demonstration=False, now=NOW), NOW
    )
    assert published(home) == 1
    assert models.sync_repository(home, store, task, NOW).version == 2
    assert published(home) == 2
    before = (home.repository / "metadata" / "timestamp.json").read_bytes()
    models.sync_repository(home, store, task, NOW)
    assert (home.repository / "metadata" / "timestamp.json").read_bytes() == before


def test_old_signatures_are_renewed_without_a_new_model(server):
    home, store, task = server
    ends = tuf_repository.ends(home.repository)["timestamp"]
    models.sync_repository(home, store, task, NOW + 86_400)
    assert tuf_repository.ends(home.repository)["timestamp"] > ends
    assert published(home) == 1


def test_a_repository_without_any_model_is_an_error_for_the_operator(server, tmp_path):
    home, _, task = server
    empty = Store(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with pytest.raises(OperatorActionError) as refused:
        models.sync_repository(home, empty, task, NOW)
    assert refused.value.code == "NO_MODEL"
    empty.close()
