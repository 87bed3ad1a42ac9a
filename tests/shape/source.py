"""Python files of a checkout, read and parsed once for every measure of shape.

Paths are relative to the root that was given, so that the figures of two checkouts can be compared.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

PACKAGES = ("agent", "ui", "server_stub")
ENTRY_FILES = ("__init__.py", "__main__.py")
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SourceFile:
    """One Python file."""

    path: str
    """Relative to the root, with forward slashes."""
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, for measures that look at all of them."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def functions(self) -> tuple[tuple[str, FunctionNode, bool], ...]:
        """Every function with its qualified name, and whether it is bound."""
        return tuple(functions(self.tree))

    @property
    def package(self) -> str:
        """The top-level folder."""
        return self.path.split("/", 1)[0]

    @property
    def module(self) -> str:
        """The dotted name under which it is imported."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def read(root: Path, folders: tuple[str, ...]) -> list[SourceFile]:
    """Every Python file below `folders`, in the order of their paths."""
    return [
        SourceFile(PurePosixPath(path.relative_to(root)).as_posix(), path.read_text("utf-8"))
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


def functions(
    node: ast.AST, prefix: str = "", in_class: bool = False
) -> Iterator[tuple[str, FunctionNode, bool]]:
    """Every function below `node` with its qualified name, and whether it is bound to an instance
    or a class.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            yield (
                f"{prefix}{child.name}",
                child,
                in_class and "staticmethod" not in decorators(child),
            )
            yield from functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.", in_class=True)
        else:
            yield from functions(child, prefix, in_class)


def decorators(node: FunctionNode | ast.ClassDef) -> set[str]:
    """Last parts of the decorators' names: `dataclasses.dataclass(frozen=True)` is "dataclass"."""
    return {
        last_name(mark.func if isinstance(mark, ast.Call) else mark) for mark in node.decorator_list
    }


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c` and of `c`; "" of anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def docstring(node: FunctionNode) -> ast.stmt | None:
    """The statement that holds the docstring."""
    first = node.body[0]
    is_text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return first if is_text else None
