"""How the aggregator asks the enrolment authority, a process of its own: one JSON object a line
over a Unix socket in the authority's folder (mode 0700). What is not in METHODS cannot be asked:
making tokens is the operator's, not the aggregator's.
"""

import base64
import contextlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from agent.errors import AegisError, OperatorActionError, PeerError
from agent.protocol.limits import MAX_OFFER_BYTES
from server_stub.ca.authority import Authority, Issued, SignedRequest
from server_stub.errors import BusyError

SOCKET_FILE = "authority.sock"
MAX_LINE_BYTES = 256 * 1024
"""A question."""
MAX_ANSWER_BYTES = MAX_OFFER_BYTES
"""An answer: the largest is the revocation list, which an offer must hold."""
ANSWER_S = 20.0
IDLE_S = 3600.0


class Enrolment(Protocol):
    """What the aggregator needs of an authority: `Authority` itself, or `RemoteAuthority`."""

    ca_pem: str

    def enrol(self, token: str, csr_pem: str) -> Issued: ...
    def renew(self, request: SignedRequest) -> Issued: ...
    def revoke(self, device_id: str, *, forget: bool = False) -> bool: ...
    def held(self, device_id: str) -> dict[str, Any]: ...
    def revocations(self) -> str: ...
    def log_head(self) -> dict[str, int | str]: ...
    def log_proof(self, fingerprint: str, size: int = 0) -> dict[str, Any]: ...
    def log_consistency(self, earlier: int, size: int = 0) -> dict[str, Any]: ...


class RemoteAuthority:
    """The authority behind its socket; connects anew when the connection was lost.

    One call at a time.
    """

    def __init__(self, folder: Path, ca_pem: str, revive: Callable[[], None]) -> None:
        """`revive` makes sure that an authority is running."""
        self._folder = folder
        self._revive = revive
        self._connection: socket.socket | None = None
        self._answers: Any = None
        self.ca_pem = ca_pem

    def enrol(self, token: str, csr_pem: str) -> Issued:
        return Issued(**self._ask("enrol", {"token": token, "csr_pem": csr_pem}))

    def renew(self, request: SignedRequest) -> Issued:
        return Issued(
            **self._ask(
                "renew", {**asdict(request), "body": base64.b64encode(request.body).decode()}
            )
        )

    def revoke(self, device_id: str, *, forget: bool = False) -> bool:
        return bool(self._ask("revoke", {"device_id": device_id, "forget": forget}))

    def held(self, device_id: str) -> dict[str, Any]:
        return dict(self._ask("held", {"device_id": device_id}))

    def revocations(self) -> str:
        return str(self._ask("revocations", {}))

    def log_head(self) -> dict[str, int | str]:
        return dict(self._ask("log_head", {}))

    def log_proof(self, fingerprint: str, size: int = 0) -> dict[str, Any]:
        return dict(self._ask("log_proof", {"fingerprint": fingerprint, "size": size}))

    def log_consistency(self, earlier: int, size: int = 0) -> dict[str, Any]:
        return dict(self._ask("log_consistency", {"earlier": earlier, "size": size}))

    def close(self) -> None:
        if self._connection is not None:
            self._answers.close()
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, values: dict[str, Any]) -> Any:
        """Raises the authority's error, or BusyError CA_UNREACHABLE.

        Every method may be repeated, so a lost connection is tried once more.
        """
        line = json.dumps({"method": method, "values": values}).encode() + b"\n"
        for _ in range(2):
            try:
                answer = self._exchange(line)
            except (OSError, ValueError):
                self.close()
                self._revive()
                continue
            if "error" in answer:
                raise PeerError(**answer["error"])
            return answer["result"]
        raise BusyError("CA_UNREACHABLE", "The enrolment authority does not answer.", 10)

    def _exchange(self, line: bytes) -> dict[str, Any]:
        if self._connection is None:
            self._connection = connect(self._folder)
            self._answers = self._connection.makefile("rb")
        self._connection.sendall(line)
        answer = json.loads(self._answers.readline(MAX_ANSWER_BYTES))
        if not isinstance(answer, dict):
            raise ValueError("expected an object")
        return answer


class AuthorityServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers on the socket; calls come one after the other."""

    daemon_threads = True

    def __init__(self, folder: Path, authority: Authority) -> None:
        if is_answering(folder):
            raise OperatorActionError(
                "CA_RUNNING",
                "The authority of this folder is running already.",
                "Stop the other one first.",
            )
        (folder / SOCKET_FILE).unlink(missing_ok=True)
        self._methods = methods(authority)
        self._one = threading.Lock()
        with _short(folder) as path:
            super().__init__(str(path), _Connection)
        (folder / SOCKET_FILE).chmod(0o600)

    def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to one line."""
        try:
            asked = json.loads(line)
            method = self._methods[asked["method"]]
            with self._one:
                return {"result": method(**asked["values"])}
        except AegisError as error:
            return {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        except (ValueError, TypeError, KeyError, RecursionError):
            return {
                "error": {
                    "code": "BAD_MESSAGE",
                    "message": "The request is not in the agreed form.",
                    "remedy": "",
                }
            }


class _Connection(socketserver.StreamRequestHandler):
    timeout = IDLE_S
    server: AuthorityServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while line := self.rfile.readline(MAX_LINE_BYTES):
                if not line.endswith(b"\n"):
                    return
                self.wfile.write(json.dumps(self.server.answer(line)).encode() + b"\n")


def methods(authority: Authority) -> dict[str, Callable[..., Any]]:
    """What may be asked over the socket."""
    return {
        "enrol": lambda token, csr_pem: asdict(authority.enrol(token, csr_pem)),
        "renew": lambda body, **head: asdict(
            authority.renew(SignedRequest(body=base64.b64decode(body), **head))
        ),
        "revoke": authority.revoke,
        "held": authority.held,
        "revocations": authority.revocations,
        "log_head": authority.log_head,
        "log_proof": authority.log_proof,
        "log_consistency": authority.log_consistency,
    }


def connect(folder: Path) -> socket.socket:
    """A connection to the authority. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_S)
    try:
        with _short(folder) as path:
            connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def is_answering(folder: Path) -> bool:
    """Whether an authority listens there."""
    try:
        connect(folder).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[Path]:
    """The socket under a name that fits: a Unix socket's path holds at most 107 bytes."""
    path = folder / SOCKET_FILE
    if len(os.fsencode(path)) < 100 or not Path("/proc/self/fd").exists():
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}") / SOCKET_FILE
    finally:
        os.close(descriptor)
