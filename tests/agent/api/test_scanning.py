"""A scan counts its verdicts, says how old its model is, and reports its progress."""

from collections import Counter

import pytest

from agent.api.scanning import ScanMethods
from agent.errors import PeerError
from agent.models.bundled import DAY_S, OLD_DAYS, ScanningModel
from agent.protocol.jobs import (
    ModelFiles,
    Progress,
    Scanned,
    ScanResult,
    Verdict,
    VerdictBounds,
)
from tests.fakes.clock import FakeClock

NOW = 1_795_536_000
FILES = (
    Scanned("/a", Verdict.MALICIOUS, 0.9),
    Scanned("/b", Verdict.MALICIOUS, 0.8),
    Scanned("/c", Verdict.NOT_PE, None, "NOT_PE", "No program."),
)


class Worker:
    async def scan(self, paths, model, report):
        report(Progress(1, 3))
        report(Progress(3, 3))
        return ScanResult(FILES, VerdictBounds(0.25, 0.75, 0.01))


class Models:
    def __init__(self, published_at):
        self.model = ScanningModel(ModelFiles(b""), 7, "00" * 32, False, published_at)

    async def current(self):
        return self.model


async def scan(published_at=NOW, paths=("/x",), report=lambda *_: None):
    methods = ScanMethods(FakeClock(NOW), Worker, Models(published_at))
    return await methods.scan(list(paths), report)


async def test_verdicts_are_counted_and_bounds_and_progress_passed_on():
    steps = []
    answer = await scan(report=lambda *step: steps.append(step))
    assert answer["results"] == [one.to_json() for one in FILES]
    assert Counter(answer["counts"]) == Counter(malicious=2, not_pe=1)
    assert (answer["benign_below"], answer["malicious_from"]) == (0.25, 0.75)
    assert answer["false_positive_rate"] == 0.01
    assert steps == [(1, 3), (3, 3)]


@pytest.mark.parametrize(
    ("published_at", "age", "too_old"),
    [
        (0, None, False),
        (NOW + 5, 0, False),
        (NOW - OLD_DAYS * DAY_S, OLD_DAYS, False),
        (NOW - (OLD_DAYS + 1) * DAY_S, OLD_DAYS + 1, True),
    ],
)
async def test_an_old_model_is_called_old(published_at, age, too_old):
    answer = await scan(published_at)
    assert (answer["model_age_days"], answer["model_too_old"]) == (age, too_old)


async def test_p11_paths_that_are_no_names_are_refused():
    with pytest.raises(PeerError):
        await scan(paths=("a\0b",))
