"""Guides, decision records, glossary and flows name only what exists: links, modules, commands,
options, settings, error codes and benchmark keys.
"""

import re
import shlex
from pathlib import Path

import pytest

from agent.cli import main as agent_command
from agent.config.definitions import DEFINITIONS
from server_stub.cli import main as server_command
from tests.bench.harness import discover

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RECORDS = sorted((DOCS / "adr").glob("[0-9]*.md"))
PAGES = [
    *RECORDS,
    DOCS / "adr/README.md",
    *sorted((DOCS / "guide").glob("*.md")),
    DOCS / "examples/README.md",
    DOCS / "flows.md",
    DOCS / "GLOSSARY.md",
]
MOST_LINES = 220
BOOKS = {
    page: page.read_text("utf-8") for page in [*PAGES, *DOCS.glob("*.md"), ROOT / "CONTRIBUTING.md"]
}
SOURCES = [*ROOT.glob("agent/**/*.py"), *ROOT.glob("server_stub/**/*.py")]
CODES = set(re.findall(r'"([A-Z][A-Z_]+)"', "".join(path.read_text("utf-8") for path in SOURCES)))
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix()
)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in headings}


@every_page
def test_links_to_a_heading_find_it(page):
    """That a linked file exists is checked for every page (tests/packaging/test_repository.py)."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", BOOKS[page]):
        place = (page.parent / target).resolve() if target else page
        if place.name == "ERRORS.md":  # generated: an anchor for each code, in lower case
            assert anchor.upper() in CODES
        else:
            assert anchor in anchors(BOOKS[place]), f"{target}#{anchor}"


@every_page
def test_pages_are_short(page):
    assert len(BOOKS[page].splitlines()) <= MOST_LINES


@every_page
def test_files_and_folders_of_the_project_exist(page):
    named = re.findall(r"`((?:agent|ui|server_stub|tests|packaging|docs)/[\w./-]+)", BOOKS[page])
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def commands(page):
    """The commands of a page's shell blocks, as lists of words."""
    for block in re.findall(r"^```sh\n(.*?)^```", BOOKS[page], re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = [
                word for word in shlex.split(line, comments=True) if "=" not in word.split("/")[0]
            ]
            if words and words[0] in ("aegis", "aegis-server"):
                yield words


@every_page
def test_commands_and_their_options_exist(page, capsys):
    for program, *words in commands(page):
        run = agent_command.main if program == "aegis" else server_command.main
        path = []
        for word in words:
            if not re.fullmatch(r"[a-z][a-z-]*", word):
                break
            path.append(word)
        said = helped(run, path, capsys)
        for option in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", said), f"{program} {words}"


def helped(run, path, capsys):
    """The help of a command; what follows it in a line (a setting's name) is left away."""
    for length in range(len(path), 0, -1):
        with pytest.raises(SystemExit) as ended:
            run([*path[:length], "--help"])
        said = capsys.readouterr().out
        if ended.value.code == 0:
            return said
    raise AssertionError(f"there is no command {path}")


def test_every_setting_is_in_the_page_for_it():
    page = BOOKS[DOCS / "guide/for-it.md"]
    for definition in DEFINITIONS:
        day = definition.key.startswith("hours.")
        assert day or f"`{definition.key}`" in page, definition.key
    assert "`hours.monday` … `hours.sunday`" in page


@every_page
def test_error_and_reason_codes_exist(page):
    named = set(re.findall(r"[`\[]([A-Z]+(?:_[A-Z]+)+)[`\]]", BOOKS[page]))
    outside = {
        "AEGIS_HOME",
        "CPUCLOCK_SCHED",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTPS_PROXY",
    }
    outside |= {"FEATURE_NAMES"}
    assert named - outside <= CODES


def test_benchmark_keys_exist():
    keys = {key for benchmark in discover(ROOT / "tests/bench") for key in benchmark.keys}
    families = {key.split(".")[0] for key in keys}
    named = [
        name
        for page in RECORDS
        for name in re.findall(r"`([a-z_]+(?:\.[a-z0-9_|*]+)+)`", BOOKS[page])
        if name.split(".")[0] in families
    ]
    assert named
    for name in named:
        *head, last = name.split(".")
        alternatives = [""] if last == "*" else last.split("|")
        for one in alternatives:
            start = ".".join([*head, one])
            assert any(key == start or (not one and key.startswith(start)) for key in keys), name


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_its_parts_and_its_line(record):
    text = BOOKS[record]
    parts = ["Context", "Options", "Decision", "Consequences"]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == parts
    assert "- **Status:** " in text
    assert "- **Date:** " in text
    assert f"({record.name})" in BOOKS[DOCS / "adr/README.md"]


def test_the_glossary_is_in_order_and_says_each_word_once():
    lines = [line for line in BOOKS[DOCS / "GLOSSARY.md"].splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    words = [word.lower().replace("ε", "epsilon") for word, _, _ in rows]
    assert words == sorted(set(words))
    assert all("`" in place for _, _, place in rows)


def test_actions_are_pinned_by_commit():
    workflows = list((ROOT / ".github/workflows").glob("*.yml"))
    used = re.findall(r"uses: *(\S+)", "".join(path.read_text("utf-8") for path in workflows))
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name) for name in used)
