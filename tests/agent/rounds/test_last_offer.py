"""What the server asked for last is remembered, and since when it asks this price."""

from agent.rounds.last_offer import Asked, LastOffer

DAY_S = 24 * 3600


def test_nothing_is_known_before_the_first_offer_or_about_another_task(device):
    last = LastOffer(device.agent.values)
    assert last.of("task") is None
    last.note(Asked("task", 1, "aa", 50, 1000), DAY_S)
    assert last.of("another") is None
    device.restart()
    assert LastOffer(device.agent.values).of("task") == Asked("task", 1, "aa", 50, 1000)


def test_a_price_stays_without_a_round_and_keeps_its_time_for_a_day(device):
    last = LastOffer(device.agent.values)
    last.note(Asked("task", 1, "aa", 50, 1000), DAY_S)
    last.note(Asked("task", 2, "bb", None, 2000), DAY_S)
    assert last.of("task") == Asked("task", 2, "bb", 50, 1000)
    last.note(Asked("task", 2, "bb", 50, 999 + DAY_S), DAY_S)
    assert last.of("task").at == 1000
    last.note(Asked("task", 2, "bb", 50, 1000 + DAY_S), DAY_S)
    assert last.of("task").at == 1000 + DAY_S
    last.note(Asked("task", 2, "bb", 60, 1001 + DAY_S), DAY_S)
    assert (last.of("task").rho_units, last.of("task").at) == (60, 1001 + DAY_S)


def test_a_clock_that_was_set_back_begins_a_new_day(device):
    last = LastOffer(device.agent.values)
    last.note(Asked("task", 1, "aa", 50, 10**9), DAY_S)
    last.note(Asked("task", 1, "aa", 50, 1000), DAY_S)
    assert last.of("task").at == 1000


def test_what_an_older_version_stored_is_read(device):
    device.agent.values.put("round_price", {"task_id": "task", "rho_units": 7})
    assert LastOffer(device.agent.values).of("task") == Asked("task", rho_units=7)
