"""Nonces and signatures as the server treats them, for the scripted HTTPS server: `guard(answer)`
answers only a fresh, signed request.
"""

import json
import secrets
from collections.abc import Callable

from cryptography import x509

from agent.errors import PeerError
from agent.protocol.http_signature import verify_request
from tests.fakes.https_server import Asked, Scripted


class Nonces:
    def __init__(self, certificate_pem: str) -> None:
        self.key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
        self.live: set[str] = set()
        self.spent: list[str] = []

    def fresh(self) -> str:
        nonce = secrets.token_urlsafe(24)
        self.live.add(nonce)
        return nonce

    def challenge(self, asked: Asked) -> Scripted:
        assert set(json.loads(asked.body)) == {"device_id"}
        return Scripted(body=json.dumps({"nonce": self.fresh()}).encode())

    def guard(self, answer: Callable[[Asked], Scripted] | Scripted) -> Callable[[Asked], Scripted]:
        def guarded(asked: Asked) -> Scripted:
            lower = {name.lower(): value for name, value in asked.headers.items()}
            try:
                signed = verify_request(
                    asked.method,
                    asked.headers["Host"],
                    asked.path,
                    lower,
                    asked.body,
                    lambda _: self.key,
                )
            except PeerError:
                return Scripted(401, b'{"code": "BAD_REQUEST_SIGNATURE"}')
            next_nonce = {"Replay-Nonce": self.fresh()}
            if signed.nonce not in self.live:
                return Scripted(400, b'{"code": "NONCE_SPENT"}', next_nonce)
            self.live.discard(signed.nonce)
            self.spent.append(signed.nonce)
            given = answer(asked) if callable(answer) else answer
            return Scripted(given.status, given.body, {**given.headers, **next_nonce})

        return guarded
