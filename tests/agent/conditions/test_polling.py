"""Probes without signals read what is required, at every poll, and forget it when they close."""

from agent.conditions.polling import PollingProbes
from agent.conditions.readings import Reading


class Counting(PollingProbes):
    """Counts how often each reading is taken; the power supply cannot be read."""

    def __init__(self):
        super().__init__()
        self.idle_s = 0.0

    def _readers(self):
        return {"idle": self._idle, "on_mains": self._on_mains}

    def _idle(self):
        self.idle_s += 1
        return Reading(self.idle_s, "a test", "s")

    def _on_mains(self):
        raise OSError("driver fault")


BOTH = frozenset({"idle", "on_mains"})


async def test_nothing_is_known_before_the_first_poll():
    assert Counting().snapshot() == {}


async def test_every_poll_reads_anew():
    probes = Counting()
    for expected in (1.0, 2.0):
        await probes.poll(BOTH, 60)
        assert probes.snapshot()["idle"].value == expected


async def test_a_reader_that_fails_leaves_the_others_alone():
    probes = Counting()
    await probes.poll(BOTH, 60)
    assert probes.snapshot()["idle"].value == 1.0
    assert probes.snapshot()["on_mains"].source == "on_mains: OSError: driver fault"


async def test_a_reading_that_is_not_required_is_not_taken():
    probes = Counting()
    await probes.poll(frozenset({"online"}), 60)
    assert (probes.snapshot(), probes.idle_s) == ({}, 0.0)


async def test_a_snapshot_does_not_change_with_the_next_poll():
    probes = Counting()
    await probes.poll(BOTH, 60)
    snapshot = probes.snapshot()
    await probes.poll(BOTH, 60)
    assert snapshot["idle"].value == 1.0


async def test_closed_probes_know_nothing_any_more():
    probes = Counting()
    await probes.poll(BOTH, 60)
    await probes.close()
    assert probes.snapshot() == {}


async def test_a_system_without_probes_reads_nothing_and_says_so():
    probes = PollingProbes()
    await probes.open(lambda: None)
    await probes.poll(BOTH, 60)
    assert (probes.snapshot(), probes.is_going_to_sleep()) == ({}, False)
    assert "nothing" in probes.note
