"""Made-up checkouts for the tests of the measures."""

from pathlib import Path
from textwrap import dedent

import pytest


@pytest.fixture
def checkout(tmp_path):
    """Writes files given by their paths and returns the root."""

    def write(files: dict[str, str]) -> Path:
        for path, text in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(dedent(text), "utf-8")
        return tmp_path

    return write
