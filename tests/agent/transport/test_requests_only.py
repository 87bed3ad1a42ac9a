"""The agent speaks HTTP through requests alone."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
import requests
from packaging.requirements import Requirement

from agent.errors import AegisError
from agent.transport.client import AggregatorClient

ROOT = Path(__file__).parents[3]
TRANSPORT = ROOT / "agent" / "transport"
NETWORK = {"_socket", "_ssl", "asyncio", "ctypes", "ftplib", "http", "select", "selectors"} | {
    *("smtplib", "socket", "socketserver", "ssl", "subprocess", "telnetlib", "urllib.request"),
    *("wsgiref", "xmlrpc"),
}
"""Modules of the standard library by which a program could reach the network."""
USES = {
    "blocking.py": {"asyncio"},
    "http.py": {"requests", "ssl"},
    "isolated_session.py": {
        "http.cookiejar.DefaultCookiePolicy",
        "requests",
        "requests.adapters.HTTPAdapter",
    },
    "open_sockets.py": {"socket"},
    "pinned_adapter.py": {
        "requests",
        "requests.adapters.HTTPAdapter",
        "socket",
        "ssl",
        "urllib3.connection.HTTPSConnection",
        "urllib3.connectionpool.HTTPSConnectionPool",
        "urllib3.exceptions.HTTPError",
    },
    "tls.py": {"ssl"},
}
"""What each file may use of them, and of other libraries. urllib3: the classes that the adapter of
requests is built on. `asyncio` awaits a thread, `ssl` makes contexts, `socket` cuts.
"""


def imports(path):
    """Full names of everything that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reaches_out(name):
    top = name.split(".")[0]
    if top == "agent":
        return False
    within = {name[: at + 1].rstrip(".") for at in range(len(name)) if name[at : at + 1] == "."}
    return top not in sys.stdlib_module_names or bool(NETWORK & {name, top, *within})


@pytest.mark.parametrize("path", sorted(TRANSPORT.glob("**/*.py")), ids=lambda path: path.name)
def test_the_transport_reaches_the_network_by_requests_alone(path):
    assert {name for name in imports(path) if reaches_out(name)} == USES.get(path.name, set())


def test_nothing_else_in_the_agent_speaks_http():
    http = {"aiohttp", "http", "httpx", "pycurl", "requests", "tornado", "urllib3", "websockets"}
    speakers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "agent").glob("**/*.py")
        for name in imports(path)
        if name.split(".")[0] in http or name.startswith("urllib.request")
    }
    assert speakers == {
        f"agent/transport/{name}.py" for name in ("http", "isolated_session", "pinned_adapter")
    }


def test_every_request_goes_through_requests(server, authority, monkeypatch):
    """Where requests cannot send, nothing reaches the server."""

    def send(self, request, **options):
        raise requests.ConnectionError("stopped by the test")

    client = AggregatorClient(server.url, authority.pem, "")
    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "send", send)
        with pytest.raises(AegisError, match="cannot be reached"):
            client.device()
    assert server.asked == []
    client.close()


def test_requests_is_a_runtime_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {Requirement(text).name for text in project["dependencies"]}
    assert {"requests", "urllib3"} <= needed
