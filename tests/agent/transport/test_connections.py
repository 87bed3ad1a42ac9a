"""The setting `network.proxy`: what a device says to its server goes through it, and through no
other.
"""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from agent.app import Overrides, build
from tests.fakes.https_server import Scripted
from tests.fakes.timeouts import TIMEOUT_S


@contextmanager
def tunnel():
    """An HTTP proxy that lets CONNECT through to loopback; yields its URL and the targets that it
    was asked for.
    """
    seen = []

    def serve(listener):
        client, _ = listener.accept()
        target = client.recv(4096).split(b" ")[1].decode()
        seen.append(target)
        upstream = socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        back = threading.Thread(target=pump, args=(upstream, client))
        back.start()
        pump(client, upstream)
        back.join()
        client.close()
        upstream.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def pump(source, sink):
    with suppress(OSError):  # either side may have gone
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def agent(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    made = build(
        tmp_path / "home", Overrides(environ={"AEGIS_POLICY": str(tmp_path / "policy.toml")})
    )
    yield made
    made.close()


def ask(agent, server, authority, **options):
    server.answers["/api/v1/metadata/x.json"] = Scripted(body=b"{}")
    client = agent.connections.client(server.url, authority.pem, "", **options)
    try:
        return client.public_file("metadata/x.json", 1000)
    finally:
        client.close()


def test_without_the_setting_the_way_is_direct_whatever_the_environment_says(
    agent, server, authority
):
    assert ask(agent, server, authority) == b"{}"
    assert len(server.asked) == 1


def test_the_setting_is_the_way(agent, server, authority):
    with tunnel() as (url, seen):
        agent.effective.set("network.proxy", url)
        assert ask(agent, server, authority) == b"{}"
    assert seen == [server.url.removeprefix("https://")]


def test_the_policy_sets_it_too_and_an_erase_request_brings_its_own(
    agent, server, authority, tmp_path
):
    with tunnel() as (url, seen):
        (tmp_path / "policy.toml").write_text(f'[settings]\n"network.proxy" = "{url}"\n')
        assert ask(agent, server, authority) == b"{}"
    (tmp_path / "policy.toml").unlink()
    with tunnel() as (url, again):
        assert ask(agent, server, authority, proxy=url) == b"{}"
    assert len(seen) == len(again) == 1
