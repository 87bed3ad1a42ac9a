"""The OpenAPI document describes what the server does.

Schemathesis tries every operation without a certificate, with one, and signed. No response is a
server error, and no request adds a row to a database.
"""

import json
import sqlite3
import urllib.request
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from agent.protocol.http_signature import SignatureParameters, sign_request
from agent.transport.tls import client_context
from server_stub.config.limits import Rate, Rates
from tests.fakes.live_server import LiveServer


@schemathesis.serializer("application/vnd.aegisai.envelope")
def envelope(_context, value):
    return value.encode() if isinstance(value, str) else bytes(value)


GENEROUS = Rate(1_000_000, 100_000.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    rates = Rates(*[GENEROUS] * 5)
    with LiveServer(tmp_path_factory.mktemp("openapi"), rates=rates) as running:
        yield running


@pytest.fixture(scope="module")
def schema_document(server):
    with urllib.request.urlopen(
        f"{server.where['operator_url']}/openapi.json", timeout=60
    ) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def sessions(server):
    """Sessions without a certificate, with one, and with one and signatures."""
    import requests
    from requests.adapters import HTTPAdapter

    class Pinned(HTTPAdapter):
        def __init__(self, context):
            self._context = context
            super().__init__()

        def init_poolmanager(self, *values, **options):
            super().init_poolmanager(*values, ssl_context=self._context, **options)

    ca_file = str(server.home.ca_file)
    opened, device = [], server.enrol().file.load()
    for identity, signs in ((None, False), (device, False), (device, True)):
        session = requests.Session()
        session.auth = Signed(server, device, opened[0]) if signs else None
        session.trust_env, session.verify = False, ca_file
        session.mount("https://", Pinned(client_context(server.home.ca_pem, identity)))
        opened.append(session)
    yield opened
    for session in opened:
        session.close()


class Signed:
    """Signs the requests that change something, as a device does."""

    def __init__(self, server, identity, session):
        self._server, self._identity, self._session = server, identity, session

    def __call__(self, request):
        body = request.body.encode() if isinstance(request.body, str) else request.body
        if request.method in ("POST", "PUT", "PATCH") and isinstance(body, bytes) and body:
            identity, host = self._identity, urlsplit(request.url).netloc
            media_type = request.headers.get("Content-Type", "")
            challenge = self._session.post(
                f"{self._server.url}/api/v1/challenge", json={"device_id": identity.device_id}
            )
            nonce = challenge.json()["nonce"]
            headers = sign_request(
                request.method,
                host,
                request.path_url,
                media_type,
                body,
                SignatureParameters(identity.device_id, nonce, 1),
                identity.signer.sign,
            )
            request.headers.update(headers)
        return request


def rows(server):
    """The number of rows in each table."""
    counts = {}
    for path in (server.home.folder / "aggregator.sqlite3", server.home.authority / "ca.sqlite3"):
        database = sqlite3.connect(path)
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            (counts[path.name, name],) = database.execute(f"SELECT count(*) FROM {name}").fetchone()
        database.close()
    return counts


def test_every_operation_answers_as_documented(server, schema_document, sessions):
    schema = schemathesis.openapi.from_dict(schema_document)
    tried, before = [], rows(server)
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def try_it(case):
            for session in sessions:
                answer = case.call(base_url=server.url, session=session)
                case.validate_response(
                    answer,
                    checks=[
                        not_a_server_error,
                        status_code_conformance,
                        response_schema_conformance,
                    ],
                )
                tried.append(answer.status_code)

        try_it()
    assert len(tried) >= 2 * len(schema_document["paths"])
    assert max(tried) < 500
    # Any device may show a head of its own ledger: that is what the first one is for.
    heads = ("aggregator.sqlite3", "ledger_heads")
    assert {**rows(server), heads: 0} == {**before, heads: 0}
