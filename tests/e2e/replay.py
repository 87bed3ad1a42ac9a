"""Replay a captured request against a running aggregator: `python -m tests.e2e.replay`. Exit 0 when
the aggregator accepted none of the replays.

It starts an aggregator on loopback, lets a device send one update, records the request, and sends
it again: byte for byte, with another body, target or method, with an invented nonce, and without a
signature. It compares the database before and after each. In the end the device itself repeats the
body under a fresh nonce and gets the stored response.
"""

import hashlib
import json
import sqlite3
import sys
import tempfile
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from agent.transport.http import PinnedSession
from agent.transport.tls import client_context
from tests.fakes.live_server import LiveServer
from tests.fakes.timeouts import TIMEOUT_S

NONCE = 'nonce="'


def main() -> int:
    """Print a line for each replay."""
    with tempfile.TemporaryDirectory() as folder:
        report = replay(Path(folder))
    for name, status, code, unchanged in report["replays"]:
        print(f"{name:<28} {status} {code:<24} database {'unchanged' if unchanged else 'CHANGED'}")
    print(
        f"{'same body, fresh nonce':<28}"
        f" {'the stored response' if report['same_response'] else 'ANOTHER RESPONSE'}"
    )
    good = report["same_response"] and all(
        400 <= status < 500 and unchanged for _, status, _, unchanged in report["replays"]
    )
    return 0 if good else 1


def replay(folder: Path) -> dict:
    """{"replays": [(name, status, code, database unchanged)], "same_response": bool}."""
    with LiveServer(folder, epsilon_milli=8000, lifetime_epsilon_milli=8000) as server:
        device = server.enrol()
        body, sent = device.update(), []
        original = PinnedSession.send

        def recording(session, method, path, **options):
            if path == "/api/v1/updates":
                sent.append((method, path, dict(options["headers"])))
            return original(session, method, path, **options)

        PinnedSession.send = recording
        try:
            receipt = device.client.send_update(body)
            method, path, headers = sent[0]
            invented = {
                **headers,
                "Signature-Input": headers["Signature-Input"].replace(NONCE, NONCE + "A", 1),
            }
            unsigned = {
                name: value for name, value in headers.items() if not name.startswith("Signature")
            }
            replays = (
                ("byte for byte", method, path, body, headers),
                ("another body", method, path, body[:-1] + bytes([body[-1] ^ 1]), headers),
                ("another target", method, "/api/v1/rounds/1/leave", body, headers),
                ("another query", method, path + "?again=1", body, headers),
                ("another method", "DELETE", "/api/v1/device", body, headers),
                ("an invented nonce", method, path, body, invented),
                ("without signature", method, path, body, unsigned),
            )
            report = []
            for name, *request in replays:
                before = contents(server)
                status, code = ask(server, device.file.load(), *request)
                report.append((name, status, code, contents(server) == before))
            again = device.client.send_update(body)
        finally:
            PinnedSession.send = original
        fresh = sent[-1][2]["Signature-Input"] != headers["Signature-Input"]
        return {"replays": report, "same_response": again == receipt and fresh}


def ask(server, identity, method, path, body, headers) -> tuple[int, str]:
    """Send exactly this over the device's own mutual TLS. Return the status and the error code."""
    address = urlsplit(server.url)
    connection = HTTPSConnection(
        address.hostname,
        address.port,
        context=client_context(server.home.ca_pem, identity),
        timeout=TIMEOUT_S,
    )
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, str(json.loads(content).get("code", ""))


def contents(server) -> str:
    """Return the digest of every row of both databases."""
    digest = hashlib.sha256()
    for path in (server.home.folder / "aggregator.sqlite3", server.home.authority / "ca.sqlite3"):
        database = sqlite3.connect(path)
        for line in database.iterdump():
            digest.update(line.encode())
        database.close()
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
