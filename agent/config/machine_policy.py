"""Reads the machine's policy: a TOML file that IT writes.

It can forbid taking part and make settings stricter. It can never consent.

    contribute = false                # nobody on this machine takes part
    reason = "Not on build servers"   # shown to the person

    [settings]                        # bounds; the stricter of policy and person holds
    "cpu.share_idle" = 25

    [enrolment]
    invitation = "aegis1.…"           # what `aegis enroll` stores; the person still decides

Every line gets a verdict. A policy that cannot be trusted (agent.config.policy_file), cannot be
read or has a line in error forbids (fail closed): it may be a "no" that somebody mistyped or
tampered with. The lines without an error hold nevertheless.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from agent.config import policy_file
from agent.config.definitions import BY_KEY, Tighter, Value
from agent.config.policy_file import PolicyPlace, Trail
from agent.config.settings import Settings, parse
from agent.errors import AegisError

MAX_REASON_CHARS = 200
MAX_VALUE_CHARS = 80
"""Of a value that a verdict quotes."""
INVITATION_START = 12
"""Characters that a verdict quotes of an invitation, which holds a token, and of a long value."""
MAX_INVITATION_CHARS = 32 * 1024
SETTINGS, ENROLMENT = "settings", "enrolment"
MAX_DEPTH = 3
_OUT_OF_DOUBT: Mapping[str, Value] = {"models.update_without_consent": False}
"""What holds besides the ban while nobody knows what the policy says."""


class Verdict(Enum):
    """What becomes of one line of the policy. The values are part of the contract."""

    APPLIED = "applied"
    LOOSER = "looser"
    """Refused: it is looser than what holds without it."""
    UNKNOWN = "unknown"
    """In error: there is no such entry or setting."""
    INVALID = "invalid"
    """In error: its value has the wrong type or is out of range."""
    PERSONAL = "personal"
    """In error: only the person may decide it."""


IN_ERROR = frozenset({Verdict.UNKNOWN, Verdict.INVALID, Verdict.PERSONAL})


@dataclass(frozen=True)
class PolicyLine:
    """One entry of the policy and its verdict."""

    key: str
    """As doctor names it: a setting's key, "contribute", "reason" or "enrolment.invitation"."""
    value: str
    verdict: Verdict
    text: str
    """The verdict as one clause."""


@dataclass(frozen=True)
class Policy:
    """What a policy file says; the default is what no file says."""

    denied: str = ""
    """One sentence on why taking part is forbidden; empty when it is not."""
    remedy: str = "Ask your IT."
    """What to do about `denied`."""
    bounds: Mapping[str, Value] = field(default_factory=dict)
    invitation: str = ""
    origin: str = ""
    """Name of the file; empty without one."""
    lines: tuple[PolicyLine, ...] = ()


def load(place: PolicyPlace, trail: Trail | None = None) -> Policy:
    """Read the policy at `place`. No file is an empty policy; anything in doubt forbids.

    `trail`: what `inspect` has found there just now.
    """
    trail = trail or policy_file.inspect(place)
    name = place.path.name
    if trail.fault:
        return Policy(
            f"The policy of this computer cannot be trusted ({trail.fault}), so AegisAI stays off.",
            trail.remedy or "Ask your IT.",
            _OUT_OF_DOUBT,
            origin=name,
        )
    if trail.error:
        return _unreadable(name, trail.error)
    if trail.is_missing:
        return Policy()
    try:
        return read(policy_file.read(trail), name)
    except OSError as error:
        return _unreadable(name, error.strerror or "not readable")
    except ValueError as error:
        return _unreadable(name, str(error))


def read(content: bytes, name: str) -> Policy:
    """Return what the content of a policy file says. Pure; never raises."""
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        return _unreadable(name, str(error) or type(error).__name__)
    entries = tuple(_entries(document))
    lines = tuple(_line(entry, entries) for entry in entries)
    wrong = [line for line in lines if line.verdict in IN_ERROR]
    bounds = {
        entry.key: parse(entry.key, entry.raw)
        for entry, line in zip(entries, lines, strict=True)
        if entry.table == SETTINGS and line.verdict is Verdict.APPLIED
    }
    policy = Policy(bounds=bounds, origin=name, lines=lines)
    if document.get("contribute") is False:
        reason = document.get("reason", "")
        shown = reason[:MAX_REASON_CHARS] if isinstance(reason, str) else ""
        sentence = "Your organisation does not allow taking part on this computer."
        policy = replace(policy, denied=f"{sentence} {shown}".strip())
    elif wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        policy = replace(
            policy,
            denied="The policy of this computer has an error"
            f" ({wrong[0].key}: {wrong[0].text}{more}), so AegisAI stays off.",
            remedy="Ask your IT. aegis doctor shows what is wrong with each line.",
            bounds={**_OUT_OF_DOUBT, **bounds},
        )
    for entry, line in zip(entries, lines, strict=True):
        if entry.table == ENROLMENT and line.verdict is Verdict.APPLIED:
            policy = replace(policy, invitation=entry.raw)
    return policy


def weighed(lines: tuple[PolicyLine, ...], settings: Settings) -> tuple[PolicyLine, ...]:
    """Return the lines with the verdicts that follow from what person and invitation say."""
    return tuple(
        replace(line, verdict=Verdict.LOOSER, text=settings.why_refused(line.key))
        if line.verdict is Verdict.APPLIED
        and line.key in BY_KEY
        and settings.entry(line.key).verdict == Verdict.LOOSER.value
        else line
        for line in lines
    )


@dataclass(frozen=True)
class _Entry:
    """One entry of the document: the table that it stands in ("" for none), its key and value."""

    table: str
    key: str
    raw: Any

    @property
    def name(self) -> str:
        """The key as doctor names it; the key of a setting says enough by itself."""
        return f"{ENROLMENT}.{self.key}" if self.table == ENROLMENT else self.key


def _entries(document: dict[str, Any]) -> Iterator[_Entry]:
    for key, raw in document.items():
        if key == SETTINGS and isinstance(raw, dict):
            yield from (_Entry(SETTINGS, name, value) for name, value in _flat(raw, MAX_DEPTH))
        elif key == ENROLMENT and isinstance(raw, dict):
            yield from (_Entry(ENROLMENT, name, value) for name, value in raw.items())
        else:
            yield _Entry("", key, raw)


def _flat(table: dict[str, Any], depth: int, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of a table: `cpu.share_idle = 25` means the same with and without
    quotes.
    """
    for key, raw in table.items():
        if isinstance(raw, dict) and raw and depth:
            yield from _flat(raw, depth - 1, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", raw


def _line(entry: _Entry, entries: tuple[_Entry, ...]) -> PolicyLine:
    verdict, text = _verdict(entry, entries)
    shown = ("true" if entry.raw else "false") if isinstance(entry.raw, bool) else str(entry.raw)
    if entry.table == ENROLMENT or len(shown) > MAX_VALUE_CHARS:
        shown = f"{shown[:INVITATION_START]}…"
    return PolicyLine(entry.name[:MAX_VALUE_CHARS], shown, verdict, text)


def _verdict(entry: _Entry, entries: tuple[_Entry, ...]) -> tuple[Verdict, str]:
    match entry.table:
        case "settings":
            return _verdict_on_setting(entry, entries)
        case "enrolment":
            return _verdict_on_invitation(entry)
    is_text = isinstance(entry.raw, str)
    match entry.key:
        case "contribute" if entry.raw is True:
            return Verdict.APPLIED, "forbids nothing; only the person can consent"
        case "contribute" if entry.raw is False:
            return Verdict.APPLIED, "nobody on this computer takes part"
        case "contribute":
            return Verdict.INVALID, "expected true or false"
        case "reason" if is_text:
            is_shown = any(one.key == "contribute" and one.raw is False for one in entries)
            return Verdict.APPLIED, (
                "shown to the person" if is_shown else "shown only with contribute = false"
            )
        case "reason":
            return Verdict.INVALID, "expected text"
        case "settings" | "enrolment":
            return Verdict.INVALID, "expected a table"
        case key if key in BY_KEY:
            return Verdict.UNKNOWN, "it belongs under [settings]"
    return Verdict.UNKNOWN, "there is no such entry"


def _verdict_on_setting(entry: _Entry, entries: tuple[_Entry, ...]) -> tuple[Verdict, str]:
    definition = BY_KEY.get(entry.key)
    if definition is None:
        return Verdict.UNKNOWN, "there is no such setting"
    if definition.tighter is Tighter.NOT:
        return Verdict.PERSONAL, "only the person decides this"
    if sum(one.table == SETTINGS and one.key == entry.key for one in entries) > 1:
        return Verdict.INVALID, "it is set twice"
    try:
        parse(entry.key, entry.raw)
    except AegisError as error:
        return Verdict.INVALID, error.message.removeprefix(f"{entry.key}: ").removesuffix(".")
    if definition.tighter is Tighter.SET:
        return Verdict.APPLIED, "this value holds"
    return Verdict.APPLIED, "the stricter of this and the person's value holds"


def _verdict_on_invitation(entry: _Entry) -> tuple[Verdict, str]:
    if entry.key != "invitation":
        return Verdict.UNKNOWN, "there is no such entry"
    if not isinstance(entry.raw, str) or len(entry.raw) > MAX_INVITATION_CHARS:
        return Verdict.INVALID, "expected the text of an invitation"
    return Verdict.APPLIED, "aegis enroll stores it; the person still decides"


def _unreadable(name: str, why: str) -> Policy:
    return Policy(
        f"The policy of this computer cannot be read ({why[:200]}), so AegisAI stays off.",
        bounds=_OUT_OF_DOUBT,
        origin=name,
    )
