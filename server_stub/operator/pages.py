"""Renders the operator port's pages: the dashboard and the device port's documentation.

Values in, HTML out. A page loads nothing from elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from agent.clock import utc
from agent.status import epsilon_in_words

REFRESH_S = 5
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
SHOWN_ROUNDS = 20
SHOWN_MODELS = 10
ROUND_COLUMNS = (
    "#",
    "state",
    "updates",
    "model",
    "rule",
    "refused",
    "ε per device",
    "opened",
    "closed",
    "note",
)
EXCLUDED_COLUMNS = ("device", "fault", "found in round", "through", "at the latest until")
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2a7; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
nav a { margin-right: 1rem; }
small { opacity: .7; } code { font-size: .9em; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; }
.card b { display: block; font-size: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
meter { width: 8rem; } .method { font-weight: 700; color: var(--accent); }
"""


@dataclass(frozen=True)
class Dashboard:
    """What the dashboard shows."""

    figures: dict[str, Any]
    """`server_stub.coordinator.statistics`."""
    rounds: Sequence[dict[str, Any]]
    """Oldest first, like `models`."""
    models: Sequence[dict[str, Any]]
    excluded: Sequence[dict[str, Any]]
    """The exclusions that hold now."""
    now: int


def dashboard(shown: Dashboard) -> str:
    """Render the aggregator's figures, rounds and models. Only excluded devices are named."""
    figures, rounds, models, now = shown.figures, shown.rounds, shown.models, shown.now
    cards = (
        ("devices", figures["devices"]),
        ("devices revoked", figures["devices_revoked"]),
        ("rounds completed", figures["rounds_done"]),
        ("rounds abandoned", figures["rounds_abandoned"]),
        ("rounds rejected", figures["rounds_rejected"]),
        ("updates", figures["updates"]),
        ("received", f"{figures['update_bytes'] / 1e6:.1f} MB"),
        ("model", f"version {figures['model_version']}"),
    )
    shown_cards = "".join(
        f'<div class="card"><small>{escape(name)}</small><b>{escape(str(value))}</b></div>'
        for name, value in cards
    )
    shown_rounds = [
        (
            one["round_id"],
            one["state"],
            (
                f"{one['updates']} of {one['target']} <meter min='0' max='{one['target']}'"
                f" value='{one['updates']}'></meter>"
            ),
            f"{one['base_version']} → {one['model_version'] or '–'}",
            *_defence_cells(one.get("defence")),
            epsilon_in_words(one["epsilon_ledger"]),
            utc(one["opens_at"]),
            utc(one["closed_at"]) if one["closed_at"] else f"due {utc(one['closes_at'])}",
            escape(one["note"]),
        )
        for one in reversed(rounds[-SHOWN_ROUNDS:])
    ]
    shown_models = [
        (
            one["version"],
            utc(one["published_at"]),
            f"{escape(one['origin'])}{' (demonstration model)' if one['demonstration'] else ''}",
            f"<code>{escape(one['sha256'])}</code>",
        )
        for one in reversed(models[-SHOWN_MODELS:])
    ]
    shown_excluded = [
        (
            f"<code>{escape(one['device_id'])}</code>",
            escape(one["code"]),
            one["round_id"],
            f"round {one['until_round']}",
            utc(one["until"]),
        )
        for one in shown.excluded
    ]
    evidence = (
        "<p><small>Each by a proof: <code>aegis-server devices show DEVICE_ID</code> judges it"
        " again, <code>devices release DEVICE_ID</code> ends the exclusion.</small></p>"
    )
    body = (
        f"<h1>AegisAI aggregator</h1><p>Task <b>{escape(figures['task_id'])}</b>, mode"
        f" <b>{escape(figures['mode'])}</b>. "
        f"<small>{utc(now)}, refreshes every {REFRESH_S} s.</small></p>{_NAVIGATION}<div"
        f" class='cards'>{shown_cards}</div>"
        f"<h2>Rounds</h2>{_warning(rounds)}{_table(ROUND_COLUMNS, shown_rounds)}"
        f"<h2>Excluded devices</h2>{_table(EXCLUDED_COLUMNS, shown_excluded)}{evidence}"
        f"<h2>Models</h2>{_table(('version', 'published', 'origin', 'SHA-256'), shown_models)}"
    )
    return _page("AegisAI aggregator", body, refresh_s=REFRESH_S)


def _defence_cells(defence: dict[str, Any] | None) -> tuple[str, str]:
    """The rule of a round with what it survives, and what the gate refused."""
    if not defence:
        return "–", "–"
    refused = ", ".join(f"{count} {reason}" for reason, count in defence["refused"].items())
    rule = f"<span title='{escape(defence['sentence'])}'>{escape(defence['rule'])}</span>"
    return rule, f"{escape(refused) or 'none'} of {defence['judged']}"


def _warning(rounds: Sequence[dict[str, Any]]) -> str:
    """What the newest combined round survives, in a sentence."""
    for one in reversed(rounds):
        if one.get("defence"):
            return f"<p>{escape(one['defence']['sentence'])}</p>"
    return ""


def api_documentation(document: dict[str, Any]) -> str:
    """Render the device port's OpenAPI document."""
    operations = [
        _operation(path, method, operation)
        for path, methods in sorted(document["paths"].items())
        for method, operation in methods.items()
        if isinstance(operation, dict)
    ]
    info = document["info"]
    body = (
        f"<h1>{escape(info['title'])}</h1><p>Version {escape(info['version'])}. Control messages"
        " are JSON, vectors are binary, errors are RFC 9457 problem documents. Every route needs"
        " the device's certificate unless it says otherwise, and a signature (RFC 9421) if it"
        f" changes anything.</p>{_NAVIGATION}{''.join(operations)}"
    )
    return _page(info["title"], body)


_NAVIGATION = (
    "<nav><a href='/'>dashboard</a><a href='/docs'>API</a><a href='/openapi.json'>OpenAPI"
    " document</a><a href='/metrics'>metrics</a><a href='/api/v1/stats'>statistics</a></nav>"
)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = [
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]),
            escape(_kind(one.get("schema", {}))),
        )
        for one in operation.get("parameters", [])
    ]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parameters.append(("body", escape(media), escape(_kind(content.get("schema", {})))))
    responses = [
        (
            escape(status),
            escape(one.get("description", "")),
            escape(", ".join(one.get("content", {}))),
        )
        for status, one in operation.get("responses", {}).items()
    ]
    return (
        f"<h2><span class='method'>{escape(method.upper())}</span> <code>{escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        f"{_table(('parameter', 'in', 'type'), parameters) if parameters else ''}"
        f"{_table(('status', 'response', 'media type'), responses)}"
    )


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return " ".join(str(schema[name]) for name in ("type", "format", "pattern") if name in schema)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Render a table. `rows` are HTML already."""
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = lines or f"<tr><td colspan={len(head)}>none yet</td></tr>"
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def _page(title: str, body: str, *, refresh_s: int = 0) -> str:
    refresh = f"<meta http-equiv='refresh' content='{refresh_s}'>" if refresh_s else ""
    return (
        "<!doctype html><html lang='en'><head><meta"
        f" charset='utf-8'><title>{escape(title)}</title>{refresh}<meta name='viewport'"
        " content='width=device-width,"
        f" initial-scale=1'><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
