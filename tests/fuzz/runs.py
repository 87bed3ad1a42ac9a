"""Feeds a parser with inputs that hypothesis draws, in batches, and keeps what it finds.

Hypothesis remembers what it has drawn; a new batch forgets, so that a million inputs fit in memory.
"""

import hashlib
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.parsers import FOLDER, Parser, bounded, forget_peak

BATCH = 5_000


@dataclass(frozen=True)
class Finding:
    path: Path
    trace: str


def feed(
    parser: Parser,
    count: int,
    *,
    first_seed: int = 0,
    keep_in: Path = FOLDER / "seeds",
    report: Callable[[int, float], None] = lambda done, seconds: None,
) -> list[Finding]:
    """Feed `count` inputs. Each finding becomes a file among the parser's seeds."""
    findings: list[Finding] = []
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        for number, done in enumerate(range(0, count, BATCH)):
            finding = _batch(parser, min(BATCH, count - done), first_seed + number, Path(name))
            if finding is not None:
                content, trace = finding
                path = keep_in / parser.name / f"found-{hashlib.sha256(content).hexdigest()[:12]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                findings.append(Finding(path, trace))
            report(min(done + BATCH, count), time.monotonic() - start_s)
    return findings


def _batch(parser: Parser, count: int, number: int, folder: Path) -> tuple[bytes, str] | None:
    """The smallest input that fails, with its trace; None if none fails."""
    last = [b""]
    forget_peak()

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(parser.inputs)
    def run(content: bytes) -> None:
        last[0] = content
        bounded(parser, content, folder)

    try:
        run()
    except Exception:
        return last[0], traceback.format_exc()
    return None
