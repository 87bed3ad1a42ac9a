"""Every method of the local channel (docs/CONTRACT.md), used by the channel and, when no agent
runs, by the commands in-process.

Parameters are checked against one table before a method sees them; an unknown one is an error and
changes nothing.
"""

import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config.effective import from_invitation, from_token
from agent.config.settings import SettingEntry
from agent.consent.record import Act, Evidence
from agent.consent.wording import PURPOSE
from agent.errors import PeerError, UserActionError
from agent.rounds.runner import whole
from agent.status import ConsentState

if TYPE_CHECKING:
    from agent.app import Agent

PAGE = 200
MAX_PAUSE_S = 366 * 24 * 3600
Result = dict[str, Any]


@dataclass(frozen=True)
class Method:
    call: Callable[..., Awaitable[Result]]
    required: Mapping[str, type] = field(default_factory=dict)
    optional: Mapping[str, type] = field(default_factory=dict)


class Service:
    """Answers methods for one agent."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        decision = {"notice_id": str, "text_sha256": str, "surface": str, "locale": str}
        page = {"offset": int, "limit": int}
        self._methods = {
            "status": Method(self._status),
            "consent.show": Method(self._consent_show, {}, {"locale": str}),
            "consent.grant": Method(self._consent_grant, decision),
            "consent.refuse": Method(self._consent_refuse, decision),
            "consent.dismiss": Method(self._consent_dismiss, {"notice_id": str, "surface": str}),
            "consent.prompt": Method(self._consent_prompt),
            "consent.withdraw": Method(self._consent_withdraw, {"surface": str}),
            "pause": Method(self._pause, {}, {"seconds": int, "until": int}),
            "resume": Method(self._resume),
            "run_now": Method(self._run_now),
            "discard": Method(self._discard),
            "enroll": Method(
                self._enroll, {}, {"invitation": str, "server": str, "token": str, "ca_pem": str}
            ),
            "invitation.inspect": Method(self._inspect, {"invitation": str}),
            "settings.get": Method(self._settings_get, {}, {"key": str}),
            "settings.set": Method(self._settings_set, {"key": str, "value": object}),
            "samples.add": Method(self._samples_add, {"paths": list, "label": str}),
            "samples.import": Method(self._samples_import, {"path": str}),
            "samples.list": Method(self._samples_list, {}, page),
            "samples.clear": Method(self._samples_clear),
            "scan": Method(self._scan, {"paths": list}),
            "ledger": Method(self._ledger, {}, {**page, "verify": bool}),
            "sent.show": Method(self._sent_show, {"attempt": str}),
            "preview": Method(self._preview),
            "export": Method(self._export, {"path": str}, {"server": bool}),
            "erase": Method(self._erase),
            "doctor": Method(self._doctor),
            "unlock": Method(self._unlock),
            "quit": Method(self._quit),
        }

    @property
    def names(self) -> frozenset[str]:
        """Every method; the channel adds `subscribe`."""
        return frozenset(self._methods)

    async def call(self, name: str, params: dict[str, Any]) -> Result:
        """Answer one request. Raises the AegisError that the caller should see."""
        method = self._methods.get(name)
        if method is None:
            raise PeerError(
                "UNKNOWN_METHOD", f"There is no method {name[:40]!r}.", "Update both programs."
            )
        _check_params(params, method.required, method.optional)
        return await method.call(**params)

    # What is going on.

    async def _status(self) -> Result:
        return self._agent.status().to_json()

    async def _quit(self) -> Result:
        self._agent.request_quit()
        return {}

    async def _doctor(self) -> Result:
        from agent.reports.doctor import checks

        return {"checks": [asdict(check) for check in await checks(self._agent)]}

    # Consent.

    async def _consent_show(self, locale: str = "") -> Result:
        notice = self._agent.effective.notice(locale)
        return {**asdict(notice), "state": self._agent.gate.consent_status().state.value}

    async def _consent_grant(
        self, notice_id: str, text_sha256: str, surface: str, locale: str
    ) -> Result:
        if self._agent.gate.consent_status().state is ConsentState.GRANTED:
            return await self._status()
        self._decide(Act.GRANT, self._evidence(notice_id, text_sha256, surface, locale))
        self._agent.wake()
        return await self._status()

    async def _consent_refuse(
        self, notice_id: str, text_sha256: str, surface: str, locale: str
    ) -> Result:
        self._decide(Act.REFUSE, self._evidence(notice_id, text_sha256, surface, locale))
        return await self._status()

    async def _consent_dismiss(self, notice_id: str, surface: str) -> Result:
        if self._agent.gate.consent_status().state in (ConsentState.UNASKED, ConsentState.STALE):
            self._decide(Act.DISMISS, Evidence(notice_id, "", "", surface))
        return await self._status()

    async def _consent_prompt(self) -> Result:
        """Whether a window may open by itself now; a yes counts as the prompt."""
        from agent.consent.prompting import may_prompt

        facts, consent_status, now = (
            self._agent.effective.gate_facts(),
            self._agent.gate.consent_status(),
            self._agent.clock.now(),
        )
        held = self._agent.values.get("prompted")
        quiet = (
            facts.do_not_track or bool(facts.policy_denied) or self._agent.record.fault is not None
        )
        allowed = not quiet and may_prompt(
            consent_status, facts.notice_id, tuple(held) if held else None, now
        )
        if allowed:
            self._agent.values.put("prompted", [consent_status.state.value, facts.notice_id, now])
        return {"allowed": allowed}

    async def _consent_withdraw(self, surface: str) -> Result:
        """Always ends in a no; works in every state, offline, and twice."""
        state = self._agent.gate.consent_status().state
        act = {ConsentState.GRANTED: Act.WITHDRAW, ConsentState.STALE: Act.REFUSE}.get(state)
        if act is not None:
            notice = self._agent.effective.notice("")
            self._decide(
                act, Evidence(notice.notice_id, notice.text_sha256, notice.locale, surface)
            )
        await self._agent.runner.forget()
        self._agent.changed()
        return await self._status()

    def _evidence(self, notice_id: str, text_sha256: str, surface: str, locale: str) -> Evidence:
        """Raises UserActionError NOTICE_CHANGED unless exactly these words are current."""
        notice = self._agent.effective.notice(locale)
        if (notice.notice_id, notice.text_sha256) != (notice_id, text_sha256):
            raise UserActionError(
                "NOTICE_CHANGED",
                "The notice is not the current one; nothing was changed.",
                "Read it again: aegis consent show.",
            )
        return Evidence(notice_id, text_sha256, notice.locale, surface)

    def _decide(self, act: Act, evidence: Evidence) -> None:
        if len(evidence.surface) > 40 or not evidence.surface.isprintable():
            raise PeerError("BAD_PARAMS", "surface: expected a short word.", "Nothing was changed.")
        policy = self._agent.effective.policy()
        self._agent.record.act(
            self._agent.gate.consent_status(), act, evidence, PURPOSE, policy.origin
        )
        self._agent.changed()

    # Pausing and running.

    async def _pause(self, seconds: int | None = None, until: int | None = None) -> Result:
        now = self._agent.clock.now()
        if seconds is not None:
            until = now + seconds
        if until is not None and not now < until <= now + MAX_PAUSE_S:
            raise UserActionError(
                "BAD_VALUE", "A pause lasts from 1 second to 366 days.", "Nothing was changed."
            )
        await self._agent.runner.pause(
            lambda: self._agent.values.put("pause", {"until": until or 0})
        )
        self._agent.wake()
        return await self._status()

    async def _resume(self) -> Result:
        self._agent.values.put("pause", None)
        self._agent.wake()
        return await self._status()

    async def _run_now(self) -> Result:
        self._agent.gate.permit()
        self._agent.run_now()
        return await self._status()

    async def _discard(self) -> Result:
        await self._agent.runner.drop()
        self._agent.wake()
        return await self._status()

    # Joining.

    async def _enroll(
        self, invitation: str = "", server: str = "", token: str = "", ca_pem: str = ""
    ) -> Result:
        if bool(invitation) == bool(server):
            raise UserActionError(
                "BAD_PARAMS",
                "Give either an invitation, or a server with its token and CA.",
                "Nothing was changed.",
            )
        if invitation:
            from agent.protocol.invitation import parse_invitation

            enrolment = from_invitation(parse_invitation(invitation))
        else:
            enrolment = from_token(server, token, ca_pem)
        self._agent.effective.join(enrolment)
        self._agent.wake()
        return {"operator": asdict(enrolment.operator), "server": enrolment.server}

    async def _inspect(self, invitation: str) -> Result:
        from agent.protocol.invitation import parse_invitation

        parsed = parse_invitation(invitation)
        return {
            "operator": asdict(from_invitation(parsed).operator),
            "server": parsed.server,
            "ca_sha256": parsed.ca_sha256,
        }

    # Settings.

    async def _settings_get(self, key: str = "") -> Result:
        settings = self._agent.effective.settings()
        entries = (settings.entry(key),) if key else settings.all()
        return {"settings": [entry.to_json() for entry in entries]}

    async def _settings_set(self, key: str, value: object) -> Result:
        if key == "key_store" and not self._agent.drop_unused_identity():
            raise UserActionError(
                "ALREADY_ENROLLED",
                "The key of this device lies in the key store in use.",
                "Run aegis erase first to choose another.",
            )
        self._agent.effective.set(key, value)
        self._agent.wake()
        entry: SettingEntry = self._agent.effective.settings().entry(key)
        return entry.to_json()

    # Samples and scanning.

    async def _samples_add(self, paths: list[Any], label: str) -> Result:
        """Extraction for training asks the gate, scanning does not (C21)."""
        if label not in ("malicious", "benign"):
            raise UserActionError(
                "BAD_VALUE",
                f"The label is malicious or benign, not {label[:40]!r}.",
                "Nothing was changed.",
            )
        permit, wanted = self._agent.gate.permit(), _texts(paths)
        result = await self._agent.runner.gather(permit, self._agent.worker().extract(wanted))
        mark = 1 if label == "malicious" else 0
        rows = [(row.features, mark, Path(row.path).name) for row in result.rows]
        return self._store(rows, [asdict(item) for item in result.refused])

    async def _samples_import(self, path: str) -> Result:
        permit = self._agent.gate.permit()
        result = await self._agent.runner.gather(permit, self._agent.worker().import_table(path))
        rows = [(row.features, row.label, Path(path).name) for row in result.rows]
        return self._store(rows, [asdict(item) for item in result.refused])

    def _store(self, rows: list[tuple[tuple[int, ...], int, str]], refused: list[Result]) -> Result:
        """The worker is not trusted: every row is checked against the schema's ranges before it is
        kept.
        """
        from agent.detector.schema import validate_row

        for features, _, _ in rows:
            validate_row(features)
        added, known = self._agent.samples.add(rows, self._agent.clock.now())
        self._agent.wake()
        return {"added": added, "known": known, "refused": refused}

    async def _samples_list(self, offset: int = 0, limit: int = PAGE) -> Result:
        rows = self._agent.samples.page(max(0, offset), min(max(1, limit), 1000))
        shown = [{**asdict(row), "label": "malicious" if row.label else "benign"} for row in rows]
        counts = self._agent.samples.counts()
        return {
            "total": counts.total,
            "benign": counts.benign,
            "malicious": counts.malicious,
            "rows": shown,
        }

    async def _samples_clear(self) -> Result:
        removed = self._agent.samples.clear()
        await self._agent.runner.drop()
        self._agent.wake()
        return {"removed": removed}

    async def _scan(self, paths: list[Any]) -> Result:
        wanted = _texts(paths)
        model = await self._agent.scanning_model()
        result = await self._agent.worker().scan(wanted, model.content)
        return {
            "results": [asdict(item) for item in result.results],
            "model_version": model.version,
            "demonstration": model.demonstration,
        }

    # What was charged and sent; everything held; forgetting it.

    async def _ledger(self, offset: int = 0, limit: int = PAGE, verify: bool = False) -> Result:
        from agent.reports.export import ledger_page

        return ledger_page(self._agent, max(0, offset), min(max(1, limit), 1000), verify=verify)

    async def _sent_show(self, attempt: str) -> Result:
        from agent.reports.export import outbox_json

        entry = self._agent.ledger.entry(attempt)
        body = self._agent.ledger.body(attempt)
        shown: Result = {"entry": outbox_json(entry), "header": None, "path": None}
        if body is not None:
            from agent.protocol.envelope import decode

            shown["header"] = decode(body).header
            shown["path"] = os.fspath(self._agent.show_file(f"sent-{entry.attempt}.bin", body))
        return shown

    async def _preview(self) -> Result:
        from agent.reports.example import preview

        return await preview(self._agent)

    async def _export(self, path: str, server: bool = False) -> Result:
        """`server`: with all that the aggregator holds about this device, which needs the live
        consent that its key needs.
        """
        from agent.reports.export import export

        target = Path(path)
        if not target.is_absolute():
            raise UserActionError(
                "BAD_VALUE", "The file's whole path is needed.", "Nothing was written."
            )
        held = None
        if server:  # a withdrawal ends it
            permit = self._agent.gate.permit()
            held = await self._agent.runner.gather(
                permit, self._agent.enrolment_client.held_by_server(permit)
            )
        content = json.dumps(
            {**export(self._agent), "server": held}, indent=1, ensure_ascii=False
        ).encode()
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            draft.touch(mode=0o600, exist_ok=False)
            draft.write_bytes(content)
            draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise UserActionError(
                "CANNOT_WRITE",
                f"The file could not be written ({error.strerror}).",
                "Choose another place.",
            ) from error
        return {"file": path, "bytes": len(content)}

    async def _erase(self) -> Result:
        from agent.api.erasure import erase

        return await whole(erase(self._agent))

    async def _unlock(self) -> Result:
        """A button that the person pressed: the only way to a keyring prompt."""
        await self._agent.blocking(self._agent.keystore().unlock)
        self._agent.wake()
        return await self._status()


def _check_params(
    params: dict[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> None:
    known = {**required, **optional}
    if unknown := set(params) - set(known):
        raise PeerError(
            "BAD_PARAMS",
            f"Unknown parameters: {', '.join(sorted(unknown))[:80]}.",
            "Nothing was changed.",
        )
    if missing := set(required) - set(params):
        raise PeerError(
            "BAD_PARAMS",
            f"Missing parameters: {', '.join(sorted(missing))}.",
            "Nothing was changed.",
        )
    for name, value in params.items():
        kind = known[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise PeerError(
                "BAD_PARAMS", f"{name}: expected {kind.__name__}.", "Nothing was changed."
            )


def _texts(paths: list[Any]) -> list[str]:
    if not paths or not all(isinstance(path, str) and path and "\0" not in path for path in paths):
        raise PeerError(
            "BAD_PARAMS", "paths: expected a list of file names.", "Nothing was changed."
        )
    return list(paths)
