"""An HTTP proxy on loopback that lets one CONNECT through."""

import socket
import threading
from contextlib import contextmanager, suppress

from tests.fakes.timeouts import TIMEOUT_S


@contextmanager
def connect_proxy():
    """Yield the proxy's URL and a list that receives the target of the connection."""
    targets = []

    def serve(listener):
        client, _ = listener.accept()
        target = client.recv(4096).split(b" ")[1].decode()
        targets.append(target)
        upstream = socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        back = threading.Thread(target=_pump, args=(upstream, client))
        back.start()
        _pump(client, upstream)
        back.join()
        client.close()
        upstream.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", targets
        thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def _pump(source, sink):
    with suppress(OSError):  # either side may be gone
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
