"""docs/FEATURES.md lists every feature and claims nothing that no file and no test show."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/FEATURES.md"
COUNTS = {
    "Components": 5,
    "Protocol": 8,
    "Privacy": 10,
    "Security": 9,
    "Law": 4,
    "Quality": 4,
    "Operation": 5,
    "Bandwidth": 6,
    "Beyond": 9,
    "API": 4,
    "Desktop": 8,
}
STATES = ("built", "partly: ", "not built yet", "not built, because ")


def sections():
    for part in PAGE.read_text("utf-8").split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("| ")][1:]
        yield title, [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


ROWS = [(title, row) for title, rows in sections() for row in rows]


def test_every_section_has_all_its_rows():
    assert {title: len(rows) for title, rows in sections()} == COUNTS


@pytest.mark.parametrize(("title", "row"), ROWS, ids=[row[0][:40] for _, row in ROWS])
def test_what_is_built_links_its_code_and_its_test(title, row):
    _, state, code, test = row
    assert state.startswith(STATES)
    for cell, folder in ((code, None), (test, "tests")):
        links = re.findall(r"\]\(\.\./([^)#]+)\)", cell)
        assert bool(links) == state.startswith(("built", "partly"))
        assert all((PAGE.parent.parent / link).is_file() for link in links)
        assert folder is None or all(link.startswith(folder) for link in links)
