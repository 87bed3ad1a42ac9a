"""Writes docs/ERRORS.md: every error code, what it means, why it appears, who acts and how.

usage: python packaging/errors_page.py [--check]      --check: only say whether the page is current

Codes, messages, remedies and modules come from the source (code_search.py), so the page cannot
name a code that does not exist or leave one out. Causes come from error_causes.toml; so do
meanings and remedies where the source builds them from values that it does not know.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from code_search import Raised, Search

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ERRORS.md"
TEXTS = Path(__file__).with_name("error_causes.toml")
ACTORS = {
    "UserActionError": "You, at this computer.",
    "OperatorActionError": "IT, or the operator of the server.",
    "PeerError": "The other end is at fault; nothing was changed here.",
    "InternalError": "The project: this is a bug.",
    "RefusedFileError": "Nobody, unless the file matters to you: only this file was left out.",
    "RefusedInput": "Nobody, unless the row matters to you: only this row was left out.",
    "Denial": "You, or IT where a policy forbids taking part.",
    "Reason": "Nobody: AegisAI waits by itself and shows this as its reason.",
    "Verdict": "The server, by itself: it excludes the device. The operator may release it.",
}
"""Who acts, by what carries the code."""
HEAD = """# Error codes

Every code that AegisAI shows, logs or answers with. Scripts can rely on the codes; the sentences
may change. Commands print `aegis: CODE: what happened. What to do.`, `--json` has the code under
`code` (see [CONTRACT.md](CONTRACT.md)), and the server answers with problem documents (RFC 9457).

In a message, … stands for a value such as a name or a number. `make docs` writes this page from
the source.
"""


def page(root: Path = ROOT) -> str:
    """The whole page. Raises ValueError where a text is missing or has no code."""
    search = Search(root)
    by_code: dict[str, list[Raised]] = {}
    for item in search.raised():
        by_code.setdefault(item.code, []).append(item)
    texts = tomllib.loads(TEXTS.read_text("utf-8"))
    _check_complete(by_code, texts)
    statuses = search.statuses()
    entries = (_entry(items, texts, statuses.get(code)) for code, items in sorted(by_code.items()))
    return "\n".join([HEAD, *entries])


def _check_complete(by_code: dict[str, list[Raised]], texts: dict[str, dict[str, str]]) -> None:
    named = set().union(*texts.values())
    problems = {
        "no cause for": by_code.keys() - texts["cause"].keys(),
        "no meaning for": {code for code, items in by_code.items() if not _meanings(items, texts)},
        "no remedy for": {code for code, items in by_code.items() if not _remedies(items, texts)},
        "no such code": named - by_code.keys(),
    }
    found = [
        f"{problem} {', '.join(sorted(codes))}" for problem, codes in problems.items() if codes
    ]
    if found:
        raise ValueError(f"{TEXTS.name}: {'; '.join(found)}")


def _entry(items: list[Raised], texts: dict[str, dict[str, str]], status: int | None) -> str:
    code = items[0].code
    lines = [f"### {code}", ""]
    lines += _listed("Meaning", _meanings(items, texts))
    lines += _listed("Cause", [texts["cause"][code]])
    lines += _listed("Remedy", _remedies(items, texts))
    lines += _listed("Who acts", _distinct(ACTORS[item.carrier] for item in items))
    lines += _listed("Raised in", [", ".join(_distinct(f"`{item.module}`" for item in items))])
    lines += _listed("HTTP status", [f"{status}"] if status else [])
    return "\n".join([*lines, ""])


def _listed(title: str, texts: list[str]) -> list[str]:
    if len(texts) == 1:
        return [f"- **{title}:** {texts[0]}"]
    return [f"- **{title}:**", *(f"  - {text}" for text in texts)] if texts else []


def _meanings(items: list[Raised], texts: dict[str, dict[str, str]]) -> list[str]:
    """The messages of the source; the table's where the source has none."""
    found = _sentences(item.message for item in items)
    return found or _from_table(items, texts["meaning"])


def _remedies(items: list[Raised], texts: dict[str, dict[str, str]]) -> list[str]:
    """What the table says; else the remedies of the source."""
    return _from_table(items, texts["remedy"]) or _sentences(item.remedy for item in items)


def _from_table(items: list[Raised], table: dict[str, str]) -> list[str]:
    return [table[items[0].code]] if items[0].code in table else []


def _sentences(texts: Iterable[str]) -> list[str]:
    """Different texts that say something; not those in which a value is empty."""
    different = _distinct(text.strip() for text in texts)
    return [text for text in different if text.strip("… .:") and " ." not in text]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/ERRORS.md from the source.")
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    options = parser.parse_args(arguments)
    content = page()
    if options.check:
        is_current = PAGE.is_file() and PAGE.read_text("utf-8") == content
        print(f"{PAGE.name} is {'current' if is_current else 'not current; run make docs'}")
        return int(not is_current)
    PAGE.write_text(content, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
