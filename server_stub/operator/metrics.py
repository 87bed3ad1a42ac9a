"""Writes the statistics in the text format of Prometheus (version 0.0.4)."""

from collections.abc import Mapping
from typing import Any

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAUGES = {
    "devices": "Devices that are enrolled and not revoked.",
    "devices_revoked": "Devices that were revoked.",
    "model_version": "Version of the current model.",
    "updates": "Updates of all rounds.",
    "update_bytes": "Bytes of these updates.",
}
COUNTERS = {
    "rounds_done": "Rounds that ended with a new model.",
    "rounds_abandoned": "Rounds that ended without a new model.",
}


def exposition(figures: Mapping[str, Any], refusals: Mapping[str, int], requests: int) -> str:
    """Build the document that Prometheus reads.

    `figures`: `server_stub.coordinator.statistics`; `refusals` (by code) and `requests`: those of
    the device port since the start.
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
