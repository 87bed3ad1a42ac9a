"""What the tests themselves do: sleep to prove a negative, read private names of the program, or
assert nothing.

Each measure is an approximation that errs on the side of naming a test; what it finds can be read
in a minute.
"""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.shape.source import PACKAGES, FunctionNode, SourceFile, functions, last_name

SLEEPS = {"time.sleep", "asyncio.sleep", "sleep", "anyio.sleep", "QTest.qWait", "qtbot.wait"}
ASSERTING = {
    "raises",
    "warns",
    "fail",
    "waitUntil",
    "waitSignal",
    "waitSignals",
    "wait_for",
    "timeout",
}
"""Functions of pytest, pytest-qt and asyncio that fail by themselves when what they wait for does
not happen.
"""

PROMISE = re.compile(r"test_((?:p\d+_)+)")


@dataclass(frozen=True, order=True)
class PrivateRead:
    """A private name of the program that a test uses."""

    path: str
    name: str
    line: int

    @property
    def key(self) -> str:
        """What an allow-list names: it does not change when a line is inserted above."""
        return f"{self.path}: {self.name}"


@dataclass(frozen=True)
class Test:
    """A test with its file: a function, or the class of a state machine that hypothesis plays under
    the test's name.
    """

    file: SourceFile
    node: FunctionNode | ast.ClassDef
    name: str

    @property
    def where(self) -> str:
        return f"{self.file.path}::{self.name}"

    @property
    def promises(self) -> set[int]:
        """Numbers of the promises that the name carries: `test_p6_p10_chaos` is of two."""
        carried = PROMISE.match(self.name)
        return {int(number) for number in re.findall(r"\d+", carried[1])} if carried else set()


def tests_of(files: list[SourceFile]) -> list[Test]:
    """Every test that pytest would collect."""
    return [
        Test(file, node, name)
        for file in files
        if file.path.rpartition("/")[2].startswith("test_")
        for name, node in (*_collected(file.tree), *_state_machines(file.tree))
    ]


def _collected(tree: ast.AST) -> Iterator[tuple[str, FunctionNode]]:
    for child in ast.iter_child_nodes(tree):
        is_class = isinstance(child, ast.ClassDef) and child.name.startswith("Test")
        if isinstance(child, FunctionNode) and child.name.startswith("test"):
            yield child.name, child
        elif is_class or isinstance(child, ast.If | ast.Try | ast.With):
            yield from _collected(child)


def _state_machines(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef]]:
    """`test_name = Machine.TestCase` at the level of the module."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Attribute)
            and node.value.attr == "TestCase"
        ):
            name, machine = last_name(node.targets[0]), classes.get(last_name(node.value.value))
            if name.startswith("test") and machine is not None:
                yield name, machine


# Sleeping


def sleeping_tests(files: list[SourceFile]) -> list[str]:
    """Tests that let time pass and then look: they sleep for longer than zero, and not in a loop
    that waits for something.

    What a function of the same file does counts for the test that calls it. A function that is only
    passed on (the `sleep` of a fake) does not.
    """
    return [test.where for test in tests_of(files) if any(_sleeps(node) for node in _reached(test))]


def _reached(test: Test) -> list[FunctionNode]:
    """The test and the functions of its file that it calls, however deep."""
    inside = [node for _, node, bound in functions(test.node) if not bound]
    module = [node for node in test.file.tree.body if isinstance(node, FunctionNode)]
    known = {node.name: node for node in (*module, *inside)}
    found: list[FunctionNode] = [test.node] if isinstance(test.node, FunctionNode) else []
    for node in found:
        found += [
            known[name]
            for name in sorted(_called_names(node))
            if name in known and known[name] not in found
        ]
    return found


def _sleeps(node: ast.AST) -> bool:
    """Whether the function itself sleeps; functions inside it are judged where they are called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.While | FunctionNode | ast.ClassDef | ast.Lambda):
            continue
        if _is_sleep(child) or _sleeps(child):
            return True
    return False


def _is_sleep(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and node.args and _dotted(node.func) in SLEEPS):
        return False
    length = node.args[0]
    return not (isinstance(length, ast.Constant) and length.value == 0)


# Private names


def private_reads(files: list[SourceFile], program: list[SourceFile]) -> list[PrivateRead]:
    """Private names of the program that tests use: as an attribute, in an import, or as text for
    getattr, setattr and monkeypatch.

    A test's own fakes are not the program: a name that the same file defines is its own.
    """
    private = {name for file in program for name in _defined_private(file)}
    return sorted(set(read for file in files for read in _reads(file, private)))


def _reads(file: SourceFile, private: set[str]) -> Iterator[PrivateRead]:
    own = _defined_private(file)
    foreign = _foreign_modules(file)
    for node in file.nodes:
        for name in _names_used(node, foreign):
            if name in private and name not in own:
                yield PrivateRead(file.path, name, node.lineno)


def _names_used(node: ast.AST, foreign: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and _dotted(node.value) not in foreign | {"self", "cls"}:
        yield node.attr
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Call) and last_name(node.func) in (
        "getattr",
        "setattr",
        "delattr",
        "hasattr",
    ):
        texts = (
            item.value
            for item in node.args
            if isinstance(item, ast.Constant) and isinstance(item.value, str)
        )
        yield from (part for text in texts for part in text.split("."))


def _foreign_modules(file: SourceFile) -> set[str]:
    """Names under which the file imports something that is not the program's, such as `os` of
    `os._exit`.
    """
    found = set()
    for node in file.nodes:
        if isinstance(node, ast.Import):
            found |= {
                alias.asname or alias.name
                for alias in node.names
                if alias.name.split(".")[0] not in PACKAGES
            }
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in (
            *PACKAGES,
            "tests",
        ):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _defined_private(file: SourceFile) -> set[str]:
    """Private names that a file gives to functions, classes, fields and variables."""
    found: set[str] = set()
    for node in file.nodes:
        if isinstance(node, FunctionNode | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and _dotted(node.value) in ("self", "cls")
        ):
            found.add(node.attr)
    return {
        name for name in found if name.startswith("_") and not name.startswith("__") and name != "_"
    }


# Assertions


def tests_without_assertion(files: list[SourceFile]) -> list[str]:
    """Tests that cannot fail by what they see: no assertion in them, nor in a helper that they call
    one level down.
    """
    checks = Assertions(files)
    return [test.where for test in tests_of(files) if not checks.hold(test)]


def unproved_promises(files: list[SourceFile], promises: range) -> list[str]:
    """Promises without a test that carries their number and asserts something."""
    checks = Assertions(files)
    proved = {
        number
        for test in tests_of(files)
        if test.promises and checks.hold(test)
        for number in test.promises
    }
    return [f"P{number}" for number in promises if number not in proved]


class Assertions:
    """Which tests assert something, by themselves or through a function of the tests that they
    call.
    """

    def __init__(self, files: list[SourceFile]) -> None:
        self._by_module = {file.module: _helpers(file.nodes) for file in files}
        self._callable = functools.cache(self._imported)
        self._fixtures = {
            name: node
            for helpers in self._by_module.values()
            for name, node in helpers.items()
            if _is_fixture(node)
        }

    def hold(self, test: Test) -> bool:
        """Whether the test, or a helper one level down, contains an assertion."""
        return _asserts(test.node) or any(_asserts(node) for node in self._helpers_of(test))

    def _helpers_of(self, test: Test) -> Iterator[ast.AST]:
        known = self._callable(test.file)
        fixtures = {node.arg for node in ast.walk(test.node) if isinstance(node, ast.arg)}
        yield from (known[name] for name in _called_names(test.node) if name in known)
        yield from (self._fixtures[name] for name in fixtures if name in self._fixtures)

    def _imported(self, file: SourceFile) -> dict[str, ast.AST]:
        """Functions and methods of the file and of the test modules that it imports, by the name
        under which it may call them.
        """
        found: dict[str, ast.AST] = {}
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    helpers = self._by_module.get(node.module or "", {})
                    if alias.name in helpers:
                        found[alias.asname or alias.name] = helpers[alias.name]
                        found.update(_helpers(ast.walk(helpers[alias.name])))
                    found.update(self._by_module.get(f"{node.module}.{alias.name}", {}))
        return {**found, **self._by_module[file.module]}


def _asserts(node: ast.AST) -> bool:
    return any(
        isinstance(inner, ast.Assert)
        or (
            isinstance(inner, ast.Call)
            and (last_name(inner.func) in ASSERTING or last_name(inner.func).startswith("assert"))
        )
        for inner in ast.walk(node)
    )


def _is_fixture(node: ast.AST) -> bool:
    return isinstance(node, FunctionNode) and any(
        "fixture" in ast.unparse(mark) for mark in node.decorator_list
    )


def _helpers(nodes: Iterable[ast.AST]) -> dict[str, ast.AST]:
    """Functions, methods and classes among some nodes by name, without tests."""
    return {
        node.name: node
        for node in nodes
        if isinstance(node, FunctionNode | ast.ClassDef) and not node.name.startswith("test")
    }


def _called_names(node: ast.AST) -> set[str]:
    return {last_name(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
