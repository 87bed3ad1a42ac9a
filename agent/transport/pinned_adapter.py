"""The device's requests adapter: leaves the pinned TLS context alone and tracks every open socket.

1. The context is final. By default requests adds the public roots to it, or lets `verify` and
   `cert` change it.
2. Sockets are tracked from the TCP connection on, so that a cut also ends a proxy's CONNECT and the
   TLS handshake. requests has no hook that early. Its adapter runs on urllib3's connections, so
   this module extends their class; no other module imports urllib3.
"""

import socket
import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from agent.transport.open_sockets import OpenSockets


class PinnedAdapter(HTTPAdapter):
    """HTTPS over one connection at a time, trusting what `context` trusts and nothing else."""

    def __init__(self, context: ssl.SSLContext, sockets: OpenSockets) -> None:
        self._context = context
        self._pool_classes = {"https": _pool_class(sockets)}
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Use the pinned context for direct connections."""
        super().init_poolmanager(
            connections, maxsize, block, ssl_context=self._context, **pool_kwargs
        )
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Use the pinned context for the server behind a proxy too."""
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **proxy_kwargs)
        manager.pool_classes_by_scheme = self._pool_classes
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Say where to connect. Ignore `verify` and `cert`: they would change the context."""
        host_params, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host_params, {}

    def send(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        """Raise requests' errors only: it lets some of urllib3's pass, such as a bad host name."""
        try:
            return super().send(request, *args, **options)
        except HTTPError as error:
            raise requests.ConnectionError(error, request=request) from error

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        """Leave the context alone: the default adds certifi's public roots to it."""


def _pool_class(sockets: OpenSockets) -> type[HTTPSConnectionPool]:
    class TrackedConnection(HTTPSConnection):
        """Keeps its socket in `sockets` from the TCP connection until it is closed."""

        tracked: socket.socket | None = None

        def _new_conn(self) -> socket.socket:
            sockets.check()
            connected = super()._new_conn()
            try:
                self.tracked = sockets.add(connected)
            except OSError:
                connected.close()
                raise
            return connected

        def close(self) -> None:
            super().close()
            if self.tracked is not None:
                sockets.mark_closed(self.tracked)
                self.tracked = None

    class TrackedPool(HTTPSConnectionPool):
        ConnectionCls = TrackedConnection

    return TrackedPool
