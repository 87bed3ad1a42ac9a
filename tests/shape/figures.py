"""The figures of the code's shape, each with its goal, as values."""

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.shape import imports, mirror, signatures, suite
from tests.shape.allowed import TESTED_ELSEWHERE
from tests.shape.source import ENTRY_FILES, PACKAGES, SourceFile, read

MAX_LINE = 100
LONGEST = 5
PRAGMA = re.compile(r"\s*# (?:noqa|type:|fmt:).*")
"""Words for the tools at the end of a line, which the linter does not count either."""
GOALS = {
    "root_files.agent": 9,
    "root_files.server_stub": 3,
    "cycles.import": 0,
    "cycles.lazy": 0,
    "cycles.typing": 0,
    "constructors": 0,
    "functions": 0,
    "classes": 0,
    "sleeping_tests": 0,
    "private_reads": 10,
    "silent_tests": 0,
    "without_test": 0,
    "longest_line": MAX_LINE,
}
"""The largest value that passes. The other figures are printed so that a change of them is seen."""


@dataclass(frozen=True)
class Figure:
    """One measure of one checkout."""

    key: str
    """Stable: earlier figures are found by it."""
    title: str
    value: float
    where: list[str] = field(default_factory=list)
    """The places that the figure counts, or the largest ones."""

    @property
    def goal(self) -> int | None:
        return GOALS.get(self.key)

    @property
    def is_met(self) -> bool:
        return self.goal is None or self.value <= self.goal


def measure(root: Path) -> list[Figure]:
    """Every figure of the checkout at `root`."""
    program = read(root, PACKAGES)
    tests = read(root, ("tests",))
    return [
        *_roots(program),
        *_cycles(program),
        *_sizes(program),
        *_tests(program, tests),
        *_texts(program, [*tests, *read(root, ("packaging",))]),
    ]


def _roots(program: list[SourceFile]) -> Iterator[Figure]:
    for package in PACKAGES:
        at_root = [
            file.path for file in program if file.path.count("/") == 1 and file.package == package
        ]
        counted = [path for path in at_root if not path.endswith(ENTRY_FILES)]
        yield Figure(
            f"root_files.{package}", f"files at the root of {package}", len(counted), counted
        )


def _cycles(program: list[SourceFile]) -> Iterator[Figure]:
    for kind, graph in imports.graphs(program).items():
        found = imports.cycles(graph)
        count = sum(len(cycle) for cycle in found)
        yield Figure(
            f"cycles.{kind}",
            f"modules in an import cycle ({kind})",
            count,
            [" ".join(cycle) for cycle in found],
        )


def _sizes(program: list[SourceFile]) -> Iterator[Figure]:
    over = (
        (
            "constructors",
            f"constructors with more than {signatures.MAX_CONSTRUCTOR_PARAMETERS} parameters",
            signatures.large_constructors,
        ),
        (
            "functions",
            f"functions with more than {signatures.MAX_PARAMETERS} parameters",
            signatures.large_functions,
        ),
        (
            "classes",
            f"classes with more than {signatures.MAX_METHODS} methods",
            signatures.large_classes,
        ),
        (
            "values",
            f"dataclasses with more than {signatures.MAX_CONSTRUCTOR_PARAMETERS} fields",
            signatures.large_values,
        ),
    )
    for key, title, find in over:
        found = find(program)
        yield Figure(key, title, len(found), [str(item) for item in found])
    lengths = signatures.function_lengths(program)
    yield Figure(
        "function_lines", "median lines of a function", statistics.median(lengths) if lengths else 0
    )


def _tests(program: list[SourceFile], tests: list[SourceFile]) -> Iterator[Figure]:
    sleeping = suite.sleeping_tests(tests)
    yield Figure("sleeping_tests", "tests that sleep and then look", len(sleeping), sleeping)
    reads = suite.private_reads(tests, program)
    places = [f"{read.path}:{read.line} {read.name}" for read in reads]
    yield Figure("private_reads", "private names of the program read by tests", len(reads), places)
    silent = suite.tests_without_assertion(tests)
    yield Figure("silent_tests", "tests without an assertion", len(silent), silent)
    without = [path for path in mirror.without_test(program, tests) if path not in TESTED_ELSEWHERE]
    yield Figure("without_test", "modules with logic without a test file", len(without), without)
    yield Figure(
        "without_namesake",
        "modules without a test file of their name",
        len(mirror.without_namesake(program, tests)),
    )
    yield Figure("tests", "test functions", len(suite.tests_of(tests)))


def _texts(program: list[SourceFile], others: list[SourceFile]) -> Iterator[Figure]:
    for package in PACKAGES:
        share = signatures.comment_share([file for file in program if file.package == package])
        yield Figure(
            f"comment_share.{package}",
            f"percent of lines with a comment in {package}",
            round(100 * share, 2),
        )
    longest = sorted(program, key=lambda file: (-len(file.lines), file.path))[:LONGEST]
    sizes = [f"{file.path} {len(file.lines)}" for file in longest]
    yield Figure(
        "longest_file", "lines of the longest file", len(longest[0].lines) if longest else 0, sizes
    )
    wide = [
        (_columns(line), f"{file.path}:{number}")
        for file in (*program, *others)
        for number, line in enumerate(file.lines, 1)
    ]
    columns, place = max(wide, default=(0, ""))
    yield Figure("longest_line", "columns of the longest line", columns, [place])
    yield Figure(
        "long_lines",
        f"lines of more than {MAX_LINE} columns",
        sum(columns > MAX_LINE for columns, _ in wide),
    )


def _columns(line: str) -> int:
    """Columns that the linter counts: none of a line without a space, which cannot be wrapped."""
    text = PRAGMA.sub("", line)
    return len(text) if len(text.split()) > 1 else 0
