"""A device that breaks its group is excluded by proof, over real TLS and restarts of the server.

The devices run the agent's own client code, each in its own thread, against a real aggregator.
"""

import json
import subprocess
import sys

import pytest

from agent.clock import SystemClock
from agent.transport.responses import ExcludedError
from server_stub.rounds.lifecycle import State
from tests.fakes.group_devices import run_round
from tests.fakes.group_rounds import enrol_devices, group_server, wait_for_end
from tests.fakes.liars import (
    FalseAccuser,
    FalseGiver,
    FalseSecretDealer,
    GarbageForAll,
    GarbageForOne,
    ShortInput,
    Spoiler,
)

pytestmark = pytest.mark.system


class Village:
    """`size` devices of one aggregator; `liars`: what some of them do, by number."""

    def __init__(self, folder, liars, size=12, floor=10, phase_s=60):
        self.folder, self.floor, self.phase_s = folder, floor, phase_s
        self.server = None
        self.devices = []
        self.restart()
        self.devices = enrol_devices(self.server, size)
        for number, liar in liars.items():
            self.devices[number].player = liar
        self.liars = {self.devices[number].device_id for number in liars}
        self.played = 0

    def restart(self):
        self.close()
        options = {"min_group": self.floor, "min_sum": self.floor // 2, "g_max": 64}
        options |= {"phase_s": self.phase_s, "clock": SystemClock()}
        self.server = group_server(self.folder, self.floor, **options).__enter__()
        for device in self.devices:
            device.reconnect(self.server)

    def close(self):
        if self.server is not None:
            self.server.__exit__(None, None, None)
            self.server = None

    def round(self):
        """Play a round with every device that is admitted; return it, and who was excluded."""
        excluded, admitted = {}, []
        for device in self.devices:
            try:
                device.report_ready()
                admitted.append(device)
            except ExcludedError as error:
                excluded[device.device_id] = error
        offer = [device.poll_until_offered() for device in admitted][-1]
        self.played += 1
        assert offer.round.round_id == self.played
        run_round(admitted, offer)
        return wait_for_end(self.server, self.played), excluded

    def rounds(self, count):
        """Play; return the state of each round, and the rounds that each device missed."""
        states, missed = [], {}
        for _ in range(count):
            ended, excluded = self.round()
            states.append(ended.state)
            for device_id in excluded:
                missed.setdefault(device_id, []).append(ended.round_id)
        return states, missed

    def proofs(self):
        return {one.device_id: one for one in self.server.view.proofs.all()}

    def command(self, *words):
        """Run `aegis-server` on this server's folder; return its JSON."""
        home = str(self.server.home.folder)
        done = subprocess.run(
            [sys.executable, "-m", "server_stub.cli.main", *words, "--home", home, "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)


@pytest.fixture
def village(tmp_path):
    opened = []

    def make(liars, **options):
        opened.append(Village(tmp_path, liars, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_ten_rounds_with_a_persistent_false_dealer_and_a_persistent_false_accuser(village):
    """Each is out for 1, 2 and 4 rounds after its proofs: 7 of 10 rounds succeed.

    The server restarts in between.
    """
    there = village({7: FalseSecretDealer, 20: FalseAccuser}, size=40, floor=36)
    dealer, accuser = (there.devices[number].device_id for number in (7, 20))
    before, missed_before = there.rounds(4)
    there.restart()
    after, missed = there.rounds(6)
    failed = [number for number, state in enumerate(before + after, 1) if state is State.ABANDONED]
    assert failed == [1, 3, 6]
    assert missed_before == {liar: [2, 4] for liar in there.liars}
    assert missed == {liar: [5, 7, 8, 9, 10] for liar in there.liars}
    for number in failed:
        ended = there.server.view.rounds.get(number)
        assert ended.proven == {dealer: "SECRET_FALSE", accuser: "ACCUSATION_FALSE"}
        assert not ended.failed_without_proof
    assert set(there.proofs()) == there.liars
    # Excluded, a device pays nothing; the accuser never masked anything.
    charges = {device.device_id: device.charges for device in there.devices}
    assert (charges.pop(dealer), charges.pop(accuser), set(charges.values())) == (3, 0, {10})


def test_the_operator_judges_the_evidence_again_and_releases_by_hand(village):
    there = village({0: FalseSecretDealer})
    (liar,) = there.liars
    there.round()
    shown = there.command("devices", "show", liar)
    assert [proof["verified"] for proof in shown["proofs"]] == ["verified"]
    (listed,) = [
        row["exclusion"]
        for row in there.command("devices", "list")["devices"]
        if row["exclusion"] is not None
    ]
    assert listed == shown["exclusion"]
    assert (listed["device_id"], listed["until_round"]) == (liar, 2)
    assert there.command("devices", "release", liar)["released"] == 1
    # It is back at once. The proof no longer counts: the next one is a first one again.
    _, excluded = there.round()
    assert excluded == {}
    assert [one.rounds for one in there.server.view.proofs.exclusions(liar)] == [1, 1]


@pytest.mark.parametrize(
    ("liar", "code", "first"),
    [
        (GarbageForAll, "SHARE_UNREADABLE", State.ABANDONED),
        (GarbageForOne, "SHARE_UNREADABLE", State.DONE),
        (FalseAccuser, "ACCUSATION_FALSE", State.DONE),
        (FalseGiver, "SHARE_FALSE", State.DONE),
        (ShortInput, "WRONG_LENGTH", State.DONE),
    ],
)
def test_a_liar_is_excluded_after_its_first_proof_and_the_honest_go_on(village, liar, code, first):
    there = village({2: liar}, phase_s=5 if liar is ShortInput else 60)
    (device_id,) = there.liars
    states, missed = there.rounds(2)
    assert states == [first, State.DONE]
    assert missed == {device_id: [2]}
    assert {name: one.code for name, one in there.proofs().items()} == {device_id: code}
    charged = {device.charges for device in there.devices if device.device_id != device_id}
    # Garbage is seen before anything is masked: nobody pays for that round.
    assert charged <= ({1} if liar is GarbageForAll else {1, 2})


def test_an_excluded_device_that_asks_for_no_offer_is_kept_out_as_well(village):
    there = village({2: FalseSecretDealer})
    liar = there.devices[2]
    there.round()
    others = [device for device in there.devices if device is not liar]
    for device in others:
        device.report_ready()
    offer = [device.poll_until_offered() for device in others][-1]
    liar.take_part(offer)
    assert liar.failure == "EXCLUDED"
    run_round(others, offer)
    assert wait_for_end(there.server, 2).updates == len(others)


def test_of_several_liars_all_false_dealers_are_out_after_one_round(village):
    liars = {0: FalseSecretDealer, 3: FalseSecretDealer, 6: FalseAccuser, 9: GarbageForOne}
    there = village(liars, floor=8)
    states, missed = there.rounds(2)
    assert states == [State.ABANDONED, State.DONE]
    dealers = {there.devices[number].device_id for number in (0, 3)}
    # The two others may have met each other, and then nothing of theirs took effect.
    assert dealers <= missed.keys() <= there.liars


def test_a_failure_without_a_proof_excludes_nobody(village):
    there = village({3: Spoiler})
    ended, _ = there.round()
    assert ended.failed_without_proof is (ended.state is State.ABANDONED)
    for device in there.devices:
        device.report_ready()  # some may sit the next round out, and nobody is excluded
    assert there.proofs() == {}
