"""Replay a captured request against a running aggregator: `python -m tests.e2e.replay`. Exit 0 when
nothing of it was accepted.

It starts an aggregator on loopback, lets a device send one update, keeps what went over the wire,
and sends it again: byte for byte, with another body, another target, another method, a nonce that
was made up, and without signature. The database is compared before and after. In the end the device
itself repeats the same body under a fresh nonce and gets the stored answer.
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

NONCE = 'nonce="'


def main() -> int:
    """Print one line for each try."""
    with tempfile.TemporaryDirectory() as folder:
        report = replay(Path(folder))
    for name, status, code, unchanged in report["tries"]:
        print(f"{name:<28} {status} {code:<24} database {'unchanged' if unchanged else 'CHANGED'}")
    print(
        f"{'same body, fresh nonce':<28}"
        f" {'the stored answer' if report['same_answer'] else 'ANOTHER ANSWER'}"
    )
    good = report["same_answer"] and all(
        400 <= status < 500 and unchanged for _, status, _, unchanged in report["tries"]
    )
    return 0 if good else 1


def replay(folder: Path) -> dict:
    """{"tries": [(name, status, code, database unchanged)], "same_answer": bool}."""
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
            made_up = {
                **headers,
                "Signature-Input": headers["Signature-Input"].replace(NONCE, NONCE + "A", 1),
            }
            unsigned = {
                name: value for name, value in headers.items() if not name.startswith("Signature")
            }
            tries = (
                ("byte for byte", method, path, body, headers),
                ("another body", method, path, body[:-1] + bytes([body[-1] ^ 1]), headers),
                ("another target", method, "/api/v1/rounds/1/leave", body, headers),
                ("another query", method, path + "?again=1", body, headers),
                ("another method", "DELETE", "/api/v1/device", body, headers),
                ("a nonce that was made up", method, path, body, made_up),
                ("without signature", method, path, body, unsigned),
            )
            report = []
            for name, *request in tries:
                before = contents(server)
                status, code = ask(server, device.file.load(), *request)
                report.append((name, status, code, contents(server) == before))
            again = device.client.send_update(body)
        finally:
            PinnedSession.send = original
        fresh = sent[-1][2]["Signature-Input"] != headers["Signature-Input"]
        return {"tries": report, "same_answer": again == receipt and fresh}


def ask(server, identity, method, path, body, headers) -> tuple[int, str]:
    """Send exactly this over the device's own mutual TLS."""
    place = urlsplit(server.url)
    wire = HTTPSConnection(
        place.hostname, place.port, context=client_context(server.home.ca_pem, identity), timeout=60
    )
    wire.request(method, path, body, headers)
    answer = wire.getresponse()
    content = answer.read()
    wire.close()
    return answer.status, str(json.loads(content).get("code", ""))


def contents(server) -> str:
    """Digest of every row of both databases."""
    digest = hashlib.sha256()
    for path in (server.home.folder / "aggregator.sqlite3", server.home.authority / "ca.sqlite3"):
        database = sqlite3.connect(path)
        for line in database.iterdump():
            digest.update(line.encode())
        database.close()
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
