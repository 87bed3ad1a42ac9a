"""Rounds open, close, are combined and published one after the other, whatever happens in between.

The driver of local rounds takes its steps by hand here; secure aggregation runs over real TLS.
"""

import asyncio
import contextlib
import os
import time
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest

from agent.detector.families.base_head import BaseHead
from agent.detector.families.family import Head
from agent.detector.families.table import family
from agent.detector.synthetic import generate
from agent.errors import OperatorActionError
from agent.privacy.seal import seal
from agent.privacy.weights import incoming
from agent.protocol import codec, envelope
from agent.protocol.messages import Mode, TrainingRows
from agent.protocol.packing import pack
from agent.protocol.revocations import read_revocations
from agent.transport.responses import RetryLater
from server_stub.aggregation.mean import mean_update
from server_stub.ca.authority import Authority
from server_stub.cli.detectors import Detector
from server_stub.config.settings import default_task
from server_stub.coordinator import driver
from server_stub.coordinator.driver import RoundDriver
from server_stub.coordinator.reference import ReferenceReader
from server_stub.publishing import models
from server_stub.publishing.calibration import Calibration, write_calibration
from server_stub.publishing.heads import recipe_of
from server_stub.publishing.public_rows import PublicRows
from server_stub.rounds.lifecycle import State, server_rate
from server_stub.storage.records import CertificateRecord
from server_stub.storage.serial_executor import SerialExecutor
from server_stub.storage.store import Store
from server_stub.training.server_step import server_step, start
from server_stub.validation.root import is_canary, parted, root_update
from tests.fakes.clock import FakeClock
from tests.fakes.group_devices import run_round
from tests.fakes.group_rounds import (
    MESSAGES,
    assert_mean,
    count_events,
    enrol_devices,
    group_server,
    join_window,
    poll_until_window,
    refusal,
    send_all,
    stored_events,
    wait_for_end,
)
from tests.fakes.live_server import make_home
from tests.fakes.small_base import small_base
from tests.fakes.timeouts import TIMEOUT_S, until


class LocalAggregator:
    """An aggregator for local rounds without ports, and a driver that takes its steps by hand."""

    def __init__(self, folder, **options):
        self.clock = FakeClock(int(time.time()))
        self.home, self.settings = make_home(
            folder, self.clock.now(), mode=Mode.LOCAL, **{"target": 2, "seconds": 600, **options}
        )
        self.store = Store(self.home.database_url)
        self.executor = SerialExecutor()
        self.restart()

    def restart(self, reference=lambda: None):
        """A new driver, which knows nothing but the database and the operator's rows."""
        self.driver = RoundDriver(
            self.home,
            self.store,
            self.settings,
            self.home.signing_key(),
            self.clock,
            self.executor,
            SimpleNamespace(revocations=lambda: "", witness=None),
            reference,
        )

    def steps(self):
        """Do everything that is due; return the newest round."""
        while self.driver.step():
            pass
        return self.store.rounds.newest()

    def add_update(self, value=0.01, body=None):
        """Store an update of another device for the open round."""
        current, now = self.store.rounds.newest(), self.clock.now()
        device_id = os.urandom(8).hex()
        record = CertificateRecord(device_id, b"key", now, now + 1000)
        self.store.devices.add(device_id, record, "", now)
        if body is None:
            vector = np.broadcast_to(value, current.config.d).astype(float)
            body = seal(vector, current.config, os.urandom(8).hex())
        digest = sha256(body).hexdigest()
        self.store.updates.add(device_id, current.round_id, body, digest, "receipt", now)

    def expected_model(self, round_):
        """The model file that the stored updates of a round make."""
        mean, count = mean_update(self.store.updates.bodies(round_.round_id), round_.config)
        step = incoming(mean, self.settings.task, round_.config, count)
        base = self.store.models.get(round_.config.model_version)
        rate = server_rate(self.settings.rounds, round_.round_id)
        return models.apply_step(base.content, step * rate)

    def publish(self, version):
        """What `aegis-server model publish` does in another process."""
        now = self.clock.now()
        model = models.make_model(
            version, models.start_model(), origin="operator", demonstration=False, now=now
        )
        self.store.models.add(model, now)


@pytest.fixture
def make_aggregator(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(**options):
            aggregator = LocalAggregator(tmp_path / "server", **options)
            stack.callback(aggregator.store.close)
            stack.callback(aggregator.executor.close)
            return aggregator

        yield make


def test_a_full_round_is_combined_into_the_next_model_and_the_next_round_opens(make_aggregator):
    aggregator = make_aggregator()
    first = aggregator.steps()
    assert (first.round_id, first.state, first.config.model_version) == (1, State.OPEN, 1)
    assert aggregator.driver.situation.round == first
    aggregator.add_update(0.01)
    assert aggregator.steps() == aggregator.store.rounds.get(1)
    aggregator.add_update(0.03)
    expected = aggregator.expected_model(first)
    second = aggregator.steps()
    assert (second.round_id, second.state, second.config.model_version) == (2, State.OPEN, 2)
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.updates, ended.model_version) == (State.DONE, 2, 2)
    assert aggregator.store.models.get(2).content == expected
    assert aggregator.driver.situation.model.version == 2
    assert list(aggregator.store.updates.bodies(1)) == []


def test_p10_a_driver_that_starts_again_after_any_step_comes_to_the_same_model(make_aggregator):
    aggregator = make_aggregator()
    first = aggregator.steps()
    aggregator.add_update(0.01)
    aggregator.add_update(0.03)
    expected = aggregator.expected_model(first)
    states = []
    while (current := aggregator.store.rounds.newest()).round_id == 1:
        states.append(current.state)
        aggregator.restart()
        aggregator.driver.step()
    assert states == [State.OPEN, State.COMBINING, State.DONE]
    assert aggregator.store.models.get(2).content == expected


def test_at_the_deadline_enough_updates_make_a_model_and_too_few_make_none(make_aggregator):
    aggregator = make_aggregator(target=5, minimum=2)
    aggregator.steps()
    aggregator.add_update()
    aggregator.clock.advance(600)
    second = aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.model_version) == (State.ABANDONED, None)
    assert (second.round_id, second.config.model_version) == (2, 1)
    for _ in range(2):
        aggregator.add_update()
    aggregator.clock.advance(600)
    assert aggregator.steps().config.model_version == 2
    assert aggregator.store.rounds.get(2).updates == 2


def test_a_pause_lies_between_two_rounds(make_aggregator):
    aggregator = make_aggregator(pause_s=100)
    aggregator.steps()
    aggregator.add_update()
    aggregator.add_update()
    assert aggregator.steps().state is State.DONE
    aggregator.clock.advance(99)
    assert aggregator.steps().round_id == 1
    aggregator.clock.advance(1)
    assert aggregator.steps().round_id == 2


def test_a_model_that_the_operator_publishes_replaces_the_open_round(make_aggregator):
    aggregator = make_aggregator()
    aggregator.steps()
    aggregator.add_update()
    aggregator.publish(2)
    second = aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.note) == (State.ABANDONED, "another model was published")
    assert (second.round_id, second.config.model_version) == (2, 2)
    assert aggregator.driver.situation.model.version == 2


def test_a_model_that_is_published_while_a_round_is_combined_wins(make_aggregator):
    aggregator = make_aggregator()
    aggregator.steps()
    aggregator.add_update()
    aggregator.add_update()
    assert aggregator.driver.step()
    assert aggregator.store.rounds.get(1).state is State.COMBINING
    aggregator.publish(2)
    aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.note) == (State.ABANDONED, "another model was published")
    assert aggregator.store.models.get(2).origin == "operator"


def test_p11_an_update_that_cannot_be_honest_is_left_out_alone(make_aggregator):
    aggregator = make_aggregator()
    config = aggregator.steps().config
    largest = np.full(config.d_padded, 2 ** (config.bits - 1) - 1, np.uint32)
    aggregator.add_update(body=envelope.encode({}, pack(largest, config.bits)))
    aggregator.add_update()
    second = aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.updates) == (State.DONE, 1)
    assert ended.record["defence"]["refused"] == {"SUM_OUT_OF_RANGE": 1}
    assert (second.round_id, second.config.model_version) == (2, 2)


def test_p11_a_round_of_which_nothing_decodes_makes_no_model(make_aggregator):
    aggregator = make_aggregator(target=1)
    aggregator.steps()
    aggregator.add_update(body=b"no envelope")
    second = aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.note) == (State.ABANDONED, "SUM_OUT_OF_RANGE")
    assert (second.round_id, second.config.model_version) == (2, 1)


def test_the_model_of_a_round_has_thresholds_from_the_rows_of_the_calibration(make_aggregator):
    aggregator = make_aggregator(target=1)
    made = generate(np.random.default_rng(4), 400)
    rows = Calibration(made.rows, made.labels, 0.1, 0.3)
    write_calibration(aggregator.home.calibration_file, rows)
    aggregator.steps()
    aggregator.add_update()
    aggregator.steps()
    head = family("logistic/1").read_head(aggregator.store.models.get(2).content, 116)
    assert head.bounds.false_positive_rate == 0.1


def detector_with_base():
    """A detector as `aegis-server model train` makes it, with a course of two rounds."""
    base, made = small_base(), generate(np.random.default_rng(5), 120)
    task = replace(
        default_task(Mode.LOCAL),
        model="base+head/1",
        d=base.d,
        train_steps=1,
        train_rate_milli=1000,
        clip_milli=20,
        base_sha256=base.digest,
        rows=TrainingRows.BENIGN,
        rounds=2,
        mean_weight_milli=4000,
        base_weight_milli=500,
    )
    zeros = np.zeros(base.d)
    return Detector(
        task,
        base.content,
        BaseHead().write_head(Head(zeros, zeros, base.digest)),
        PublicRows(made.rows, made.labels, np.linspace(-3, 3, len(made.labels))),
        server_rate_milli=20_000,
        server_shrink_milli=950,
        is_demonstration=False,
    )


def test_p10_a_head_takes_the_servers_steps_whatever_restarts_and_its_course_ends(make_aggregator):
    """Each round: the mean of the devices beside the operator's rows. The last one publishes the
    average.
    """
    detector = detector_with_base()
    aggregator = make_aggregator(detector=detector)
    task, settings = detector.task, aggregator.settings
    public = detector.rows.replay(detector.base, 0.5)
    state, recipe = start(np.zeros(task.d)), recipe_of(task, settings.rounds)
    for number, value in ((1, 0.01), (2, -0.02)):
        current = aggregator.steps()
        assert (current.round_id, current.state) == (number, State.OPEN)
        aggregator.add_update(value)
        aggregator.add_update(value / 2)
        mean, count = mean_update(aggregator.store.updates.bodies(number), current.config)
        aggregator.restart()
        aggregator.steps()
        step = incoming(mean, task, current.config, count)
        state = server_step(state, step, public, recipe)
        model = aggregator.store.models.newest()
        head = BaseHead().read_head(model.content, task.d)
        assert head.scored == pytest.approx(state.scored, abs=1e-9)
        assert np.any(head.trained)
    assert model.origin == "course ended by round 2"
    assert np.array_equal(head.trained, head.scored)


def operator_rows():
    """Rows of the project's own generator, of which half are the canary's."""
    made = generate(np.random.default_rng(3), 1200)
    prepared = family("logistic/1").scorer(b"", 0.0).prepare(made.rows)
    return parted(prepared, made.labels, is_canary(made.groups))


def test_a_model_that_is_worse_on_the_operators_rows_is_not_published(make_aggregator):
    aggregator = make_aggregator(
        epsilon_milli=1_000_000, planned=1, fast_spending=True, lifetime_epsilon_milli=1_000_000
    )
    known = operator_rows()
    aggregator.restart(lambda: known)
    aggregator.steps()
    weights = models.trained_head(aggregator.store.models.get(1).content, aggregator.settings.task)
    against = -root_update(known, weights, aggregator.settings.task)
    for _ in range(2):
        aggregator.add_update(against * 3)
    second = aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert ended.state is State.REJECTED
    assert ended.record["defence"]["rule"] == "anchored-mean"
    assert ended.note.startswith(("no group passed the gate", "the canary refused the model"))
    assert (second.round_id, second.config.model_version) == (2, 1)
    assert aggregator.store.models.newest_version() == 1


def test_a_model_that_is_better_on_the_operators_rows_is_published_with_its_figures(
    make_aggregator,
):
    aggregator = make_aggregator(
        epsilon_milli=1_000_000, planned=1, fast_spending=True, lifetime_epsilon_milli=1_000_000
    )
    known = operator_rows()
    aggregator.restart(lambda: known)
    aggregator.steps()
    weights = models.trained_head(aggregator.store.models.get(1).content, aggregator.settings.task)
    for _ in range(2):
        aggregator.add_update(0.05 * root_update(known, weights, aggregator.settings.task))
    aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.model_version) == (State.DONE, 2)
    canary = ended.record["canary"]
    assert canary["candidate"]["loss"] < 1.1 * canary["start"]["loss"]
    assert canary["reasons"] == []


def test_no_device_pays_for_a_round_while_the_operators_rows_cannot_be_read(make_aggregator):
    aggregator = make_aggregator()
    aggregator.home.rows_file.write_bytes(b"no archive")
    aggregator.restart(ReferenceReader(aggregator.home, aggregator.settings.task))
    assert aggregator.steps() is None
    aggregator.home.rows_file.unlink()
    assert aggregator.steps().state is State.OPEN


def test_rows_of_which_one_part_has_one_class_judge_nothing(make_aggregator):
    aggregator = make_aggregator(target=1)
    known = operator_rows()
    labels = np.zeros_like(known.canary_labels)
    aggregator.restart(lambda: replace(known, canary_labels=labels))
    aggregator.steps()
    aggregator.add_update()
    aggregator.steps()
    ended = aggregator.store.rounds.get(1)
    assert (ended.state, ended.record["canary"]) == (State.DONE, None)
    assert ended.record["defence"]["rule"] == "mean"


async def test_a_driver_that_is_woken_does_at_once_what_is_due(make_aggregator, monkeypatch):
    monkeypatch.setattr(driver, "POLL_S", TIMEOUT_S)
    aggregator = make_aggregator()
    running = asyncio.create_task(aggregator.driver.run())

    async def newest_is(round_id):
        def poll():
            newest = aggregator.store.rounds.newest()
            return newest is not None and newest.round_id == round_id

        await asyncio.to_thread(until, poll)

    await newest_is(1)
    aggregator.add_update()
    aggregator.add_update()
    aggregator.driver.wake()
    await newest_is(2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_p6_a_round_of_groups_moves_the_model_by_the_mean_of_all(tmp_path):
    with group_server(tmp_path, 5) as server:
        devices = enrol_devices(server, 5)
        offer = poll_until_window(devices)
        assert (offer.status, offer.join_opens, offer.join_closes) == (
            "open",
            offer.time,
            offer.time + 60,
        )
        assert (offer.round.mode, offer.round.min_group, offer.round.opens_at) == (
            Mode.SECAGG,
            4,  # so that a fifth of them may drop out
            offer.join_opens,
        )
        assert offer.round.closes_at == offer.join_closes + 4 * 60
        run_round(devices, offer)
        assert [device.failure for device in devices] == [None] * 5
        ended = wait_for_end(server)
        assert (ended.state, ended.updates, ended.model_version) == (State.DONE, 5, 2)
        assert_mean(server, devices, ended)
        (group,) = ended.record["groups"]
        assert (group["size"], group["dealers"], group["survivors"]) == (5, 5, 5)
        assert (group["state"], group["m"]) == ("done", ended.config.min_sum)
        assert group["noise_sd_units_planned"] == round((5 * ended.config.noise_var) ** 0.5, 3)
        assert (ended.record["left_out"], ended.record["dropped"]["masked"]) == (0, 0)
        # All that is left of a device is the receipt for its bytes.
        assert stored_events(server) == []
        client = devices[0].enrolled.client
        assert [
            (update["round_id"], update["bytes"], update["content_held"])
            for update in client.device()["updates"]
        ] == [(1, len(devices[0].masked), False)]
        # A device whose receipt got lost may ask for it after the end, too.
        assert client.send_update(devices[0].masked) == devices[0].receipt
        # The next round is for devices that have trained the next model.
        assert devices[0].report_ready(trained=1).round is None
        offer = poll_until_window(devices)
        assert (offer.round.round_id, offer.round.model_version) == (2, 2)


@pytest.mark.parametrize("phase", ["shares", "masked", "unmask"])
async def test_p6_a_device_that_drops_out_of_a_phase_costs_the_others_nothing(tmp_path, phase):
    with group_server(tmp_path, 5) as server:
        devices = enrol_devices(server, 5)
        offer = poll_until_window(devices)
        running = asyncio.create_task(
            asyncio.to_thread(run_round, devices, offer, {phase: [devices[4]]})
        )
        # The threshold ends the last phase; the others end by their deadline.
        if phase != "unmask":
            await asyncio.to_thread(until, lambda: count_events(server, phase) == 4)
            server.clock.advance(60)
        await running
        ended = await asyncio.to_thread(wait_for_end, server)
        assert [device.failure for device in devices] == [None] * 4 + [phase]
        counted = devices if phase == "unmask" else devices[:4]
        assert (ended.state, ended.updates) == (State.DONE, len(counted))
        assert_mean(server, counted, ended)
        (group,) = ended.record["groups"]
        assert group["size"] == 5
        assert phase == "unmask" or ended.record["dropped"][phase] == 1


def test_p6_no_sum_of_fewer_devices_than_the_minimum_is_opened(tmp_path):
    with group_server(tmp_path, 5, min_sum=3) as server:
        devices = enrol_devices(server, 5)
        join_window(devices)
        send_all(devices, "advertise", "shares")
        send_all(devices[:2], "masked")
        server.clock.advance(60)
        ended = wait_for_end(server)
        assert (ended.state, ended.note, ended.model_version) == (
            State.ABANDONED,
            "no group gave a sum",
            None,
        )
        (group,) = ended.record["groups"]
        assert (group["state"], group["failure"], group["dealers"]) == (
            "aborted",
            "masking: too few",
            5,
        )
        assert refusal(devices[0].inbox, "masked") == "ROUND_CLOSED"
        # The updates are not lost: the devices are ready for the next window on the same model. A
        # fifth of them sits it out, because nobody can be blamed.

        def offered():
            rounds = [device.report_ready().round for device in devices]
            return [one.model_version for one in rounds if one is not None]

        assert until(offered, what="the next window") == [1] * 4


def test_too_few_devices_in_the_window_end_the_round_before_any_update_is_sent(tmp_path):
    with group_server(tmp_path, 4) as server:
        devices = enrol_devices(server, 4)
        join_window(devices)
        send_all(devices[:2], "advertise")
        server.clock.advance(60)
        ended = wait_for_end(server)
        assert (ended.state, ended.note, ended.record["left_out"]) == (
            State.ABANDONED,
            "too few devices advertised",
            2,
        )
        assert refusal(devices[0].inbox, "advertise") == "ROUND_CLOSED"


def test_a_window_is_announced_once_enough_devices_have_trained_the_present_model(tmp_path):
    with group_server(tmp_path, 3, lead_s=600) as server:
        devices = enrol_devices(server, 4)
        assert [device.report_ready(trained=0).round for device in devices[:2]] == [None, None]
        assert [device.enrolled.client.offer().round for device in devices[:2]] == [None, None]
        for device in devices[:2]:
            offer = device.report_ready(trained=1)
            assert (offer.join_opens, offer.join_closes, offer.model_version) == (0, 0, 1)
            assert 0 < offer.next_poll_s <= 300
        devices[0].enrolled.client.offer()  # no longer ready
        devices[2].report_ready(trained=1)
        server.clock.advance(1)
        assert devices[2].report_ready(trained=1).round is None
        devices[0].report_ready(trained=1)
        offer = devices[2].poll_until_offered()
        now = server.clock.now()
        assert (offer.join_opens, offer.join_closes) == (now + 600, now + 660)
        assert offer.next_poll_s == 600
        # The window is shown to every device, also to one that is not ready yet.
        assert devices[3].enrolled.client.offer().round.round_id == 1
        revoked = read_revocations(offer.crl_pem, server.home.ca_pem, offer.time).serials
        assert revoked == frozenset()


def test_without_its_authority_the_server_runs_on_and_opens_rounds_later(
    tmp_path, monkeypatch, caplog
):
    revocations = Authority.revocations
    is_down = True

    def revocations_when_up(authority):
        if is_down:
            raise OperatorActionError("CA_START", "The enrolment authority did not start.")
        return revocations(authority)

    monkeypatch.setattr(Authority, "revocations", revocations_when_up)
    with group_server(tmp_path, 3) as server:
        devices = enrol_devices(server, 3)
        for device in devices:
            with pytest.raises(RetryLater):
                device.report_ready()
        until(lambda: "round.not_opened id=1 code=CA_UNREACHABLE" in caplog.text)
        is_down = False

        def is_answered():
            with contextlib.suppress(RetryLater):
                return devices[0].report_ready()

        until(is_answered)
        assert poll_until_window(devices).round.round_id == 1


def test_the_sums_of_two_groups_are_opened_apart_and_averaged_together(tmp_path):
    with group_server(tmp_path, 8, g_max=7, min_group=2) as server:
        devices = enrol_devices(server, 8)
        offer = join_window(devices)
        send_all(devices, "advertise")
        context = codec.round_context(offer.round)
        grouped, groups = [], set()
        for device in devices:
            roster = codec.decode_roster(device.inbox("advertise"), context)
            assert len(roster.draw.groups(device.config)) == 2
            assert len(roster.members) == 4
            assert len(roster.witnessed.signature) == 64
            grouped.append(device)
            groups.add(roster.group)
        send_all(grouped, *MESSAGES[1:])
        ended = wait_for_end(server)
        assert [group["state"] for group in ended.record["groups"]] == ["done"] * len(groups)
        assert sum(group["survivors"] for group in ended.record["groups"]) == len(grouped)
        assert ended.updates == len(grouped)
        assert ended.record["left_out"] == len(devices) - len(grouped)
        assert_mean(server, grouped, ended)


def test_a_device_that_is_too_late_for_a_round_takes_part_in_the_next_one(tmp_path):
    with group_server(tmp_path, 3) as server:
        devices = enrol_devices(server, 4)
        late = devices.pop()
        offer = poll_until_window(devices)
        late.join(offer)
        run_round(devices, offer)
        assert refusal(late.send, "advertise") == "ROUND_CLOSED"
        assert wait_for_end(server).state is State.DONE
        devices = [*devices[:2], late]
        run_round(devices, poll_until_window(devices))
        ended = wait_for_end(server, 2)
        assert ended.updates == 3
        assert_mean(server, devices, ended, version=3)


def test_a_model_that_the_operator_publishes_ends_the_round_for_every_device(tmp_path):
    with group_server(tmp_path, 3) as server:
        devices = enrol_devices(server, 3)
        join_window(devices)
        send_all(devices, "advertise")
        model = models.make_model(
            2, models.start_model(), origin="operator", demonstration=False, now=server.clock.now()
        )
        server.view.models.add(model, server.clock.now())
        until(lambda: devices[0].enrolled.client.offer().model_version == 2)
        assert refusal(devices[0].enrolled.client.inbox, 1, "shares") == "ROUND_CLOSED"
        assert wait_for_end(server).state is State.ABANDONED
