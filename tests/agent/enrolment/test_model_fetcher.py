"""A model is verified before it is installed, and is the one that the round names (P8)."""

import hashlib
from dataclasses import replace

import numpy
import pytest
from safetensors.numpy import save

from agent.enrolment.model_fetcher import ModelFetcher
from agent.errors import PeerError, UserActionError
from agent.models.verify import MinModelVersion, ModelFacts, check_model
from agent.protocol.canonical import canonical
from agent.protocol.jobs import ModelFiles
from tests.fakes.aggregator import FakeClient


@pytest.fixture
async def client(device):
    """A client of a device that is registered and has no model yet."""
    await device.join()
    return await device.agent.enrolment_client.connect(device.agent.gate.permit())


@pytest.fixture
def changes():
    return []


@pytest.fixture
def fetcher(device, client, changes):
    agent = device.agent
    return ModelFetcher(
        agent.effective,
        agent.models,
        lambda *_: pytest.fail("no repository is pinned"),
        agent.blocking_pool.run,
        lambda: changes.append(agent.models.min_version().version),
    )


async def fetch(device, fetcher, client, **changes):
    """Fetch the model of the server's round; `changes` are of the offer."""
    agent, server = device.agent, device.server
    offer = replace(server.config, **changes)
    return await fetcher.model_of(
        agent.gate.permit(), client, agent.effective.enrolment(), offer, server.task
    )


async def test_the_rounds_model_is_fetched_and_installed_once(device, fetcher, client, changes):
    model, fetched = await fetch(device, fetcher, client)
    assert (model.version, fetched, changes) == (1, len(device.server.content), [1])
    assert await fetch(device, fetcher, client) == (model, 0)
    assert device.server.calls.count("model") == 1


async def test_p8_a_model_that_the_round_does_not_name_is_not_installed(device, fetcher, client):
    await fetch(device, fetcher, client)
    device.server.publish(2, [0.5] * 116)
    for change in ({"model_digest": "ff" * 32}, {"model_digest": device.server.digest}):
        with pytest.raises(PeerError) as raised:
            await fetch(device, fetcher, client, **change)
        assert raised.value.code == "MODEL_NOT_THE_ROUNDS"
    assert device.agent.models.min_version().version == 1


async def test_p8_a_model_that_was_altered_on_the_way_is_not_installed(device, fetcher, client):
    device.server.content = device.server.content[:-1] + b"\x01"
    with pytest.raises(PeerError):
        await fetch(device, fetcher, client)
    assert device.agent.models.min_version().version == 0


async def test_p8_a_model_signed_by_another_key_is_not_installed(device, fetcher, client):
    class Forger(FakeClient):
        def model(self, known_digest=""):
            return replace(super().model(known_digest), signature="00" * 64)

    with pytest.raises(PeerError):
        await fetch(device, fetcher, Forger(device.server, client.identity))
    assert device.agent.models.min_version().version == 0


async def test_p8_metadata_that_was_altered_is_refused(device, fetcher, client):
    class Forger(FakeClient):
        def model(self, known_digest=""):
            facts = {**device.server.facts, "version": 9}
            return replace(super().model(known_digest), metadata=canonical(facts))

    with pytest.raises(PeerError):
        await fetch(device, fetcher, Forger(device.server, client.identity), model_version=9)
    assert device.agent.models.min_version().version == 0


async def test_p8_an_older_model_is_not_installed_over_a_newer_one(device, fetcher, client):
    device.server.publish(3, [0.5] * 116)
    await fetch(device, fetcher, client, model_version=3, model_digest=device.server.digest)
    device.server.publish(2, [0.25] * 116)
    with pytest.raises(PeerError):
        await fetch(device, fetcher, client, model_version=2, model_digest=device.server.digest)
    assert device.agent.models.min_version().version == 3


async def test_a_server_without_a_model_is_an_error(device, fetcher, client):
    class Empty(FakeClient):
        def model(self, known_digest=""):
            return None

    with pytest.raises(PeerError) as raised:
        await fetch(device, fetcher, Empty(device.server, client.identity))
    assert raised.value.code == "BAD_ANSWER"


async def test_p2_after_a_withdrawal_no_model_is_fetched(device, fetcher, client):
    agent = device.agent
    permit, enrolment = agent.gate.permit(), agent.effective.enrolment()
    await device.call("consent.withdraw", surface="tray")
    with pytest.raises(UserActionError):
        await fetcher.model_of(permit, client, enrolment, device.server.config, device.server.task)
    assert "model" not in device.server.calls


async def test_models_without_consent_need_a_pinned_repository(device):
    await device.call("enroll", invitation=device.server.invitation())
    assert await device.agent.enrolment_client.update_model() is False
    assert device.server.calls == []


class Repository:
    """A verified repository in memory: its task and its newest model."""

    def __init__(self, task, newest):
        self._task, self._newest = task, newest

    def task(self):
        return self._task

    def model(self, task, floor, known_sha256=""):
        assert task == self._task
        return None if self._newest is None or self._newest.sha256 == known_sha256 else self._newest


@pytest.fixture
def newest(device):
    """The server's model, as a repository verifies it."""
    server = device.server
    facts = ModelFacts.from_json(server.facts)
    return check_model(facts, server.content, task=server.task, minimum=MinModelVersion())


def fetcher_from(device, newest, pinned, changes):
    """A fetcher whose pinned repository has `newest`; `pinned` takes the roots asked for."""

    def repository(root_sha256, _):
        pinned.append(root_sha256)
        return Repository(device.server.task, newest)

    agent = device.agent
    return ModelFetcher(
        agent.effective,
        agent.models,
        repository,
        agent.blocking_pool.run,
        lambda: changes.append(agent.models.min_version().version),
    )


async def test_a_newer_model_of_the_pinned_repository_is_installed_once(
    device, client, newest, changes
):
    pinned = []
    fetcher = fetcher_from(device, newest, pinned, changes)
    assert await fetcher.update(client, "cd" * 32) is True
    assert await fetcher.update(client, "cd" * 32) is False
    assert (changes, pinned) == ([1], ["cd" * 32] * 2)
    assert device.agent.models.min_version().version == 1
    assert device.agent.effective.task() == device.server.task.to_json()


async def test_p8_a_pinned_repository_is_the_only_source_of_a_rounds_model(
    device, client, newest, changes
):
    agent = device.agent
    enrolment = replace(agent.effective.enrolment(), root_sha256="cd" * 32)

    async def fetch_from(fetcher):
        return await fetcher.model_of(
            agent.gate.permit(), client, enrolment, device.server.config, device.server.task
        )

    with pytest.raises(PeerError) as raised:
        await fetch_from(fetcher_from(device, None, [], changes))
    assert raised.value.code == "BAD_ANSWER"
    model, fetched = await fetch_from(fetcher_from(device, newest, [], changes))
    assert (model, fetched) == (newest, len(device.server.content))
    assert "model" not in device.server.calls


BASE = b"what the operator trained"


@pytest.fixture
def based(device):
    """The server, whose task has a base and whose model is a head on it."""
    server, d = device.server, device.server.task.d
    digest = hashlib.sha256(BASE).hexdigest()
    server.task = replace(server.task, model="base+head/1", base_sha256=digest, rounds=20)
    parts = {"trained": numpy.zeros(d), "scored": numpy.ones(d)}
    server.content = save({**parts, "base": numpy.frombuffer(bytes.fromhex(digest), numpy.uint8)})
    server.digest = hashlib.sha256(server.content).hexdigest()
    server.facts |= {"sha256": server.digest, "length": len(server.content)}
    server.config = server.plan()
    server.files = {f"targets/{digest}.base.safetensors": BASE}
    return server


async def test_p8_the_base_that_the_task_names_is_fetched_once(based, device, fetcher, client):
    model, _ = await fetch(device, fetcher, client)
    assert model.files_for(based.task) == ModelFiles(based.content, BASE, "base+head/1")
    assert await fetch(device, fetcher, client) == (model, 0)
    assert based.calls.count("public_file") == 1


@pytest.mark.parametrize(("content", "code"), [(b"another", "MODEL_ALTERED"), (None, "BAD_ANSWER")])
async def test_p8_without_the_right_base_nothing_is_installed(
    based, device, fetcher, client, content, code
):
    based.files = dict.fromkeys(based.files, content)
    with pytest.raises(PeerError) as raised:
        await fetch(device, fetcher, client)
    assert raised.value.code == code
    assert device.agent.models.min_version().version == 0
