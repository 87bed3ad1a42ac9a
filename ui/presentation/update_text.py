"""An update as readable text: its header as JSON and its first bytes in hexadecimal."""

import json
from pathlib import Path
from typing import Any

HEX_BYTES = 256
"""Shown of the bytes; enough to see that they are what was sent, little enough to stay fast."""


def preview_text(preview: dict[str, Any]) -> str:
    """Write the answer to `preview` as text: the feature row, then the header and the first bytes
    of the update that it would become.
    """
    features = preview.get("features", {})
    width = max((len(name) for name in features), default=0)
    update = preview.get("update", {})
    lines = [f"# {preview.get('label', '')}", ""]
    lines += [f"{name:<{width}}  {value}" for name, value in features.items()]
    lines += ["", f"# {update.get('bytes', 0)} bytes", "", header_text(update.get("header")), ""]
    lines += hex_lines(first_bytes(update.get("path")))
    return "\n".join(lines)


def header_text(header: object) -> str:
    return json.dumps(header, indent=1, ensure_ascii=False)


def first_bytes(path: object) -> bytes:
    """Read the start of a file that the agent wrote, and one byte more when there is more; empty
    when the file is gone.
    """
    try:
        with Path(str(path)).open("rb") as file:
            return file.read(HEX_BYTES + 1)
    except OSError:
        return b""


def hex_lines(content: bytes, limit: int = HEX_BYTES) -> list[str]:
    """Sixteen bytes a line with their offset; an ellipsis stands for what lies beyond `limit`."""
    lines = [
        f"{at:06x}  {content[at : at + 16].hex(' ')}"
        for at in range(0, min(len(content), limit), 16)
    ]
    return [*lines, "…"] if len(content) > limit else lines


def grouped_digest(digest: str) -> str:
    """A hexadecimal digest in groups of eight, so that it wraps and can be compared by eye."""
    return " ".join(digest[at : at + 8] for at in range(0, len(digest), 8))
