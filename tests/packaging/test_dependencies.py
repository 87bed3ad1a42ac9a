"""Every third-party import is a declared dependency, and the package contains the device's."""

import ast
import re
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OWN = {"agent", "ui", "server_stub"}
DONE_WITHOUT = {"lief": "signatures"}
"""Modules that a device checks for and does without, each with the extra that brings it."""
DEVICE, DEVICE_EXTRAS = ("agent", "ui"), ("ui",)
SERVER, SERVER_EXTRAS = ("server_stub",), ("server", "demo")


def imported(packages):
    """{third-party module: where it is first imported}, including imports inside functions."""
    found = {}
    for path in sorted(path for package in packages for path in (ROOT / package).rglob("*.py")):
        for line, name in imports_of(path.read_text()):
            module = name.partition(".")[0]
            if module not in sys.stdlib_module_names | OWN:
                found.setdefault(module, f"{path.relative_to(ROOT)}:{line}")
    return found


def imports_of(source):
    """(line, module) of every absolute import at any depth, and of `import_module("…")`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = (word.value for word in node.args[:1] if isinstance(word, ast.Constant))
            yield from ((node.lineno, name) for name in names)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras):
    """Names of all distributions that pyproject requires, directly or through another one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [*project["dependencies"]]
    for extra in extras:
        waiting += project["optional-dependencies"][extra]
    found = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = normal(requirement.name)
        if name in found or not applies(requirement, extras=("",)):
            continue
        found.add(name)
        waiting += [
            text
            for text in distribution(name).requires or ()
            if applies(Requirement(text), ("", *requirement.extras))
        ]
    return found


def applies(requirement, extras):
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def undeclared(packages, available):
    """Imports that no distribution among `available` provides, each with its place."""
    providers = packages_distributions()
    return {
        f"{module} ({place})"
        for module, place in imported(packages).items()
        if module not in DONE_WITHOUT
        and not available & {normal(name) for name in providers.get(module, ())}
    }


@pytest.mark.parametrize(
    ("packages", "extras"),
    [(DEVICE, DEVICE_EXTRAS), (SERVER, SERVER_EXTRAS)],
    ids=["device", "server"],
)
def test_every_import_is_a_runtime_dependency(packages, extras):
    assert undeclared(packages, declared(*extras)) == set()


def test_the_package_contains_every_library_that_a_device_imports(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    import payload

    packed = {normal(one.name) for one in payload.distributions()}
    assert undeclared(DEVICE, packed) == set()


def test_the_agent_alone_needs_no_extra():
    """It runs on machines without a desktop."""
    assert undeclared(("agent",), declared()) == set()


@pytest.mark.parametrize("module", DONE_WITHOUT)
def test_what_a_device_does_without_comes_with_its_extra(module):
    assert module in declared(DONE_WITHOUT[module]) - declared()
    assert module in imported(DEVICE)


def test_psutil_and_requests_are_runtime_dependencies():
    assert {"psutil", "requests"} <= declared()


def test_a_lazy_import_counts():
    source = "def f():\n    import yaml.parser\n    from attr import s\n    import_module('x.y')\n"
    assert [name for _, name in imports_of(source)] == ["yaml.parser", "attr", "x.y"]
