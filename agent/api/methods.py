"""The table of the local channel's methods (docs/CONTRACT.md).

The channel calls them through `Service`; so do commands in their own process when no agent runs.
Parameters are checked against the table before a method sees them. An unknown parameter is an error
and changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.errors import PeerError
from agent.files.disk_errors import explained

PAGE_ROWS, MAX_PAGE_ROWS = 200, 1000
PAGE = {"offset": int, "limit": int}
"""Optional parameters of the methods that answer in pages."""
Result = dict[str, Any]
Report = Callable[[int, int], None]
"""Receives how many steps are done, and how many there are."""


@dataclass(frozen=True)
class Method:
    """One method and the types of its parameters by name."""

    call: Callable[..., Awaitable[Result]]
    required: Mapping[str, type] = field(default_factory=dict)
    optional: Mapping[str, type] = field(default_factory=dict)
    reports: bool = False
    """Whether it takes a `report` (Report) and calls it while it works."""


class Topic(Protocol):
    """Methods that belong together."""

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""


class Service:
    """Answers every method of one agent."""

    def __init__(self, *topics: Topic) -> None:
        self._methods = {
            name: method for topic in topics for name, method in topic.methods().items()
        }

    @property
    def names(self) -> frozenset[str]:
        """Every method; the channel adds `subscribe`."""
        return frozenset(self._methods)

    async def call(
        self, name: str, params: dict[str, Any], report: Report = lambda *_: None
    ) -> Result:
        """Answer one request; `report` is called while a long one is worked on.

        Raises the AegisError to show to the caller.
        """
        method = self._methods.get(name)
        if method is None:
            raise PeerError(
                "UNKNOWN_METHOD", f"There is no method {name[:40]!r}.", "Update both programs."
            )
        _check_params(params, method.required, method.optional)
        try:
            return await method.call(**params, **({"report": report} if method.reports else {}))
        except OSError as error:
            raise explained(error) from error


def bad_params(message: str) -> PeerError:
    """Return the error for parameters that a method cannot accept."""
    return PeerError("BAD_PARAMS", message, "Nothing was changed.")


def page_bounds(offset: int, limit: int) -> tuple[int, int]:
    """Clamp the bounds of a page to the allowed range."""
    return max(0, offset), min(max(1, limit), MAX_PAGE_ROWS)


def check_paths(paths: list[Any]) -> list[str]:
    """Return `paths` if all of them can be file names. Raises PeerError BAD_PARAMS."""
    if not paths or not all(isinstance(path, str) and path and "\0" not in path for path in paths):
        raise bad_params("paths: expected a list of file names.")
    return list(paths)


def _check_params(
    params: dict[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> None:
    known = {**required, **optional}
    if unknown := set(params) - set(known):
        raise bad_params(f"Unknown parameters: {', '.join(sorted(unknown))[:80]}.")
    if missing := set(required) - set(params):
        raise bad_params(f"Missing parameters: {', '.join(sorted(missing))}.")
    for name, value in params.items():
        kind = known[name]
        # bool is a subclass of int, but true is not a number of seconds.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise bad_params(f"{name}: expected {kind.__name__}.")
