"""Which module imports which, and the cycles among them.

An import is of one of three kinds: it runs when the module is loaded, it runs when a function is
called, or only the type checker reads it. A cycle counts for a kind when it needs no weaker import
than that: the lazy graph holds the first two, the typing graph all.
"""

import ast
from collections.abc import Iterator, Mapping
from enum import StrEnum

from tests.shape.source import FunctionNode, SourceFile, last_name

Graph = dict[str, set[str]]


class Kind(StrEnum):
    """From the strongest to the weakest."""

    IMPORT = "import"
    LAZY = "lazy"
    TYPING = "typing"


def graphs(files: list[SourceFile]) -> dict[Kind, Graph]:
    """For each kind, the imports of that kind or of a stronger one, by dotted module name."""
    modules = {file.module: file for file in files}
    found: dict[Kind, Graph] = {kind: {name: set() for name in modules} for kind in Kind}
    for file in files:
        for kind, target in _imports(file, modules):
            for weaker in tuple(Kind)[tuple(Kind).index(kind) :]:
                if target != file.module:
                    found[weaker][file.module].add(target)
    return found


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other (strongly connected components of more than one
    module), each sorted.
    """
    reached = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return [list(group) for group in sorted(groups)]


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Everything that can be reached from `start`, itself only where a path leads back."""
    found: set[str] = set()
    left = list(graph[start])
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(graph[name])
    return found


def _imports(file: SourceFile, modules: Mapping[str, SourceFile]) -> Iterator[tuple[Kind, str]]:
    for kind, node in _statements(file.tree, Kind.IMPORT):
        for name in _names(node, file):
            while (
                name and name not in modules
            ):  # a name inside a module: the module is what is imported
                name = name.rpartition(".")[0]
            if name:
                yield kind, name


def _statements(node: ast.AST, kind: Kind) -> Iterator[tuple[Kind, ast.Import | ast.ImportFrom]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield kind, node
        return
    if isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
        for child in node.body:
            yield from _statements(child, Kind.TYPING)
        for child in node.orelse:
            yield from _statements(child, kind)
        return
    below = (
        Kind.LAZY if isinstance(node, FunctionNode | ast.Lambda) and kind is Kind.IMPORT else kind
    )
    for child in ast.iter_child_nodes(node):
        yield from _statements(child, below)


def _names(node: ast.Import | ast.ImportFrom, file: SourceFile) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = (
            file.module.split(".")
            if file.path.endswith("__init__.py")
            else file.module.split(".")[:-1]
        )
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in node.names]
