"""Rules that every committed file keeps."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.shape import suite
from tests.shape.source import read

ROOT = Path(__file__).parents[2]
PROMISES = range(1, 13)
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|deb\.debian\.org|archive\.ubuntu\.com|proxy\.golang\.org"
)


def committed():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts():
    for path in committed():
        try:
            yield path, path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


def configured_index_hosts():
    """The package indexes that this machine uses."""
    named = (
        os.environ.get(name, "")
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
    )
    return {host for url in named if (host := urlsplit(url).hostname) and host != "localhost"}


def test_no_file_names_a_registry_or_a_path_of_the_machine_that_wrote_it():
    forbidden = {f"{ROOT}/", f"{ROOT.parent}/shared", *configured_index_hosts()}
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path, text in texts()
        if path != Path(__file__)
        for word in [*(word for word in forbidden if word in text), *REGISTRIES.findall(text)]
    ]
    assert not found


def test_tests_and_packaging_are_no_packages_that_hide_libraries():
    assert not [
        path
        for path in committed()
        if path.name == "__init__.py" and path.relative_to(ROOT).parts[0] in ("tests", "packaging")
    ]


def test_every_promise_has_a_test_that_carries_its_number_and_asserts():
    assert suite.unproved_promises(read(ROOT, ("tests",)), PROMISES) == []


def test_every_test_asserts_something():
    assert suite.tests_without_assertion(read(ROOT, ("tests",))) == []


def test_every_relative_link_of_a_page_leads_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path, text in texts()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in target
        and not target.startswith("mailto:")
        and not (path.parent / target).exists()
    ]
    assert not broken


def test_locked_requirements_are_hashed_and_name_no_index():
    lock = (ROOT / "requirements/lock.txt").read_text()
    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9A-Z._-]+(?:\[[^]]*\])?==", lock, re.M)
    assert len(pinned) > 30
    assert lock.count("--hash=sha256:") >= len(pinned)
