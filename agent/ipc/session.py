"""Tells one login from another: what the agent reads of a login is good for that login only."""

import hashlib
from collections.abc import Mapping

_NAMES = ("XDG_SESSION_ID", "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")


def session_of(environ: Mapping[str, str]) -> str:
    """Return a short name of the login that started this process."""
    values = "\0".join(environ.get(name, "") for name in _NAMES)
    return hashlib.sha256(values.encode(errors="surrogateescape")).hexdigest()[:16]
