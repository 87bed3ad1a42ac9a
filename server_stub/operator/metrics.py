"""Writes the statistics in the text format of Prometheus (version 0.0.4)."""

from collections.abc import Mapping
from typing import Any

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAUGES = {
    "devices": "Devices that are enrolled and not revoked.",
    "devices_revoked": "Devices that were revoked.",
    "devices_excluded": "Devices that miss rounds after a proof against them.",
    "devices_copied": "Devices of which a copy was refused.",
    "connections": "Open connections of the device port.",
    "model_version": "Version of the current model.",
    "updates": "Updates of all rounds.",
    "update_bytes": "Bytes of these updates.",
}
COUNTERS = {
    "rounds_done": "Rounds that ended with a new model.",
    "rounds_abandoned": "Rounds that ended without a new model.",
    "rounds_rejected": "Rounds whose model would have been worse and was not published.",
    "copies_refused": "Requests of copies of devices that were refused.",
    "connections_admitted": "Connections of the device port since the start.",
    "connections_refused": (
        "Connections since the start that were refused, or ended for another, at a full port,"
        " address or device."
    ),
}


def exposition(figures: Mapping[str, Any], refusals: Mapping[str, int], requests: int) -> str:
    """Build the document that Prometheus reads.

    `figures`: all of GAUGES and COUNTERS, and `round` (server_stub.coordinator); `refusals` (by
    code) and `requests`: those of the device port since the start.
    """
    lines: list[str] = []
    for name, text in GAUGES.items():
        lines += [
            f"# HELP aegisai_{name} {text}",
            f"# TYPE aegisai_{name} gauge",
            f"aegisai_{name} {figures[name]}",
        ]
    for name, text in COUNTERS.items():
        lines += [
            f"# HELP aegisai_{name}_total {text}",
            f"# TYPE aegisai_{name}_total counter",
            f"aegisai_{name}_total {figures[name]}",
        ]
    lines += [
        "# HELP aegisai_requests_total Requests to the device port.",
        "# TYPE aegisai_requests_total counter",
    ]
    lines += [f"aegisai_requests_total {requests}"]
    lines += [
        "# HELP aegisai_refusals_total Requests that the device port refused.",
        "# TYPE aegisai_refusals_total counter",
    ]
    lines += [
        f'aegisai_refusals_total{{code="{code}"}} {count}'
        for code, count in sorted(refusals.items())
    ]
    current = figures["round"]
    lines += [
        "# HELP aegisai_round_updates Updates in the newest round.",
        "# TYPE aegisai_round_updates gauge",
    ]
    lines += [f"aegisai_round_updates {current['updates'] if current else 0}"]
    return "\n".join(lines) + "\n"
