"""Connects the aggregator to the enrolment authority, which runs in its own process.

1. Both sides send one JSON object per line over a Unix socket in the authority's folder (mode
   0700).
2. Only what `methods` lists can be called. Creating tokens is missing on purpose: that is up to
   the operator, not the aggregator.
3. Every method may be repeated, so a client may call again after a lost connection.
"""

import base64
import contextlib
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from agent.errors import AegisError, OperatorActionError, PeerError
from agent.protocol.limits import MAX_OFFER_BYTES
from agent.protocol.witness import DrawRequest, Witnessed
from server_stub.ca.authority import Authority, Issued, SignedRequest
from server_stub.errors import BusyError
from server_stub.storage.database import STORAGE_ERRORS, cannot_store

SOCKET_FILE = "authority.sock"
MAX_REQUEST_BYTES = 256 * 1024
MAX_RESPONSE_BYTES = MAX_OFFER_BYTES
"""The largest response is the revocation list, which an offer must hold."""
RESPONSE_S = 20.0
IDLE_S = 3600.0
"""The server closes a connection that has been idle this long; the client connects again."""
MAX_CONNECTIONS = 64
"""Each has a thread. The socket belongs to one account, whose programs may still fill it up."""
REST_S = 0.2
"""How long accepting rests after it has failed."""


class Enrolment(Protocol):
    """What the aggregator needs from an authority: `Authority` or `RemoteAuthority`."""

    ca_pem: str

    def enrol(self, token: str, csr_pem: str) -> Issued: ...
    def renew(self, request: SignedRequest) -> Issued: ...
    def revoke(self, device_id: str, *, forget: bool = False) -> bool: ...
    def device_record(self, device_id: str) -> dict[str, Any]: ...
    def revocations(self) -> str: ...
    def witness(self, request: DrawRequest) -> Witnessed: ...
    def log_head(self) -> dict[str, int | str]: ...
    def log_proof(self, fingerprint: str, size: int = 0) -> dict[str, Any]: ...
    def log_members(self, fingerprints: Sequence[str], size: int = 0) -> dict[str, Any]: ...
    def log_consistency(self, earlier: int, size: int = 0) -> dict[str, Any]: ...


class RemoteAuthority:
    """The client of an authority's socket. Call it from one thread at a time."""

    def __init__(self, folder: Path, ca_pem: str, ensure_running: Callable[[], None]) -> None:
        """`ensure_running` starts the authority again if it does not listen."""
        self._folder = folder
        self._ensure_running = ensure_running
        self._connection: socket.socket | None = None
        self._responses: Any = None
        self.ca_pem = ca_pem

    def enrol(self, token: str, csr_pem: str) -> Issued:
        return Issued(**self._call("enrol", {"token": token, "csr_pem": csr_pem}))

    def renew(self, request: SignedRequest) -> Issued:
        return Issued(
            **self._call(
                "renew", {**asdict(request), "body": base64.b64encode(request.body).decode()}
            )
        )

    def revoke(self, device_id: str, *, forget: bool = False) -> bool:
        return bool(self._call("revoke", {"device_id": device_id, "forget": forget}))

    def device_record(self, device_id: str) -> dict[str, Any]:
        return dict(self._call("device_record", {"device_id": device_id}))

    def revocations(self) -> str:
        return str(self._call("revocations", {}))

    def witness(self, request: DrawRequest) -> Witnessed:
        hexed = {"context": request.context.hex(), "leaves": request.leaves.hex()}
        answer = self._call("witness", {**asdict(request), **hexed})
        return Witnessed(**{name: bytes.fromhex(value) for name, value in answer.items()})

    def log_head(self) -> dict[str, int | str]:
        return dict(self._call("log_head", {}))

    def log_proof(self, fingerprint: str, size: int = 0) -> dict[str, Any]:
        return dict(self._call("log_proof", {"fingerprint": fingerprint, "size": size}))

    def log_members(self, fingerprints: Sequence[str], size: int = 0) -> dict[str, Any]:
        values = {"fingerprints": list(fingerprints), "size": size}
        return dict(self._call("log_members", values))

    def log_consistency(self, earlier: int, size: int = 0) -> dict[str, Any]:
        return dict(self._call("log_consistency", {"earlier": earlier, "size": size}))

    def close(self) -> None:
        if self._connection is not None:
            self._responses.close()
            self._connection.close()
            self._connection = None

    def _call(self, method: str, values: dict[str, Any]) -> Any:
        """Call a method, twice if the connection is lost (rule 3).

        Raises the authority's error, or BusyError CA_UNREACHABLE.
        """
        line = json.dumps({"method": method, "values": values}).encode() + b"\n"
        for _ in range(2):
            try:
                response = self._exchange(line)
            except (OSError, ValueError):
                self.close()
                self._ensure_running()
                continue
            if "error" in response:
                raise _raised(**response["error"])
            return response["result"]
        raise BusyError("CA_UNREACHABLE", "The enrolment authority does not answer.", 10)

    def _exchange(self, line: bytes) -> dict[str, Any]:
        if self._connection is None:
            self._connection = connect(self._folder)
            self._responses = self._connection.makefile("rb")
        self._connection.sendall(line)
        response = json.loads(self._responses.readline(MAX_RESPONSE_BYTES))
        if not isinstance(response, dict):
            raise ValueError("expected an object")
        return response


def _raised(code: str, message: str, remedy: str) -> AegisError:
    return cannot_store() if code == "CANNOT_STORE" else PeerError(code, message, remedy)


class AuthorityServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves calls on the socket, one after the other."""

    daemon_threads = True

    def __init__(self, folder: Path, authority: Authority) -> None:
        if is_listening(folder):
            raise OperatorActionError(
                "CA_RUNNING",
                "An authority is already running in this folder.",
                "Stop it first.",
            )
        (folder / SOCKET_FILE).unlink(missing_ok=True)
        self._methods = methods(authority)
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        with _short_path(folder) as path:
            super().__init__(str(path), _Connection)
        (folder / SOCKET_FILE).chmod(0o600)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; rest after a failure, or the loop would spin."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(REST_S)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Whether there is a thread left for the connection; without one it is closed."""
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def answer(self, line: bytes) -> dict[str, Any]:
        """Run the call in a line. Errors become part of the response."""
        try:
            request = json.loads(line)
            method = self._methods[request["method"]]
            with self._lock:
                return {"result": method(**request["values"])}
        except AegisError as error:
            return {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        except STORAGE_ERRORS:
            return {"error": cannot_store().to_json()}
        except (ValueError, TypeError, KeyError, RecursionError):
            return {
                "error": {
                    "code": "BAD_MESSAGE",
                    "message": "The request is malformed.",
                    "remedy": "",
                }
            }


class _Connection(socketserver.StreamRequestHandler):
    timeout = IDLE_S
    server: AuthorityServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while line := self.rfile.readline(MAX_REQUEST_BYTES):
                if not line.endswith(b"\n"):
                    return
                self.wfile.write(json.dumps(self.server.answer(line)).encode() + b"\n")


def methods(authority: Authority) -> dict[str, Callable[..., Any]]:
    """The methods that can be called over the socket."""
    return {
        "enrol": lambda token, csr_pem: asdict(authority.enrol(token, csr_pem)),
        "renew": lambda body, **head: asdict(
            authority.renew(SignedRequest(body=base64.b64decode(body), **head))
        ),
        "revoke": authority.revoke,
        "device_record": authority.device_record,
        "revocations": authority.revocations,
        "witness": partial(_witness, authority),
        "log_head": authority.log_head,
        "log_proof": authority.log_proof,
        "log_members": authority.log_members,
        "log_consistency": authority.log_consistency,
    }


def _witness(authority: Authority, *, context: str, leaves: str, **values: Any) -> dict[str, str]:
    request = DrawRequest(context=bytes.fromhex(context), leaves=bytes.fromhex(leaves), **values)
    return {name: value.hex() for name, value in vars(authority.witness(request)).items()}


def connect(folder: Path) -> socket.socket:
    """Connect to the authority. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(RESPONSE_S)
    try:
        with _short_path(folder) as path:
            connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def is_listening(folder: Path) -> bool:
    """Whether an authority listens in a folder."""
    try:
        connect(folder).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[Path]:
    """Yield a short path of the socket: a Unix socket's path holds at most 107 bytes."""
    path = folder / SOCKET_FILE
    if len(os.fsencode(path)) < 100 or not Path("/proc/self/fd").exists():
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}") / SOCKET_FILE
    finally:
        os.close(descriptor)
