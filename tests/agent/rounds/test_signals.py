"""Signals reach their listeners in order; without listeners nothing happens."""

from agent.rounds.signals import Signals


def test_a_change_reaches_every_listener():
    signals, received = Signals(), []
    for name in ("loop", "channel"):
        signals.on_change(lambda name=name: received.append(name))
    signals.changed()
    assert received == ["loop", "channel"]


def test_a_persons_change_is_acted_on_before_it_shows():
    signals, received = Signals(), []
    signals.on_change(lambda: received.append("shown"))
    signals.on_user_change(lambda: received.append("acted on"))
    signals.user_changed()
    assert received == ["acted on", "shown"]


def test_requests_go_to_the_loop_that_is_connected_last():
    signals, received = Signals(), []
    signals.run_now()
    signals.request_quit()
    for name in ("old", "new"):
        signals.connect_loop(
            run_now=lambda name=name: received.append((name, "run")),
            request_quit=lambda name=name: received.append((name, "quit")),
        )
    signals.run_now()
    signals.request_quit()
    assert received == [("new", "run"), ("new", "quit")]
