"""What each source of samples does, in the words that a person switches it on by.

The words are a resource of the program (`notices/sources.json`). A change of the English words of a
source ends an earlier yes to it.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from agent.consent.wording import FALLBACK_LOCALE
from agent.protocol.canonical import digest


@dataclass(frozen=True)
class SourceText:
    """One source in one locale, ready to show."""

    source: str
    title: str
    text: str
    text_sha256: str
    """Digest of the English words: a yes in any locale is a yes to the same meaning."""
    locale: str


def source_text(source: str, locale: str) -> SourceText:
    """Return the words for a source (agent.protocol.sources) in the nearest locale."""
    texts = _texts()
    language = locale.replace("-", "_").split("_")[0].split(".")[0].lower()
    name = language if language in texts else FALLBACK_LOCALE
    title, text = texts[name][source]
    return SourceText(source, title, text, digest(list(texts[FALLBACK_LOCALE][source])), name)


@cache
def _texts() -> dict[str, dict[str, tuple[str, str]]]:
    written = resources.files(__package__).joinpath("notices/sources.json").read_text("utf-8")
    return {
        locale: {source: (title, text) for source, (title, text) in entries.items()}
        for locale, entries in json.loads(written).items()
    }
