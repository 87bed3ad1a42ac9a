"""Who listens is called, in order; without listeners nothing happens."""

from agent.rounds.signals import Signals


def test_a_change_reaches_every_listener():
    signals, heard = Signals(), []
    for name in ("loop", "channel"):
        signals.on_change(lambda name=name: heard.append(name))
    signals.changed()
    assert heard == ["loop", "channel"]


def test_a_persons_change_is_acted_on_before_it_shows():
    signals, heard = Signals(), []
    signals.on_change(lambda: heard.append("shown"))
    signals.on_user_change(lambda: heard.append("acted on"))
    signals.user_changed()
    assert heard == ["acted on", "shown"]


def test_wishes_go_to_the_loop_that_is_connected_last():
    signals, heard = Signals(), []
    signals.run_now()
    signals.request_quit()
    for name in ("old", "new"):
        signals.connect_loop(
            run_now=lambda name=name: heard.append((name, "run")),
            request_quit=lambda name=name: heard.append((name, "quit")),
        )
    signals.run_now()
    signals.request_quit()
    assert heard == [("new", "run"), ("new", "quit")]
