"""Each rule of the worker's sandbox holds against a child that tries to break it."""

from agent.sandbox.probe import RULES, enforced_here


def test_p9_every_rule_holds_here():
    assert {name for name, holds in enforced_here().items() if holds} >= set(RULES)
