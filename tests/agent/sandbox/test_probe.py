"""Each rule of the worker's sandbox holds against a child that tries to break it."""

import sys

from agent.sandbox.probe import RULES, enforced_here


def test_p9_every_rule_holds_here():
    assert {name for name, holds in enforced_here().items() if holds} >= set(RULES)


def test_a_child_that_cannot_run_proves_no_rule(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    assert enforced_here() == {}


def test_a_child_that_prints_nonsense_proves_no_rule(monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho nonsense\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert enforced_here() == {}
