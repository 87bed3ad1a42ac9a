"""How large functions and classes are, and how many parameters they take."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from tests.shape.source import FunctionNode, SourceFile, decorators

MAX_CONSTRUCTOR_PARAMETERS = 10
MAX_PARAMETERS = 8
MAX_METHODS = 20


@dataclass(frozen=True)
class Sized:
    """Something in a file, and how large it is."""

    where: str
    size: int

    def __str__(self) -> str:
        return f"{self.where} {self.size}"


def large_constructors(files: list[SourceFile]) -> list[Sized]:
    """Constructors with more parameters than allowed; a dataclass's fields are not counted here."""
    return _largest(
        item
        for item, constructor in _parameters(files)
        if constructor and item.size > MAX_CONSTRUCTOR_PARAMETERS
    )


def large_functions(files: list[SourceFile]) -> list[Sized]:
    """Other functions with more parameters than allowed."""
    return _largest(
        item
        for item, constructor in _parameters(files)
        if not constructor and item.size > MAX_PARAMETERS
    )


def large_classes(files: list[SourceFile]) -> list[Sized]:
    """Classes with more methods than allowed; a property's getter and setter are one method."""
    sized = (
        Sized(f"{file.path}:{node.name}", len(_methods(node)))
        for file in files
        for node in _classes(file)
    )
    return _largest(item for item in sized if item.size > MAX_METHODS)


def large_values(files: list[SourceFile]) -> list[Sized]:
    """Dataclasses and named tuples with more fields than a constructor may have parameters."""
    sized = (
        Sized(f"{file.path}:{node.name}", _fields(node))
        for file in files
        for node in _classes(file)
        if _is_value(node)
    )
    return _largest(item for item in sized if item.size > MAX_CONSTRUCTOR_PARAMETERS)


def function_lengths(files: list[SourceFile]) -> list[int]:
    """Lines of every function, its docstring included, its decorators not."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for file in files
        for _, node, _ in file.functions
    ]


def comment_share(files: list[SourceFile]) -> float:
    """Share of the lines that carry a comment."""
    commented = sum(
        token.type == tokenize.COMMENT
        for file in files
        for token in tokenize.generate_tokens(io.StringIO(file.text).readline)
    )
    return commented / max(1, sum(len(file.lines) for file in files))


def _parameters(files: list[SourceFile]) -> Iterator[tuple[Sized, bool]]:
    for file in files:
        for name, node, bound in file.functions:
            taken = node.args
            count = len(taken.posonlyargs) + len(taken.args) + len(taken.kwonlyargs) - bound
            count += (taken.vararg is not None) + (taken.kwarg is not None)
            yield Sized(f"{file.path}:{name}", count), bound and node.name == "__init__"


def _classes(file: SourceFile) -> Iterator[ast.ClassDef]:
    return (node for node in file.nodes if isinstance(node, ast.ClassDef))


def _methods(node: ast.ClassDef) -> set[str]:
    return {child.name for child in node.body if isinstance(child, FunctionNode)}


def _is_value(node: ast.ClassDef) -> bool:
    return "dataclass" in decorators(node) or any(
        ast.unparse(base).endswith("NamedTuple") for base in node.bases
    )


def _fields(node: ast.ClassDef) -> int:
    return sum(
        isinstance(child, ast.AnnAssign) and "ClassVar" not in ast.unparse(child.annotation)
        for child in node.body
    )


def _largest(items: Iterator[Sized]) -> list[Sized]:
    return sorted(items, key=lambda item: (-item.size, item.where))
