"""Connections go through the proxy that the setting `network.proxy` names, and through no other."""

import pytest

from agent.app import Overrides, build
from tests.fakes.connect_proxy import connect_proxy
from tests.fakes.device import policy_of_tests
from tests.fakes.https_server import Scripted


@pytest.fixture
def agent(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    agent = build(
        tmp_path / "home",
        Overrides(environ={}, policy_place=policy_of_tests(tmp_path / "policy.toml")),
    )
    yield agent
    agent.close()


def ask(agent, server, authority, **options):
    server.answers["/api/v1/metadata/x.json"] = Scripted(body=b"{}")
    client = agent.connections.client(server.url, authority.pem, "", **options)
    try:
        return client.public_file("metadata/x.json", 1000)
    finally:
        client.close()


def test_without_the_setting_no_proxy_is_used_whatever_the_environment_says(
    agent, server, authority
):
    assert ask(agent, server, authority) == b"{}"
    assert len(server.asked) == 1


def test_the_setting_names_the_proxy(agent, server, authority):
    with connect_proxy() as (url, seen):
        agent.effective.set("network.proxy", url)
        assert ask(agent, server, authority) == b"{}"
    assert seen == [server.url.removeprefix("https://")]


def test_a_policy_may_name_the_proxy_and_an_erase_request_its_own(
    agent, server, authority, tmp_path
):
    with connect_proxy() as (url, seen):
        (tmp_path / "policy.toml").write_text(f'[settings]\n"network.proxy" = "{url}"\n')
        assert ask(agent, server, authority) == b"{}"
    (tmp_path / "policy.toml").unlink()
    with connect_proxy() as (url, again):
        assert ask(agent, server, authority, proxy=url) == b"{}"
    assert len(seen) == len(again) == 1
