"""Which policy holds for a home, and when it is read again."""

import pytest

from agent.app import Overrides, build
from agent.config.device_limits import mark_demo
from agent.config.effective import Enrolment
from agent.config.policy_source import PolicySource
from agent.consent.notice import OperatorFacts
from agent.paths import Home
from tests.fakes.device import policy_of_tests


@pytest.mark.parametrize(
    ("is_demo", "server", "counts"),
    [
        (False, "https://127.0.0.1:9443", False),
        (True, "https://127.0.0.1:9443", True),
        (True, "https://fl.example.org:9443", False),
        (False, "https://fl.example.org:9443", False),
        (False, "", False),
        (True, "", True),
    ],
)
def test_p3_only_a_demos_home_on_its_way_to_this_computer_follows_the_environment(
    tmp_path, is_demo, server, counts
):
    (tmp_path / "mine.toml").write_text("contribute = false\n")
    (tmp_path / "mine.toml").chmod(0o600)
    home = Home(tmp_path / "home")
    home.prepare()
    if is_demo:
        mark_demo(home, None)
    agent = build(home.root, Overrides(environ={"AEGIS_POLICY": str(tmp_path / "mine.toml")}))
    if server:
        operator = OperatorFacts("Op", "op@example.org", "", "", server)
        agent.effective.join(Enrolment(server, "t" * 12, "", "", "", operator, None))
    assert bool(agent.effective.policy().denied) is counts
    agent.close()


def test_it_is_read_again_only_when_something_has_changed(tmp_path):
    path = tmp_path / "policy.toml"
    source = PolicySource(Home(tmp_path), {}, lambda: "", policy_of_tests(path))
    assert source.current().origin == ""
    path.write_text("contribute = false\n")
    path.chmod(0o600)
    first = source.current()
    assert first.denied
    assert source.current() is first
    path.chmod(0o666)
    assert "cannot be trusted" in source.current().denied
    path.chmod(0o600)
    path.write_text("contribute = true\n")
    assert source.current().denied == ""
