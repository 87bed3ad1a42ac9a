"""ε is written by one formatter, which rounds up. Nothing else formats or rounds it.

Found are f-strings, `format`, `%`, `round`, `str` and `number` whose value names an ε or follows
"ε", unless the formatter made the text.
"""

import ast
import re
from collections.abc import Iterator

from tests.shape.source import SourceFile

FORMATTERS = ("epsilon_in_words", "epsilon_text")
HOME = ("agent/status.py", "ui/presentation/epsilon_text.py")
"""Where the formatters are."""
ROUNDERS = ("round", "rounded_up", "format", "number", "str", "repr", "f", "floor", "ceil")
EPSILON = re.compile("epsilon|ε", re.IGNORECASE)
AFTER_EPSILON = re.compile(r"(?<!\^)ε\s*(?:=|of|≤|:|about)?\s*$")


def formatted(files: list[SourceFile]) -> list[str]:
    """Lines that write an ε in a way of their own."""
    return [
        f"{file.path}:{line}: {text}, use {FORMATTERS[0]}"
        for file in files
        if file.path not in HOME
        for line, text in sorted(set(_found(file)))
    ]


def _found(file: SourceFile) -> Iterator[tuple[int, str]]:
    for node in file.nodes:
        for value in _written(node):
            if _is_epsilon(value):
                yield value.lineno, ast.unparse(value)
        if isinstance(node, ast.JoinedStr):
            for before, value in zip(node.values, node.values[1:], strict=False):
                if (
                    isinstance(before, ast.Constant)
                    and AFTER_EPSILON.search(str(before.value))
                    and isinstance(value, ast.FormattedValue)
                    and not _is_formatter(value.value)
                ):
                    yield value.lineno, ast.unparse(value.value)


def _written(node: ast.AST) -> Iterator[ast.expr]:
    """Values that become text or a rounded number here."""
    if isinstance(node, ast.FormattedValue):
        yield node.value
    elif isinstance(node, ast.Call) and _name(node.func) in ROUNDERS:
        yield from node.args
        yield from (keyword.value for keyword in node.keywords)
    elif (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mod)
        and isinstance(node.left, ast.Constant)
        and isinstance(node.left.value, str)
    ):
        yield node.right


def _is_epsilon(value: ast.expr) -> bool:
    """Whether a value holds an ε, other than in what a call makes of it."""
    if isinstance(value, ast.Call):
        name = _name(value.func)
        return name.startswith("epsilon") and not _is_formatter(value)
    if isinstance(value, ast.Name):
        return bool(EPSILON.search(value.id))
    if isinstance(value, ast.Attribute):
        return bool(EPSILON.search(value.attr))
    if isinstance(value, ast.Subscript):
        key = value.slice
        return isinstance(key, ast.Constant) and bool(EPSILON.search(str(key.value)))
    return any(
        _is_epsilon(child) for child in ast.iter_child_nodes(value) if isinstance(child, ast.expr)
    )


def _is_formatter(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and _name(value.func) in FORMATTERS


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
