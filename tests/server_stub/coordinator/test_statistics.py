"""The aggregator's figures are counts; none of them is about a single device."""

import json
import math
import time
from dataclasses import replace

import pytest

from agent.privacy.zcdp import epsilon, rho_units
from server_stub.config.settings import ServerSettings, default_task, override
from server_stub.coordinator.statistics import round_summary, statistics
from server_stub.rounds.lifecycle import Event, State, local_config, next_identity
from server_stub.storage.records import CertificateRecord, Model, Round
from server_stub.storage.store import Store
from tests.fakes.live_server import OPERATOR

NOW = int(time.time())
SETTINGS = override(ServerSettings(OPERATOR, default_task()), epsilon_milli=1000, planned=20)
CONFIG = local_config(
    SETTINGS.task,
    SETTINGS.rounds,
    next_identity(
        SETTINGS.task,
        replace(SETTINGS.rounds, lead_s=0),
        round_id=5,
        model_version=3,
        model_digest="ab" * 32,
        now=NOW,
    ),
)
ENDED = Round(
    round_id=5,
    state=State.DONE,
    config=CONFIG,
    target=10,
    updates=9,
    closed_at=NOW + 60,
    model_version=4,
    note="",
    record={"groups": [{"size": 9}], "left_out": 1, "dropped": {"masked": 2}},
)


@pytest.fixture
def store(tmp_path):
    opened = Store(f"sqlite:///{tmp_path / 'aggregator.sqlite3'}")
    yield opened
    opened.close()


def test_a_new_aggregator_has_neither_a_model_nor_a_round(store):
    figures = statistics(store, SETTINGS)
    assert (figures["model_version"], figures["model_sha256"]) == (0, "")
    assert figures["round"] is None
    assert figures["devices"] == figures["updates"] == 0
    assert (figures["task_id"], figures["mode"]) == (SETTINGS.task.task_id, "secagg")


def test_the_figures_are_those_of_the_newest_model_and_round(store):
    for version in (1, 2):
        model = Model(version, f"{version}" * 64, NOW, 0, "operator", b"content")
        store.models.add(model, NOW)
    store.rounds.open(replace(CONFIG, round_id=1), 10)
    figures = statistics(store, SETTINGS)
    assert (figures["model_version"], figures["model_sha256"]) == (2, "2" * 64)
    assert figures["round"] == round_summary(store.rounds.newest(), SETTINGS)
    assert (figures["round"]["state"], figures["round"]["updates"]) == ("open", 0)


def test_what_the_newest_combined_round_survives_is_said_while_the_next_one_is_open(store):
    assert statistics(store, SETTINGS)["defence"] == ""
    for round_id, sentence in ((1, "about 1 in 100 devices"), (2, "one device")):
        store.rounds.open(replace(CONFIG, round_id=round_id), 10)
        store.rounds.close_groups(round_id, {}, NOW)
        record = {"defence": {"sentence": sentence}}
        store.rounds.reject(round_id, NOW, "", record, ())
    store.rounds.open(replace(CONFIG, round_id=3), 10)
    store.rounds.abandon(3, Event.TOO_FEW, NOW, "")
    store.rounds.open(replace(CONFIG, round_id=4), 10)
    assert statistics(store, SETTINGS)["defence"] == "one device"


def test_no_figure_names_a_device(store):
    device_id = "urn:uuid:00000000-0000-4000-8000-000000000007"
    store.devices.add(device_id, CertificateRecord("f" * 64, b"key", NOW, NOW + 9), "", NOW)
    store.rounds.open(CONFIG, 10)
    store.updates.add(device_id, 5, b"body", "d" * 64, "receipt", NOW)
    figures = statistics(store, SETTINGS)
    assert (figures["devices"], figures["round"]["updates"]) == (1, 1)
    printed = json.dumps(figures)
    for secret in (device_id, "f" * 64, "d" * 64, "receipt"):
        assert secret not in printed


def test_a_rounds_epsilon_is_the_price_of_that_round_alone():
    price = round_summary(ENDED, SETTINGS)["epsilon_ledger"]
    delta = 1 / SETTINGS.rounds.delta_inverse
    assert price == pytest.approx(epsilon(rho_units(CONFIG), delta), abs=1e-6)
    # Twenty of them share ε = 1, and in zCDP ε grows more slowly than the number of rounds.
    assert 1 / 20 < price < 1
    assert math.isclose(epsilon(20 * rho_units(CONFIG), delta), 1, rel_tol=0.01)


def test_a_summary_has_the_record_of_the_groups_and_nothing_where_there_is_none():
    summary = round_summary(ENDED, SETTINGS)
    assert (summary["round_id"], summary["state"], summary["closed_at"]) == (5, "done", NOW + 60)
    assert (summary["base_version"], summary["model_version"]) == (3, 4)
    assert (summary["groups"], summary["left_out"], summary["dropped"]) == (
        [{"size": 9}],
        1,
        {"masked": 2},
    )
    empty = round_summary(replace(ENDED, record={}), SETTINGS)
    assert (empty["groups"], empty["left_out"], empty["dropped"]) == ([], 0, {})
