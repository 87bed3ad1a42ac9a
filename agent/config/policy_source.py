"""The policy that holds for one home: the machine's, or in a home of the demo the one it names."""

from collections.abc import Callable, Mapping

from agent.config import machine_policy, policy_file
from agent.config.machine_policy import Policy
from agent.config.policy_file import PolicyPlace
from agent.consent.gate import LOOPBACK_HOSTS
from agent.paths import Home

_NOT_AWAY = LOOPBACK_HOSTS | {""}
"""Hosts of servers on this computer; "" while there is none."""


class PolicySource:
    """Reads the policy again when something about its file has changed."""

    def __init__(
        self,
        home: Home,
        environ: Mapping[str, str],
        server_host: Callable[[], str],
        given: PolicyPlace | None = None,
    ) -> None:
        """`given` replaces the machine's place, in tests and for simulated devices."""
        self._home = home
        self._server_host = server_host
        self._machine = given or policy_file.machine_place()
        self._demo = None if given else policy_file.demo_place(environ)
        self._seen: tuple[object, Policy] | None = None

    def current(self) -> Policy:
        """Return the policy as it is now."""
        place = self._place()
        trail = policy_file.inspect(place)
        stamp = (place, trail)
        if self._seen is None or self._seen[0] != stamp:
            self._seen = (stamp, machine_policy.load(place, trail))
        return self._seen[1]

    def _place(self) -> PolicyPlace:
        # In a home of the demo that could send to another computer, IT's word counts.
        if self._demo is not None and self._home.is_demo and self._server_host() in _NOT_AWAY:
            return self._demo
        return self._machine
