"""A program that keeps many connections to a port open and lets none of them get anywhere.

    python -m tests.fakes.flood ADDRESS PORT SOURCES COUNT KIND

SOURCES is the number of addresses that it comes from: 127.0.2.1, 127.0.2.2 and so on; 0 stands for
127.0.0.1. KIND: `silent` sends nothing, `hello` half of a TLS greeting, `tls` nothing after the
handshake, `head` half of a request's head, `body` half of a body, `ask` one request. It prints
`up N` once COUNT connections were opened, N of which are open, and then opens again what the server
closes, until its input ends.
"""

import contextlib
import itertools
import os
import resource
import select
import selectors
import socket
import ssl
import subprocess
import sys
from pathlib import Path

HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)
HALF_HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "
HALF_BODY = (
    b"POST /api/v1/challenge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
TEXTS = {"hello": HALF_HELLO, "head": HALF_HEAD, "body": HALF_BODY, "ask": REQUEST}
AT_ONCE = 50
"""How many connections are opened between two looks at those that exist."""


class Flooder:
    """Opens connections and notices which of them end."""

    def __init__(self, address, port, sources, kind):
        self.where, self.kind = (address, port), kind
        self.sources = itertools.cycle(
            [f"127.0.2.{number + 1}" for number in range(sources)] or ["127.0.0.1"]
        )
        self.selector = selectors.DefaultSelector()
        self.open = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def add(self):
        connection = socket.socket()
        connection.bind((next(self.sources), 0))
        connection.settimeout(20)
        try:
            connection.connect(self.where)
            if self.kind not in ("silent", "hello"):
                connection = self.context.wrap_socket(connection)
            connection.sendall(TEXTS.get(self.kind, b""))
        except OSError:
            connection.close()
            return
        connection.setblocking(False)
        self.selector.register(connection, selectors.EVENT_READ)
        self.open += 1

    def look(self, wait_s):
        """Close what the server has closed."""
        for key, _ in self.selector.select(wait_s):
            with contextlib.suppress(ssl.SSLWantReadError, BlockingIOError):
                try:
                    if key.fileobj.recv(4096):
                        continue
                except ConnectionError:
                    pass
                except ssl.SSLWantReadError:
                    continue
                except ssl.SSLError:
                    pass
                self.selector.unregister(key.fileobj)
                key.fileobj.close()
                self.open -= 1


def main(address, port, sources, count, kind):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 1000), hard))
    flooder = Flooder(address, port, sources, kind)
    for number in range(count):
        flooder.add()
        if number % AT_ONCE == 0:
            flooder.look(0)
    flooder.look(0)
    print(f"up {flooder.open}", flush=True)
    while not select.select([0], [], [], 0)[0]:
        flooder.look(0.1)
        for _ in range(min(AT_ONCE, count - flooder.open)):
            flooder.add()


@contextlib.contextmanager
def flood(port, count, kind, *, address="127.0.0.1", sources=1):
    """Flood a port from a process of its own; yields how many connections it holds."""
    command = (sys.executable, "-m", "tests.fakes.flood", address, port, sources, count, kind)
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    ) as process:
        try:
            yield int(process.stdout.readline().removeprefix("up "))
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5])
