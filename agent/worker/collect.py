"""The job `collect`: rows of programs that a switched source knows, in folders that a person chose.

The agent receives neither names nor checksums: a row comes with a keyed digest of its file, and the
file that the worker is about to open is named by a keyed digest of its path.

1. The folders are walked for programs.
2. Each source reads what it knows about them. It opens nothing before there is a program.
3. A row is reported where sources agree. Where one says benign and one malicious, both are wrong
   too often to learn from: the file is reported as contradicted.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.protocol.jobs import (
    MAX_FILES,
    Collected,
    Contradicted,
    Event,
    Opening,
    Progress,
    Searched,
    Unread,
)
from agent.protocol.sources import SWITCHED, Source, label_of
from agent.worker.features import read_features
from agent.worker.files import RefusedFileError, files_below
from agent.worker.sources.clamav import ClamAV
from agent.worker.sources.defender import Defender
from agent.worker.sources.packages import Packages
from agent.worker.sources.program import Program, is_program, keyed
from agent.worker.sources.signed import Signed
from agent.worker.sources.source import Places, SampleSource
from agent.worker.sources.wheels import Wheels

MAX_WALKED = 2_000_000
"""Files of all kinds that are looked at in one run."""
EACH = 256
"""After so many files of all kinds the worker reports, so that its silence is not taken for an
end."""

SOURCES: Mapping[Source, Callable[[Places, Collection[str]], SampleSource]] = {
    Source.PACKAGES: Packages,
    Source.WHEELS: Wheels,
    Source.SIGNED: Signed,
    Source.CLAMAV: ClamAV,
    Source.DEFENDER: Defender,
}


@dataclass(frozen=True)
class CollectRequest:
    """What the agent asks for."""

    folders: Sequence[str]
    places: Mapping[Source, Places]
    """The sources that are switched on, with where they find what they know."""


def read_request(value: Mapping[str, object]) -> CollectRequest:
    """Read the request. Raises KeyError, TypeError and ValueError for what is none."""
    return CollectRequest(
        [str(folder) for folder in _list(value["folders"])],
        {
            Source(name): Places(
                [str(path) for path in _list(place["paths"])],
                [str(one) for one in _list(place["authorities"])],
            )
            for name, place in dict(value["sources"]).items()  # type: ignore[call-overload]
        },
    )


def collect(
    request: CollectRequest, key: bytes, skipped: Collection[str], after_step: Callable[[], bool]
) -> Iterator[Event]:
    """Yield what the sources know. `skipped`: keyed digests of paths that are not to be opened."""
    programs: list[str] = []
    walked = 0
    for entry in files_below(request.folders, MAX_WALKED):
        walked += 1
        if walked % EACH == 0:
            yield Progress(0, 1)
            if after_step():
                return
        if isinstance(entry, str) and is_program(entry) and keyed(key, entry) not in skipped:
            programs.append(entry)
            if len(programs) == MAX_FILES:
                break
    # Nothing of a source is opened before there is a program.
    sources = [
        (source, SOURCES[source](request.places[source], programs))
        for source in SWITCHED
        if programs and source in request.places
    ]
    for place, path in enumerate(programs):
        yield Opening(keyed(key, path))
        yield from _judged(Program(path), sources, key)
        if place % EACH == 0:
            yield Progress(place, len(programs))
        if after_step():
            return
    for source, one in sources:
        if one.problem:
            yield Unread(source, one.problem)
    yield Searched(walked, len(programs))


def _judged(
    program: Program, sources: Sequence[tuple[Source, SampleSource]], key: bytes
) -> Iterator[Event]:
    """Yield what the sources say about one program, if they know it."""
    try:
        knowing = [source for source, one in sources if one.knows(program)]
        if not knowing:
            return
        digest = keyed(key, program.checksums.sha256)
        if len({label_of(source) for source in knowing}) > 1:
            yield Contradicted(digest)
            return
        row = read_features(program.path).features
    except RefusedFileError:
        return
    yield Collected(knowing[0], digest, row)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value
