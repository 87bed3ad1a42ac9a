"""What authentication costs: signing and checking a request, a handshake, a request over an open
connection.

References are measured in the same run.
"""

import contextlib
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.identity.signer import SoftwareSigner
from agent.protocol.http_signature import SignatureParameters, sign_request, verify_request
from agent.transport.http import PinnedSession
from agent.transport.tls import client_context
from tests.bench.harness import Figure, bench
from tests.fakes.ca import TestAuthority
from tests.fakes.https_server import HttpsServer, Scripted

BODY_BYTES = 27_000
"""A masked vector of 10,000 coordinates."""
DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"


@bench("auth.signed_request_ms.client", "auth.signed_request_ms.server")
def signatures() -> Iterator[Figure]:
    key = ec.generate_private_key(ec.SECP256R1())
    signer, public, body = SoftwareSigner(key), key.public_key(), os.urandom(BODY_BYTES)
    place = ("POST", "localhost:8443", "/api/v1/updates")

    def sign() -> dict[str, str]:
        parameters = SignatureParameters(DEVICE, "n" * 43, int(time.time()))
        return sign_request(
            *place, "application/vnd.aegisai.envelope", body, parameters, signer.sign
        )

    headers = {name.lower(): value for name, value in sign().items()}
    bare_sign = _cpu_ms(lambda: signer.sign(body))
    yield Figure(
        "auth.signed_request_ms.client",
        _cpu_ms(sign),
        "ms CPU",
        bare_sign,
        "ECDSA P-256 signature alone",
    )
    raw = _library_verifier(headers, body, public)
    check = _cpu_ms(lambda: verify_request(*place, headers, body, lambda _: public))
    yield Figure(
        "auth.signed_request_ms.server",
        check,
        "ms CPU",
        _cpu_ms(raw),
        "http-message-signatures 3.0 verifier",
    )


def _library_verifier(
    headers: dict[str, str], body: bytes, public: ec.EllipticCurvePublicKey
) -> Callable[[], object]:
    from types import SimpleNamespace

    from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver
    from http_message_signatures.algorithms import ECDSA_P256_SHA256

    class Keys(HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> ec.EllipticCurvePublicKey:
            return public

    verifier = HTTPMessageVerifier(signature_algorithm=ECDSA_P256_SHA256, key_resolver=Keys())
    message = SimpleNamespace(
        method="POST", url="https://localhost:8443/api/v1/updates", headers=headers
    )
    return lambda: verifier.verify(message, expect_tag="aegisai-1", body=body)


@bench(
    "auth.new_connection_ms",
    "auth.kept_connection_ms",
    "identity.open_file_ms",
    "identity.tls_context_ms",
)
def connections() -> Iterator[Figure]:
    authority = TestAuthority()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        file = IdentityFile(Path(name), MemoryKeyStore())
        file.create()
        file.set_certificate(
            DEVICE, authority.issue_device(file.csr_pem(), DEVICE), authority.pem, "", ""
        )
        identity = file.load()
        server = stack.enter_context(
            HttpsServer(Path(name), *authority.issue_server(), authority.pem)
        )
        server.answers["/"] = Scripted()
        with_certificate, without = (
            client_context(authority.pem, identity),
            client_context(authority.pem),
        )

        def fresh(context: ssl.SSLContext) -> Callable[[], None]:
            def once() -> None:
                session = PinnedSession(server.url, context)
                session.send("GET", "/", max_bytes=100)
                session.close()

            return once

        yield Figure(
            "auth.new_connection_ms",
            _wall_ms(fresh(with_certificate)),
            "ms",
            _wall_ms(fresh(without)),
            "without a client certificate",
        )
        session = PinnedSession(server.url, with_certificate)
        kept = _wall_ms(lambda: session.send("GET", "/", max_bytes=100))
        session.close()
        yield Figure("auth.kept_connection_ms", kept, "ms", None, "")
        yield Figure("identity.open_file_ms", _wall_ms(file.load), "ms", None, "")
        yield Figure(
            "identity.tls_context_ms",
            _wall_ms(lambda: client_context(authority.pem, identity)),
            "ms",
            1.4,
            "measured by hand before",
        )


def _cpu_ms(call: Callable[[], object], rounds: int = 200) -> float:
    """CPU of this process, milliseconds a call (mean over `rounds` after a warm-up)."""
    for _ in range(10):
        call()
    started = time.process_time()
    for _ in range(rounds):
        call()
    return (time.process_time() - started) / rounds * 1e3


def _wall_ms(call: Callable[[], object], rounds: int = 50) -> float:
    """Median wall time, milliseconds."""
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        took.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took)
