"""Reads the machine's policy: a TOML file that IT writes.

It can forbid taking part and make settings stricter. It can never consent.

    contribute = false                # nobody on this machine takes part
    reason = "Not on build servers"   # shown to the person

    [settings]                        # bounds; the stricter of policy and person holds
    "cpu.share_idle" = 25

    [enrolment]
    invitation = "aegis1.…"           # what `aegis enroll` stores; the person still decides

A policy that cannot be read forbids (fail closed).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config.definitions import Tighter, Value, definition
from agent.config.settings import parse
from agent.errors import AegisError

MAX_POLICY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Policy:
    """What a policy file says; the default is what no file says."""

    denied: str = ""
    """One sentence on why taking part is forbidden; empty when it is not."""
    bounds: Mapping[str, Value] = field(default_factory=dict)
    invitation: str = ""
    origin: str = ""
    """Name of the file; empty without one."""


def load(path: Path) -> Policy:
    """Read the policy. A missing file is an empty policy; an unreadable one forbids."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_POLICY_BYTES + 1)
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        return _unreadable(path, error.strerror or "not readable")
    if len(content) > MAX_POLICY_BYTES:
        return _unreadable(path, f"larger than {MAX_POLICY_BYTES} bytes")
    try:
        return _read(tomllib.loads(content.decode()), path)
    except (ValueError, TypeError, AegisError) as error:
        return _unreadable(path, str(error)[:200])


def _read(document: dict[str, Any], path: Path) -> Policy:
    if unknown := set(document) - {"contribute", "reason", "settings", "enrolment"}:
        raise ValueError(f"unknown entries {sorted(unknown)}")
    allowed = document.get("contribute", True)
    if not isinstance(allowed, bool):
        raise TypeError("contribute: expected true or false")
    reason = str(document.get("reason", ""))[:200]
    settings, enrolment = document.get("settings", {}), document.get("enrolment", {})
    if not isinstance(settings, dict) or not isinstance(enrolment, dict):
        raise TypeError("settings and enrolment: expected tables")
    bounds = {key: parse(key, raw) for key, raw in settings.items()}
    for key in bounds:
        if definition(key).tighter is Tighter.NOT:
            raise ValueError(f"{key} cannot be managed")
    if set(enrolment) - {"invitation"}:
        raise ValueError("enrolment: expected invitation only")
    denied = (
        ""
        if allowed
        else f"Your organisation does not allow taking part on this computer. {reason}".strip()
    )
    return Policy(denied, bounds, str(enrolment.get("invitation", "")), path.name)


def _unreadable(path: Path, why: str) -> Policy:
    return Policy(
        denied=f"The policy of this computer cannot be read ({why}), so AegisAI stays off.",
        origin=path.name,
    )
