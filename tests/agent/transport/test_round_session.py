"""A round goes through its phases in order, repeats lost requests, and ends with a wipe."""

from dataclasses import replace

import pytest

from agent.errors import PeerError, UserActionError
from agent.protocol.messages import Mode, RoundConfig
from agent.transport.responses import RetryLater
from agent.transport.round_session import Claim, RoundSession

CONFIG = RoundConfig(
    protocol="GroupSecAgg/2",
    task_id="t",
    round_id=7,
    mode=Mode.SECAGG,
    model_version=1,
    model_digest="ab" * 32,
    d=4,
    d_padded=4,
    bits=24,
    clip_num=1,
    clip_den=1,
    grid_num=1,
    grid_den=1000,
    sensitivity_sq=10,
    noise_var=10,
    g_max=10,
    min_group=3,
    min_sum=3,
    colluders=1,
    rotation_seed="cd" * 32,
    subset_seed="",
    subset_k=0,
    opens_at=0,
    closes_at=1000,
    phase_s=10,
)
HAPPY = [
    "advertise()",
    "post advertise:A",
    "inbox advertise",
    "shares(roster)",
    "post shares:S",
    "inbox shares",
    "accept(inbox)",
    "seal",
    "mask(sealed)",
    "charge M",
    "deliver",
    "inbox masked",
    "consistency(u3)",
    "claim signed_survivors",
    "post consistency:C",
    "inbox consistency",
    "unmask(signatures)",
    "claim unmasked",
    "post unmask:U",
    "wipe",
]


class World:
    """State machine, channel, contribution and clock in one.

    `log` is what happened; `faults` is what each use of a call raises or returns instead.
    """

    def __init__(self, **faults):
        self.log = []
        self.faults = {name: list(outcomes) for name, outcomes in faults.items()}
        self.time = 0.0
        self.claimed = set()

    def _act(self, what, result=None):
        self.log.append(what)
        pending = self.faults.get(what)
        if pending:
            outcome = pending.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        return result

    def advertise(self):
        return self._act("advertise()", b"A")

    def shares(self, roster):
        return self._act(f"shares({roster.decode()})", b"S")

    def accept_shares(self, inbox):
        return self._act(f"accept({inbox.decode()})", ())

    def complaint(self, dealings):
        return self._act(f"complaint({dealings})", b"K")

    def mask(self, sealed):
        return self._act(f"mask({sealed.decode()})", b"M")

    def consistency(self, survivors):
        return self._act(f"consistency({survivors.decode()})", b"C")

    def unmask(self, signatures):
        return self._act(f"unmask({signatures.decode()})", b"U")

    def wipe(self):
        self.log.append("wipe")

    async def send(self, phase, body):
        self._act(f"post {phase}:{body.decode()}")

    async def inbox(self, after, dealer=None):
        if dealer is not None:
            return self._act(f"dealing {dealer}", b"dealing")
        outcome = {
            "advertise": b"roster",
            "shares": b"inbox",
            "masked": b"u3",
            "consistency": b"signatures",
        }[after]
        return self._act(f"inbox {after}", outcome)

    def now(self):
        return int(self.time)

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        self.time += seconds

    async def seal(self):
        return self._act("seal", b"sealed")

    def charge(self, body):
        self._act(f"charge {body.decode()}")

    async def deliver(self):
        self._act("deliver")

    def claim(self, claim):
        self._act(f"claim {claim.value}")
        fresh = claim not in self.claimed
        self.claimed.add(claim)
        return fresh

    async def run(self, config=CONFIG, **options):
        session = RoundSession(config, self, self, self, clock=self, sleep=self.sleep, **options)
        await session.run()


async def test_the_phases_run_in_order():
    world = World()
    await world.run()
    assert world.log == HAPPY


@pytest.mark.parametrize("step", [call for call in HAPPY if call.split()[0] not in {"wipe"}])
async def test_p2_a_failed_check_ends_the_round_there_and_wipes_its_secrets(step):
    world = World(**{step: [PeerError("BLAME", "A check failed.")]})
    with pytest.raises(PeerError):
        await world.run()
    assert world.log == [*HAPPY[: HAPPY.index(step) + 1], "wipe"]


@pytest.mark.parametrize(
    "step", [call for call in HAPPY if call.startswith(("post", "inbox", "deliver"))]
)
async def test_a_lost_response_is_requested_again_with_the_same_body(step):
    faults = [UserActionError("OFFLINE", "x"), RetryLater(3), PeerError("SERVER_ERROR", "x")]
    world = World(**{step: faults})
    await world.run()
    assert world.log.count(step) == 4
    assert [
        call for at, call in enumerate(world.log) if at == 0 or world.log[at - 1] != call
    ] == HAPPY


async def test_the_wait_for_the_other_devices_ends_with_the_phase():
    world = World(**{"inbox advertise": [None] * 100})
    with pytest.raises(PeerError) as raised:
        await world.run()
    assert raised.value.code == "ROUND_CLOSED"
    assert world.log[-1] == "wipe"
    assert 20 <= world.time <= 24


async def test_the_wait_for_the_roster_lasts_as_long_as_the_join_window():
    world = World(**{"inbox advertise": [None] * 55})
    await world.run(joining_s=40)
    assert world.log[-1] == "wipe"
    assert 50 <= world.time <= 60


async def test_an_unreachable_server_ends_the_round_after_the_phase():
    world = World(**{"post shares:S": [UserActionError("OFFLINE", "x")] * 100})
    with pytest.raises(UserActionError):
        await world.run()
    assert 20 <= world.time <= 24


@pytest.mark.parametrize("asked_s", [0, 24 * 3600])
@pytest.mark.parametrize("step", ["post shares:S", "inbox shares", "deliver"])
async def test_a_busy_server_neither_holds_a_device_in_a_round_nor_makes_it_spin(step, asked_s):
    world = World(**{step: [RetryLater(asked_s)] * 100})
    with pytest.raises(PeerError) as raised:
        await world.run()
    assert raised.value.code == "SERVER_BUSY"
    assert 20 <= world.time <= 24
    assert world.log[-1] == "wipe"
    assert world.log.count(step) <= 13


@pytest.mark.parametrize(
    ("claim", "unsent"),
    [(Claim.SIGNED_SURVIVORS, "post consistency:C"), (Claim.UNMASKED, "post unmask:U")],
)
async def test_p10_a_claim_of_an_earlier_process_is_never_made_again(claim, unsent):
    world = World()
    world.claimed.add(claim)
    with pytest.raises(PeerError) as raised:
        await world.run()
    assert raised.value.code == "ROUND_LOST"
    assert unsent not in world.log


async def test_p4_nothing_is_masked_before_the_seal_and_nothing_sent_before_the_charge():
    world = World(**{"charge M": [PeerError("BUDGET", "no")]})
    with pytest.raises(PeerError):
        await world.run(replace(CONFIG, phase_s=1))
    assert world.log.index("seal") < world.log.index("mask(sealed)")
    assert world.log[-2:] == ["charge M", "wipe"]


@pytest.mark.parametrize("has_proof", [True, False])
async def test_unreadable_shares_end_the_round_before_anything_is_sealed(has_proof):
    complaint = "complaint({3: b'dealing', 5: b'dealing'})"
    world = World(**{"accept(inbox)": [(3, 5)], complaint: [b"K" if has_proof else None]})
    with pytest.raises(PeerError) as raised:
        await world.run()
    assert raised.value.code == "SHARE_UNREADABLE"
    until_then = HAPPY[: HAPPY.index("accept(inbox)") + 1]
    sent = ["post complaint:K"] if has_proof else []
    assert world.log == [*until_then, "dealing 3", "dealing 5", complaint, *sent, "wipe"]


async def test_a_dealing_that_the_server_does_not_show_is_left_out_of_the_complaint():
    world = World(**{"accept(inbox)": [(3, 5)], "dealing 3": [None]})
    with pytest.raises(PeerError):
        await world.run()
    assert "complaint({5: b'dealing'})" in world.log


async def test_a_server_that_is_slow_to_show_dealings_ends_the_round_with_the_phase():
    busy = {f"dealing {dealer}": [RetryLater(6)] for dealer in range(20)}
    world = World(**{"accept(inbox)": [tuple(range(20))], **busy})
    with pytest.raises(PeerError) as raised:
        await world.run()
    assert raised.value.code == "SHARE_UNREADABLE"
    assert 20 <= world.time <= 32
    assert world.log[-2:] == ["post complaint:K", "wipe"]
