"""Devices that meet: whole agents around a group, from the readiness to the sum; and what they leave behind when something ends it."""

import asyncio
import math
import time
from dataclasses import replace

import numpy as np
import pytest

from agent.errors import AegisError, NeedsUser, PeerFault
from agent.outcome import Outcome
from agent.privacy.codec import decode_sum
from agent.protocol import codec, envelope, merkle
from agent.store.ledger import Sending
from agent.supervisor.inprocess import InProcessWorker
from tests.fakes.clock import FakeClock
from tests.fakes.device import Device
from tests.fakes.meeting import LIMITS, MeetingAggregator
from tests.fakes.meeting_http import MeetingSite


async def quick(_):
    await asyncio.sleep(0.001)


class Town:
    """`size` agents of one aggregator, which expects all of them."""

    def __init__(self, folder, size=3, **options):
        """`options` are the devices'."""
        self.clock = FakeClock(int(time.time()))
        self.server = MeetingAggregator(self.clock, size)
        self.devices = []
        for number in range(size):
            place = folder / f"d{number}"
            place.mkdir()
            made = Device(place, clock=self.clock, aggregator=self.server, **{"limits": lambda: LIMITS, "sleep": quick, **options})
            self.devices.append(made)

    async def join(self):
        for device in self.devices:
            await device.call("enroll", invitation=self.server.invitation())
            await device.grant()
            device.add_rows(20)

    async def all_ready(self):
        """Everybody has trained; the window is announced to the last."""
        return [(await device.make_pass()).outcome for device in self.devices[:-1]]

    async def meet(self, patience_s=60):
        """One pass of each, at once. Results, or the errors that ended them."""
        return await asyncio.gather(*(device.make_pass(patience_s=patience_s) for device in self.devices), return_exceptions=True)

    def close(self):
        for device in self.devices:
            device.close()


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    yield town
    town.close()


@pytest.fixture
def town_of_four(tmp_path):
    town = Town(tmp_path, 4)
    yield town
    town.close()


def device_id(device):
    return device.agent.identity_file().load().device_id


def outcomes(results):
    return [result.outcome.value if not isinstance(result, BaseException) else getattr(result, "code", repr(result)) for result in results]


async def until(condition, seconds=5):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


def test_from_readiness_to_a_sum_that_holds_every_update(town):
    async def scene():
        await town.join()
        assert await town.all_ready() == [Outcome.READY, Outcome.READY]
        assert [device.worker.calls for device in town.devices[:-1]] == [["train"], ["train"]]
        results = await town.meet()
        assert outcomes(results) == ["sent"] * 3
        (group,) = town.server.groups
        wanted = sum(device.worker.words.astype(np.int64) for device in town.devices) & ((1 << town.server.config.bits) - 1)
        assert (group.result.words == wanted.astype(np.uint32)).all()
        for device, result in zip(town.devices, results, strict=True):
            assert device.worker.calls == ["train", "seal"]
            (entry,) = device.agent.ledger.entries()
            (charge,) = device.agent.ledger.charges()
            assert (entry.state, charge.mode, charge.rho_units < charge.rho_local_units) == (Sending.ACKNOWLEDGED, "secagg", True)
            assert device.server.updates[(device_id(device), 1)] == device.agent.ledger.body(entry.attempt)
            assert result.bytes_up > entry.bytes
            assert result.bytes_down > 0
            assert device.agent.participation.trained is None
            assert list((device.home / "scratch").iterdir()) == []
            assert town.server.said(device_id(device)) == ["advertise", "shares", "masked", "consistency", "unmask"]
            page = await device.call("ledger", verify=True)
            assert page["verified"] is True
            assert page["totals"]["epsilon_ledger"] < page["totals"]["epsilon_local"]
        assert outcomes(await town.meet()) == ["already_contributed"] * 3

    asyncio.run(scene())


def test_a_ready_device_is_told_when_its_group_meets_and_comes_back_for_it(town):
    async def scene():
        await town.join()
        device = town.devices[0]

        def later(made, _):
            now = town.clock.now()
            return replace(made, round=town.server.config, join_opens=now + 900, join_closes=now + 960)

        town.server.lies["offer"] = later
        result = await device.make_pass()
        assert result.outcome is Outcome.READY
        assert 900 <= result.reasons[0].until - town.clock.now() <= 930
        assert town.server.said() == []

    asyncio.run(scene())


def test_the_whole_way_over_tls_with_real_training_and_sealing(tmp_path):
    """The device's own client; the opened sum is no larger than clipped updates and the planned noise make it."""

    async def scene(town, site):
        await town.join()
        results = await town.meet()
        assert outcomes(results) == ["sent"] * 3
        (group,) = town.server.groups
        mean = decode_sum(group.result.words, town.server.config, group.result.count)
        noise = float(town.server.config.grid) * math.sqrt(town.server.config.noise_var / group.result.count)
        assert 0 < np.linalg.norm(mean) < 1 + 1.5 * noise * math.sqrt(len(mean))
        for device, result in zip(town.devices, results, strict=True):
            page = await device.call("ledger", verify=True)
            assert page["verified"] is True
            (entry,) = page["outbox"]
            assert entry["receipt"]["receipt"]["body_sha256"] == entry["sha256"]
            assert entry["receipt"]["receipt"]["bytes"] == entry["bytes"]
            assert (device.agent.participation.trained, list((device.home / "scratch").iterdir())) == (None, [])
            assert result.bytes_down > 0
        assert sum(result.bytes_up for result in results) == sum(site.bytes_in.values())
        assert set(site.bytes_in) == {"advertise", "shares", "updates", "consistency", "unmask"}

    town = Town(tmp_path, worker=lambda _: InProcessWorker(), client_factory=None)
    with MeetingSite(tmp_path, town.server) as site:
        asyncio.run(scene(town, site))
    town.close()


@pytest.mark.parametrize("phase", ["advertise", "shares", "masked", "consistency", "unmask"])
def test_p10_a_device_killed_at_any_phase_costs_itself_alone_and_is_charged_once_at_most(town_of_four, phase):
    town = town_of_four

    async def scene():
        await town.join()
        await town.all_ready()
        victim = town.devices[0]
        name = device_id(victim)

        def killed(who, what, _):
            return who == name and what == phase

        town.server.lies[phase] = lambda true, who: None if who == name else true  # it dies here, however slowly it is killed
        running = [asyncio.create_task(device.make_pass(patience_s=60)) for device in town.devices]
        await until(lambda: any(killed(*said) for said in town.server.bodies))
        await victim.agent.participation.stop()
        victim.restart()
        del town.server.lies[phase]
        charged = len(victim.agent.ledger.charges())
        assert charged == (phase in ("masked", "consistency", "unmask"))
        results = await asyncio.gather(*running, return_exceptions=True)
        assert outcomes(results[1:]) == ["sent"] * 3
        (group,) = town.server.groups
        in_sum = set(group.result.devices)
        assert (name in in_sum) == (phase in ("masked", "consistency", "unmask"))
        before = town.server.said(name)
        again = await victim.make_pass(patience_s=0)
        assert again.outcome in (Outcome.ALREADY_CONTRIBUTED, Outcome.ROUND_CLOSED, Outcome.SENT)
        assert [what for what in town.server.said(name)[len(before) :] if what != "masked"] == []
        assert len(victim.agent.ledger.charges()) == charged

    asyncio.run(scene())


def test_p10_after_a_restart_the_identical_masked_input_may_still_be_sent_and_nothing_else(town_of_four):
    town = town_of_four

    async def scene():
        await town.join()
        await town.all_ready()
        victim = town.devices[0]
        town.server.fail("masked", NeedsUser("OFFLINE", "Gone.", ""))
        running = [asyncio.create_task(device.make_pass(patience_s=60)) for device in town.devices]
        await until(lambda: len(victim.agent.ledger.charges()) == 1)
        await victim.agent.participation.stop()
        victim.restart()
        town.server.fail("masked", None)
        (entry,) = victim.agent.ledger.unsent()
        stored = victim.agent.ledger.body(entry.attempt)
        assert (await victim.make_pass()).outcome is Outcome.SENT
        assert town.server.updates[(device_id(victim), 1)] == stored
        results = await asyncio.gather(*running, return_exceptions=True)
        assert outcomes(results[1:]) == ["sent"] * 3
        assert town.server.said(device_id(victim)) == ["advertise", "shares", "masked"]
        assert (await victim.make_pass()).outcome is Outcome.ALREADY_CONTRIBUTED

    asyncio.run(scene())


PHASES = ["inbox advertise", "inbox shares", "seal", "inbox masked", "inbox consistency"]
"""What a device waits for when it is disturbed."""


async def wait_at(town, victim, place):
    """Run all devices until `victim` has to wait at `place`; the tasks."""
    if place == "seal":
        victim.worker.gates["seal"] = asyncio.Event()
    else:
        name, after = device_id(victim), place.split()[1]
        town.server.lies[after] = lambda true, who: None if who == name else true
    running = [asyncio.create_task(device.make_pass(patience_s=60)) for device in town.devices]
    name = device_id(victim)
    reached = {"inbox advertise": "advertise", "inbox shares": "shares", "inbox masked": "masked", "inbox consistency": "consistency"}
    await until(lambda: "seal" in victim.worker.calls if place == "seal" else reached[place] in town.server.said(name))
    return running


@pytest.mark.parametrize("place", PHASES)
def test_p2_withdrawing_in_a_round_wipes_it_at_once_and_says_one_data_free_leave(town_of_four, place):
    town = town_of_four

    async def scene():
        await town.join()
        await town.all_ready()
        victim = town.devices[0]
        name = device_id(victim)
        if place == "inbox masked":  # somebody is late, so the set of inputs is open
            town.devices[1].worker.gates["seal"] = asyncio.Event()
        running = await wait_at(town, victim, place)
        charged = len(victim.agent.ledger.charges())
        started = asyncio.get_running_loop().time()
        status = await victim.call("consent.withdraw", surface="tray")
        assert asyncio.get_running_loop().time() - started < 1
        assert status["consent"]["state"] == "WITHDRAWN"
        assert list((victim.home / "scratch").iterdir()) == []
        assert victim.agent.participation.trained is None
        await until(lambda: name in town.server.left)
        for held in town.devices[1].worker.gates.values():
            held.set()
        said = town.server.said(name)
        body = next(body for who, what, body in town.server.bodies if (who, what) == (name, "leave"))
        assert codec.decode_leave(body, codec.round_context(town.server.config)) == ("withdrawn", ())
        results = await asyncio.gather(*running, return_exceptions=True)
        assert outcomes(results) == ["stopped", "sent", "sent", "sent"]
        assert town.server.said(name) == said
        assert said.count("leave") == 1
        (group,) = town.server.groups
        assert (name in group.result.devices) == (place == "inbox consistency")  # the set of inputs was fixed before
        assert len(victim.agent.ledger.charges()) == charged
        assert victim.agent.ledger.unsent() == []

    asyncio.run(scene())


@pytest.mark.parametrize("place", PHASES)
def test_p2_a_pause_leaves_before_the_masked_input_and_finishes_after_it(town_of_four, place):
    town = town_of_four

    async def scene():
        await town.join()
        await town.all_ready()
        victim = town.devices[0]
        name = device_id(victim)
        running = await wait_at(town, victim, place)
        await victim.call("pause")
        town.server.lies.clear()
        results = await asyncio.gather(*running, return_exceptions=True)
        leaves = place in ("inbox advertise", "inbox shares", "seal")
        assert outcomes(results) == ["stopped" if leaves else "sent", "sent", "sent", "sent"]
        if leaves:
            await until(lambda: name in town.server.left)
            assert victim.agent.ledger.charges() == []
            assert victim.agent.participation.trained is not None
        assert (await victim.make_pass()).outcome is Outcome.WAITING

    asyncio.run(scene())


def test_a_pause_while_waiting_for_the_meeting_ends_the_waiting_and_keeps_the_update(town):
    async def scene():
        await town.join()
        device = town.devices[0]
        running = asyncio.create_task(device.make_pass(patience_s=60))
        await until(lambda: device.worker.calls == ["train"] and town.server.calls.count("offer") > 3)
        await device.call("pause")
        assert (await running).outcome is Outcome.STOPPED
        assert device.agent.participation.trained is not None
        assert town.server.said() == []

    asyncio.run(scene())


def test_discarding_in_a_round_leaves_it_and_past_the_masked_input_it_is_too_late(town_of_four):
    town = town_of_four

    async def scene():
        await town.join()
        await town.all_ready()
        first, second = town.devices[:2]
        second.worker.gates["seal"] = asyncio.Event()
        running = await wait_at(town, first, "inbox masked")
        await until(lambda: "seal" in second.worker.calls)
        await second.call("discard")
        await first.call("discard")
        town.server.lies.clear()
        results = await asyncio.gather(*running, return_exceptions=True)
        assert outcomes(results) == ["sent", "stopped", "sent", "sent"]
        assert town.server.left == [device_id(second)]
        assert second.agent.participation.trained is None

    asyncio.run(scene())


def test_p4_an_abort_after_the_charge_allows_one_re_seal_with_fresh_noise_and_then_the_update_is_dropped(town):
    async def scene():
        await town.join()
        town.server.lies["masked"] = lambda *_: lie()

        def lie():
            raise PeerFault("ROUND_CLOSED", "The group ended.", "")

        bodies = []
        for attempt in range(1, 5):
            results = await town.meet(patience_s=60 if attempt < 3 else 0)
            charges = town.devices[0].agent.ledger.charges()
            if attempt < 3:
                assert outcomes(results) == ["round_closed"] * 3
                assert len(charges) == attempt
                bodies.append(charges[-1].body_sha256)
            else:
                assert outcomes(results) == ["waiting"] * 3
                assert "what it may for this model" in results[0].text
                assert len(charges) == 2
            assert (town.devices[0].agent.participation.trained is None) == (attempt >= 2)
            town.server.same_model_again()
        assert len(set(bodies)) == 2
        assert len({charge.attempt for charge in town.devices[0].agent.ledger.charges()}) == 2
        assert town.devices[0].worker.calls == ["train", "seal", "seal"]

    asyncio.run(scene())


def test_p4_aborts_before_the_charge_cost_nothing_however_many(town):
    async def scene():
        await town.join()

        def lie(*_):
            raise PeerFault("ROUND_CLOSED", "The group ended.", "")

        town.server.lies["shares"] = lie
        for _ in range(4):
            assert outcomes(await town.meet()) == ["round_closed"] * 3
            town.server.same_model_again()
        assert all(device.agent.ledger.charges() == [] for device in town.devices)
        town.server.lies.clear()
        assert outcomes(await town.meet()) == ["sent"] * 3
        assert town.devices[0].worker.calls == ["train", "seal"]

    asyncio.run(scene())


def test_p5_a_spent_budget_refuses_the_next_meeting_and_says_when_also_after_a_restart(town):
    async def scene():
        await town.join()
        seen = []
        for _ in range(9):
            seen.append(set(outcomes(await town.meet(patience_s=30))))
            town.server.next_round()
        assert seen[0] == {"sent"}
        assert seen[-1] == {"budget_spent"}
        device = town.devices[0]
        for _ in range(2):
            status = await device.call("status")
            assert status["budget"]["epsilon_ledger"] <= 1.0
            assert status["budget"]["epsilon_local"] > status["budget"]["epsilon_ledger"]
            assert status["budget"]["may_take_part_at"] > town.clock.now()
            reason = next(reason for reason in status["reasons"] if reason["code"] == "BUDGET_SPENT")
            assert reason["until"] == status["budget"]["may_take_part_at"]
            device.restart()
        assert device.worker.calls.count("train") == sum("sent" in one for one in seen)

    asyncio.run(scene())


def test_p2_erasing_in_a_round_ends_it(town):
    async def scene():
        await town.join()
        await town.all_ready()
        victim = town.devices[0]
        running = await wait_at(town, victim, "inbox masked")
        await victim.call("erase")
        results = await asyncio.gather(*running, return_exceptions=True)
        assert outcomes(results)[0] == "stopped"
        assert not victim.agent.identity_file_exists()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"min_group": 2}, "GROUP_TOO_SMALL"),
        ({"min_sum": 1}, "SUM_TOO_SMALL"),
        ({"noise_var": 8}, "NOISE_TOO_SMALL"),
        ({"phase_s": 3600}, "PHASE_TOO_LONG"),
        ({"mode": "local", "protocol": "LocalUpdate/1"}, "ROUND_MODE"),
        ({"model_digest": "ff" * 32}, "OFFER_INCONSISTENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_p3_an_offer_that_breaks_the_devices_bounds_is_refused_and_said(town, change, code):
    from agent.protocol.messages import Mode

    async def scene():
        await town.join()
        device = town.devices[0]
        changed = {name: Mode(value) if name == "mode" else value for name, value in change.items()}
        bad = replace(town.server.config, **changed)
        now = town.clock.now()
        town.server.lies["offer"] = lambda made, _: replace(made, round=bad, join_opens=now, join_closes=now + 20)
        with pytest.raises(PeerFault) as raised:
            await device.make_pass()
        assert raised.value.code == code
        assert device.worker.calls == []
        assert town.server.said() == []
        status = await device.call("status")
        assert status["state"] == "error"
        assert any(raised.value.message in note for note in status["notes"])

    asyncio.run(scene())


@pytest.mark.parametrize("stale", ["", "other authority", "expired", "older"])
def test_p3_without_a_current_list_of_revoked_certificates_no_group_is_joined(town, stale):
    from server_stub.ca.certificates import revocation_list
    from tests.fakes.ca import TestAuthority

    async def scene():
        await town.join()
        await town.all_ready()
        device, now = town.devices[0], town.clock.now()
        town.devices = town.devices[:1]
        town.server.expected = 1
        authority = town.server.authority
        if stale == "older":
            device.agent.membership.revoked(revocation_list(authority.certificate, authority.key, 9, [], now))
        other = TestAuthority()
        lists = {
            "": "",
            "other authority": revocation_list(other.certificate, other.key, 5, [], now),
            "expired": revocation_list(authority.certificate, authority.key, 5, [], now - 3 * 24 * 3600),
            "older": revocation_list(authority.certificate, authority.key, 5, [], now),
        }
        town.server.lies["offer"] = lambda made, _: replace(made, crl_pem=lists[stale])
        (error,) = await town.meet()
        assert isinstance(error, AegisError)
        assert error.code == {"expired": "REVOCATIONS_EXPIRED", "older": "REVOCATIONS_OLDER"}.get(stale, "REVOCATIONS_BAD")
        assert town.server.said() == []
        assert device.agent.ledger.charges() == []

    asyncio.run(scene())


def test_p6_a_revoked_member_ends_the_meeting_for_who_knows_of_it(town_of_four):
    from tests.fakes.meeting import serial_of

    town = town_of_four

    async def scene():
        await town.join()
        await town.all_ready()
        town.server.revoked.append((serial_of(town.devices[0]), town.clock.now()))
        results = await town.meet()
        assert outcomes(results) == ["ROSTER_REVOKED"] * 4
        assert sorted(set(town.server.left)) == sorted(map(device_id, town.devices))
        assert all(device.agent.ledger.charges() == [] for device in town.devices)
        assert all(device.agent.participation.trained is not None for device in town.devices)

    asyncio.run(scene())


def without_one(true, who, context):
    """The roster without one of the others, with a beacon that fits."""
    roster = codec.decode_roster(true, context)
    kept = [member.advertisement for member in roster.members]
    kept.remove(next(one for one in kept if one.device_id != who))
    leaves = [merkle.leaf(one.device_id, one.nonce) for one in kept]
    members = tuple(codec.Member(one, at, ()) for at, one in enumerate(kept))
    return codec.encode_roster(context, replace(roster, members=members, advertised=len(kept), beacon=merkle.root(leaves)))


def damaged(true, *_):
    """Another payload under a checksum that fits."""
    read = envelope.decode(true)
    return envelope.encode(read.header, read.payload[:-1] + bytes([read.payload[-1] ^ 1]))


def fewer_survivors(true, who, context):
    return codec.encode_survivors(context, [0])


def one_signature_less(true, who, context):
    signatures = codec.decode_signatures(true, context, 3)
    return codec.encode_signatures(context, {number: signatures[number] for number in sorted(signatures)[:-1]})


LIES = {
    "a roster that is too small": ("advertise", without_one, "ROSTER_SIZE", False),
    "a key exchanged in the roster": ("advertise", damaged, None, False),
    "a share that was tampered with": ("shares", damaged, "SHARE_UNREADABLE", False),
    "too few survivors": ("masked", fewer_survivors, "SURVIVORS", True),
    "too few signatures": ("consistency", one_signature_less, "SIGNATURES", True),
    "garbage": ("masked", lambda *_: b"\0" * 100, "BAD_ENVELOPE", True),
}


@pytest.mark.parametrize("lie", LIES)
def test_p6_a_device_that_is_lied_to_refuses_says_why_and_leaves_by_the_code(town, lie):
    place, change, code, charged = LIES[lie]

    async def scene():
        await town.join()
        await town.all_ready()
        victim = town.devices[0]
        name = device_id(victim)
        first = codec.round_context(town.server.config)

        def told(true, who):
            if who != name:
                return true
            context = first if place == "advertise" else town.server.groups[0]._context
            return change(true, who, context)

        town.server.lies[place] = told
        error, *_ = await town.meet(patience_s=20)
        assert isinstance(error, PeerFault)
        assert code in (None, error.code)
        assert len(victim.agent.ledger.charges()) == charged
        left = next(codec.decode_leave(body, first) for who, what, body in town.server.bodies if (who, what) == (name, "leave"))
        assert left[0] == error.code
        assert len(left[1]) == (code == "SHARE_UNREADABLE")  # the dealer who is blamed
        status = await victim.call("status")
        assert status["state"] == "error"
        assert any(error.message in note for note in status["notes"])
        assert victim.agent.participation.trained is not None  # for one re-seal
        assert victim.agent.participation._group._turn is None

    asyncio.run(scene())


def test_a_round_that_is_older_than_one_already_met_is_refused(town):
    async def scene():
        await town.join()
        assert outcomes(await town.meet()) == ["sent"] * 3
        first = town.server.config
        town.server.next_round()
        town.server.next_round()
        assert outcomes(await town.meet()) == ["sent"] * 3
        town.server.next_round()
        old = replace(town.server.config, round_id=first.round_id)
        now = town.clock.now()
        town.server.lies["offer"] = lambda made, _: replace(made, round=old, join_opens=now, join_closes=now + 20)
        assert outcomes(await town.meet()) == ["ROUND_OLDER"] * 3

    asyncio.run(scene())


def test_p3_a_device_hides_among_its_own_minimum_whatever_the_round_says(town_of_four):
    """The limits of a device may be above the round's: then the offer itself is refused."""
    town = town_of_four

    async def scene():
        await town.join()
        town.devices[0].options["limits"] = lambda: replace(LIMITS, min_group=4)
        town.devices[0].restart()
        assert outcomes(await town.meet(patience_s=20))[0] == "GROUP_TOO_SMALL"
        assert town.devices[0].agent.ledger.charges() == []

    asyncio.run(scene())
