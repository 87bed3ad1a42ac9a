"""Makes the connections to an aggregator."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from agent.transport.server_clock import ServerClock

if TYPE_CHECKING:
    from agent.identity.identity import Identity
    from agent.transport.client import AggregatorClient


class ClientFactory(Protocol):
    """Makes the connection to an aggregator; a fake in tests."""

    def __call__(
        self, server: str, ca_pem: str, signing_key: str, identity: "Identity | None"
    ) -> "AggregatorClient": ...


class Connections:
    """Makes connections through the proxy that the setting `network.proxy` names."""

    def __init__(
        self,
        proxy: Callable[[], str],
        server_clock: ServerClock,
        *,
        override: ClientFactory | None = None,
    ) -> None:
        """`proxy` gives the value of the setting at the time of the call. `override` makes every
        connection instead.
        """
        self._proxy = proxy
        self._server_clock = server_clock
        self._override = override

    def client(
        self,
        server: str,
        ca_pem: str,
        signing_key: str,
        identity: "Identity | None" = None,
        *,
        proxy: str = "",
    ) -> "AggregatorClient":
        """Return a client of an aggregator, through `proxy` or else the setting's.

        Opens nothing yet; the caller closes it.
        """
        if self._override is not None:
            return self._override(server, ca_pem, signing_key, identity)
        # The HTTP library is imported with the first connection, not with every command.
        from agent.transport.client import AggregatorClient

        return AggregatorClient(
            server,
            ca_pem,
            signing_key,
            identity,
            proxy=proxy or self._proxy(),
            server_clock=self._server_clock,
        )
