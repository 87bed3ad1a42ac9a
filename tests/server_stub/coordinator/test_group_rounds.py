"""Secure aggregation over real TLS: the aggregator as it runs, devices with their own machines, and
everything that goes wrong between.
"""

import contextlib
import threading
from itertools import pairwise

import numpy as np
import pytest
from safetensors.numpy import load

from agent.errors import AegisError, OperatorActionError
from agent.privacy.codec import noise_sd
from agent.protocol import codec, envelope
from agent.protocol.messages import Mode
from agent.protocol.revocations import read_revocations
from agent.transport.responses import RetryLater
from server_stub.ca.authority import Authority
from server_stub.config.limits import Rate, Rates
from server_stub.coordinator import driver
from server_stub.coordinator.statistics import round_summary
from server_stub.rounds.lifecycle import State
from tests.fakes.group_devices import GroupDevice, run_round
from tests.fakes.live_server import LiveServer
from tests.fakes.timeouts import TIMEOUT_S, until

GENEROUS = Rate(1_000_000, 100_000.0)
TINY = {
    "mode": Mode.SECAGG,
    "min_group": 3,
    "min_sum": 2,
    "gamma_milli": 0,
    "g_max": 10,
    "lead_s": 0,
    "join_s": 60,
    "phase_s": 60,
    "planned": 1,
    "epsilon_milli": 1_000_000,
    "lifetime_epsilon_milli": 1_000_000,
}
MESSAGES = ("advertise", "shares", "masked", "consistency", "unmask")


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    monkeypatch.setattr(driver, "POLL_S", 0.05)


def served(folder, ready_target, **options):
    return LiveServer(
        folder, rates=Rates(*[GENEROUS] * 5), **{**TINY, "ready_target": ready_target, **options}
    )


def enrolled(server, count):
    token = server.token(uses=count)
    return [GroupDevice(server.enrol(token), 0.01 * (1 + number % 8)) for number in range(count)]


def offered(devices):
    """All are ready; the window that is announced for them."""
    for device in devices:
        device.report_ready()
    return [device.poll_until_offered() for device in devices][-1]


def joined(devices):
    offer = offered(devices)
    for device in devices:
        device.join(offer)
    return offer


def ended(server, round_id=1):
    """The round as the database has it once it is over."""
    return until(
        lambda: (
            (held := server.view.rounds.get(round_id))
            and held.state in (State.DONE, State.ABANDONED)
            and held
        )
    )


def entries(server, round_id=1):
    return server.view.round_events.events(round_id)


def said(server, kind):
    return sum(entry.kind == kind for entry in entries(server))


def step_of(server, version):
    """By how much the model moved from the one before, and the noise that is in it."""
    now, before = (
        load(server.view.models.get(number).content)["weights"] for number in (version, version - 1)
    )
    return now - before


def check_mean(server, devices, held, version=2):
    """The model moved by the mean of exactly these devices' updates."""
    step = step_of(server, version)
    expected = np.mean([device.value for device in devices])
    tolerance = 6 * noise_sd(held.config, len(devices)) / np.sqrt(len(step))
    assert abs(step.mean() - expected) < tolerance


def refused(call, *arguments):
    with pytest.raises(AegisError) as raised:
        call(*arguments)
    return raised.value.code


def is_answered(call):
    try:
        call()
    except RetryLater:
        return False
    return True


def test_p6_a_round_of_groups_moves_the_model_by_the_mean_of_all(tmp_path):
    with served(tmp_path, 5) as server:
        devices = enrolled(server, 5)
        offer = offered(devices)
        assert (offer.status, offer.join_opens, offer.join_closes) == (
            "open",
            offer.time,
            offer.time + 60,
        )
        assert (offer.round.mode, offer.round.min_group, offer.round.opens_at) == (
            Mode.SECAGG,
            3,
            offer.join_opens,
        )
        assert offer.round.closes_at == offer.join_closes + 4 * 60
        run_round(devices, offer)
        assert [device.failure for device in devices] == [None] * 5
        held = ended(server)
        assert (held.state, held.updates, held.model_version) == (State.DONE, 5, 2)
        check_mean(server, devices, held)
        (group,) = round_summary(held, server.settings)["groups"]
        assert (
            group["size"],
            group["dealers"],
            group["survivors"],
            group["state"],
            group["m"],
        ) == (5, 5, 5, "done", held.config.min_sum)
        assert group["noise_sd_units_planned"] == round((5 * held.config.noise_var) ** 0.5, 3)
        assert (held.record["left_out"], held.record["dropped"]["masked"]) == (0, 0)
        # Nothing of any device is left but the receipt for its bytes.
        assert entries(server) == []
        about = devices[0].enrolled.client.device()["updates"]
        assert [(one["round_id"], one["bytes"], one["content_held"]) for one in about] == [
            (1, len(devices[0].masked), False)
        ]
        # The lost answer of the input is asked for again, after the end too.
        assert devices[0].enrolled.client.send_update(devices[0].masked) == devices[0].receipt
        # The next round is for the next model.
        assert devices[0].report_ready(trained=1).round is None
        again = offered(devices)
        assert (again.round.round_id, again.round.model_version) == (2, 2)


@pytest.mark.parametrize("phase", ["shares", "masked", "unmask"])
def test_p6_a_device_that_drops_out_of_a_phase_costs_the_others_nothing(tmp_path, phase):
    with served(tmp_path, 5) as server:
        devices = enrolled(server, 5)
        offer = offered(devices)
        silent = devices[4]
        round_of_all = threading.Thread(target=run_round, args=(devices, offer, {phase: [silent]}))
        round_of_all.start()
        if phase in MESSAGES[:3]:  # the others wait for no one: enough have answered
            until(lambda: said(server, phase) == 4)
            server.clock.advance(60)
        round_of_all.join(TIMEOUT_S)
        held = ended(server)
        assert [device.failure for device in devices] == [None] * 4 + [phase]
        counted = devices if phase in ("consistency", "unmask") else devices[:4]
        assert (held.state, held.updates) == (State.DONE, len(counted))
        check_mean(server, counted, held)
        (group,) = held.record["groups"]
        assert group["size"] == (4 if phase == "advertise" else 5)
        assert phase in ("advertise", "consistency", "unmask") or held.record["dropped"][phase] == 1


def test_p6_never_a_sum_below_the_minimum(tmp_path):
    with served(tmp_path, 5, min_sum=3) as server:
        devices = enrolled(server, 5)
        for device in devices:
            device.report_ready()
        joined(devices)
        for kind in MESSAGES[:2]:
            for device in devices:
                device.send(kind)
        for device in devices[:2]:
            device.send("masked")
        server.clock.advance(60)
        held = ended(server)
        assert (held.state, held.note, held.model_version) == (
            State.ABANDONED,
            "no group gave a sum",
            None,
        )
        (group,) = held.record["groups"]
        assert (group["state"], group["failure"], group["dealers"]) == (
            "aborted",
            "masking: too few",
            5,
        )
        assert refused(devices[0].inbox, "masked") == "ROUND_CLOSED"
        # The updates are not lost: the devices are ready for the next window, on the same model.
        assert offered(devices).round.model_version == 1


def test_too_few_in_the_window_end_the_round_before_anything_is_sent(tmp_path):
    with served(tmp_path, 4) as server:
        devices = enrolled(server, 4)
        offer = offered(devices)
        for device in devices[:2]:
            device.join(offer)
            device.send("advertise")
        server.clock.advance(60)
        held = ended(server)
        assert (held.state, held.note, held.record["left_out"]) == (
            State.ABANDONED,
            "too few devices advertised",
            2,
        )
        assert refused(devices[0].inbox, "advertise") == "ROUND_CLOSED"


def test_a_window_is_for_devices_that_are_ready_with_the_present_model(tmp_path):
    with served(tmp_path, 3, lead_s=600) as server:
        devices = enrolled(server, 4)
        assert [device.report_ready(trained=0).round for device in devices[:2]] == [None, None]
        assert [device.enrolled.client.offer().round for device in devices[:2]] == [None, None]
        for device in devices[:2]:
            offer = device.report_ready(trained=1)
            assert (offer.join_opens, offer.join_closes, offer.model_version) == (0, 0, 1)
            assert 0 < offer.next_poll_s <= 300
        devices[0].enrolled.client.offer()  # not ready any more
        devices[2].report_ready(trained=1)
        server.clock.advance(1)
        assert devices[2].report_ready(trained=1).round is None
        devices[0].report_ready(trained=1)
        offer = devices[2].poll_until_offered()
        now = server.clock.now()
        assert (offer.join_opens, offer.join_closes) == (now + 600, now + 660)
        assert offer.next_poll_s == 600
        # Everybody is told, also who is not ready yet; one who says nothing of being ready is not
        # hurried.
        assert devices[3].enrolled.client.offer().round.round_id == 1
        serials = read_revocations(offer.crl_pem, server.home.ca_pem, offer.time).serials
        assert serials == frozenset()


def test_without_an_authority_no_round_opens_and_the_server_stays(tmp_path, monkeypatch, caplog):
    genuine, failing = (
        Authority.revocations,
        [OperatorActionError("CA_START", "The enrolment authority did not start.")],
    )

    def revocations(authority):
        if failing:
            raise failing[0]
        return genuine(authority)

    monkeypatch.setattr(Authority, "revocations", revocations)
    with served(tmp_path, 3) as server:
        devices = enrolled(server, 3)
        for device in devices:
            with pytest.raises(RetryLater):
                device.report_ready()
        until(lambda: "code=CA_UNREACHABLE" in caplog.text)
        failing.clear()
        until(lambda: is_answered(devices[0].report_ready))
        assert offered(devices).round.round_id == 1


def test_same_body_again_is_fine_another_is_refused_and_nonsense_changes_nothing(tmp_path):
    with served(tmp_path, 3) as server:
        devices = enrolled(server, 3)
        stranger = GroupDevice(server.enrol())
        joined(devices)
        bodies = {}
        for kind in MESSAGES:
            for device in devices:
                client = device.enrolled.client
                for nonsense in (
                    ()
                    if device is not devices[0]
                    else (b"", b"AEG1", b"\xff" * 200, envelope.encode({"kind": kind}, b""))
                ):
                    if kind != "masked":
                        assert refused(client.send_phase, 1, kind, nonsense) in (
                            "SERVER_ERROR",
                            "BAD_ENVELOPE",
                            "MESSAGE_REFUSED",
                        )
                    else:
                        assert refused(client.send_update, nonsense) in (
                            "SERVER_ERROR",
                            "BAD_ENVELOPE",
                        )
                if kind != "advertise":
                    assert (
                        refused(stranger.enrolled.client.send_phase, 1, "shares", b"AEG1")
                        == "NOT_IN_GROUP"
                    )
                bodies[kind, device.device_id] = device.send(kind)
                if kind == "masked":
                    assert client.send_update(device.masked) == device.receipt
                else:
                    client.send_phase(1, kind, bodies[kind, device.device_id])
            if kind == "shares":
                other = bodies[kind, devices[1].device_id]
                assert (
                    refused(devices[0].enrolled.client.send_phase, 1, kind, other)
                    == "ALREADY_CONTRIBUTED"
                )
            if kind == "masked":
                assert (
                    refused(devices[0].enrolled.client.send_update, devices[1].masked)
                    == "ALREADY_CONTRIBUTED"
                )
        assert ended(server).state is State.DONE
        assert (
            refused(devices[0].enrolled.client.send_phase, 9, "shares", b"AEG1") == "ROUND_CLOSED"
        )
        assert refused(devices[0].enrolled.client.inbox, 9, "shares") == "ROUND_CLOSED"


def test_a_masked_input_of_another_is_refused_at_the_door_and_its_sender_is_blamed_over_a_restart(
    tmp_path,
):
    with served(tmp_path, 4) as server:
        devices = enrolled(server, 4)
        joined(devices)
        for kind in MESSAGES[:2]:
            for device in devices:
                device.send(kind)
        body = devices[0].send("masked")
        assert refused(devices[1].enrolled.client.send_update, body) == "MESSAGE_REFUSED"
        wrong = envelope.decode(body)
        forged = envelope.encode({**wrong.header, "round_id": 2}, wrong.payload)
        assert refused(devices[1].enrolled.client.send_update, forged) == "ROUND_CLOSED"
    with served(tmp_path, 4) as server:
        for device in devices:
            device.reconnect(server)
        for device in devices[1:]:
            device.send("masked")
        for kind in MESSAGES[3:]:
            for device in devices:
                device.send(kind)
        held = ended(server)
        assert held.state is State.DONE
        assert held.record["groups"][0]["blamed"] == {devices[1].device_id: "MASKED_SIGNATURE"}
        check_mean(server, devices, held)


def test_p10_a_restart_between_any_two_messages_loses_nothing(tmp_path):
    devices, count = None, 3
    plan = [(kind, number) for kind in MESSAGES for number in range(count)]
    # In the middle of each phase, and before some.
    stops = [0, 2, 5, 7, 10, 13, len(plan)]
    for start, end in pairwise(stops):
        with served(tmp_path, 3) as server:
            if devices is None:
                devices = enrolled(server, count)
                joined(devices)
            else:
                for device in devices:
                    device.reconnect(server)
            for kind, number in plan[start:end]:
                if kind == "consistency" and number == 2:
                    assert (
                        refused(devices[0].enrolled.client.send_update, devices[1].masked)
                        == "ALREADY_CONTRIBUTED"
                    )
                devices[number].send(kind) if not (kind == "unmask" and number == 2) else None
    with served(tmp_path, 3) as server:
        held = ended(server)
        assert (held.state, held.updates, held.model_version) == (State.DONE, 3, 2)
        check_mean(server, devices, held)


def test_p2_who_leaves_or_is_erased_or_revoked_before_the_set_is_fixed_is_not_in_the_sum(tmp_path):
    with served(tmp_path, 7) as server:
        devices = enrolled(server, 7)
        joined(devices)
        for kind in MESSAGES[:2]:
            for device in devices:
                device.send(kind)
        for device in devices[:6]:
            device.send("masked")
        left, erased, revoked = devices[:3]
        left.enrolled.client.leave(1, left.machine.leave("WITHDRAWN"))
        erased.enrolled.client.erase()
        server.view.devices.revoke(revoked.device_id, server.clock.now())
        until(lambda: said(server, "drop") == 2)
        held_bodies = [
            entry for entry in entries(server) if entry.kind == "masked" and entry.body is not None
        ]
        assert {entry.device_id for entry in held_bodies} == {
            device.device_id for device in devices[3:6]
        }
        assert said(server, "drop") == 2
        assert refused(left.enrolled.client.inbox, 1, "shares") == "ROUND_CLOSED"
        devices[6].send("masked")
        for kind in MESSAGES[3:]:
            for device in devices[3:]:
                device.send(kind)
        held = ended(server)
        assert (held.state, held.updates) == (State.DONE, 4)
        check_mean(server, devices[3:], held)


def test_two_groups_are_summed_apart_and_averaged_together(tmp_path):
    with served(tmp_path, 8, g_max=7, min_group=2) as server:
        devices = enrolled(server, 8)
        offer = joined(devices)
        for device in devices:
            device.send("advertise")
        grouped, groups = [], set()
        for device in devices:  # the draw is by hash: a group of one is left out
            with contextlib.suppress(AegisError):
                heard = device.inbox("advertise")
                grouped.append(
                    (device, codec.decode_roster(heard, codec.round_context(offer.round)))
                )
        for _, roster in grouped:
            assert (roster.groups > 1, 2 <= len(roster.members) <= 7) == (True, True)
            groups.add(roster.group)
        grouped = [device for device, _ in grouped]
        for kind in MESSAGES[1:]:
            for device in grouped:
                device.send(kind)
        held = ended(server)
        assert [group["state"] for group in held.record["groups"]] == ["done"] * len(groups)
        assert (
            sum(group["survivors"] for group in held.record["groups"])
            == held.updates
            == len(grouped)
        )
        assert held.record["left_out"] == len(devices) - len(grouped)
        check_mean(server, grouped, held)


def test_who_comes_too_late_is_told_so_and_takes_part_in_the_next_round(tmp_path):
    with served(tmp_path, 3) as server:
        devices = enrolled(server, 4)
        late = devices.pop()
        offer = offered(devices)
        late.join(offer)
        run_round(devices, offer)
        assert refused(late.send, "advertise") == "ROUND_CLOSED"
        assert ended(server).state is State.DONE
        newcomers = [*devices[:2], late]
        run_round(newcomers, offered(newcomers))
        held = ended(server, 2)
        assert held.updates == 3
        check_mean(server, newcomers, held, version=3)


def test_a_model_that_the_operator_publishes_ends_the_round_for_everybody(tmp_path):
    from server_stub.publishing import models

    with served(tmp_path, 3) as server:
        devices = enrolled(server, 3)
        joined(devices)
        for device in devices:
            device.send("advertise")
        model = models.make_model(
            2, models.start_model(), origin="operator", demonstration=False, now=server.clock.now()
        )
        server.view.models.add(model, server.clock.now())
        until(lambda: devices[0].enrolled.client.offer().model_version == 2)
        assert refused(devices[0].enrolled.client.inbox, 1, "shares") == "ROUND_CLOSED"
        assert ended(server).state is State.ABANDONED
