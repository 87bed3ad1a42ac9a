"""Whether every module has its test file: `agent/x/y.py` and `tests/agent/x/test_y.py`.

A module has logic when one of its functions does more than a few statements; values, tables and
forwarding need no test of their own.
"""

import ast
from pathlib import PurePosixPath

from tests.shape.source import ENTRY_FILES, SourceFile, docstring

FEW_STATEMENTS = 3


def test_path(path: str) -> str:
    """Where the tests of a module belong; those of a package's own code lie beside the package's
    folder.
    """
    module = PurePosixPath(path)
    if module.stem == "__init__":
        module = module.parent
    return str(PurePosixPath("tests") / module.parent / f"test_{module.stem.strip('_')}.py")


def has_logic(file: SourceFile) -> bool:
    """Whether a function of the file does more than a few statements."""
    return any(_statements(node) > FEW_STATEMENTS for _, node, _ in file.functions)


def without_test(files: list[SourceFile], tests: list[SourceFile]) -> list[str]:
    """Modules with logic that have no test file of the same name in the same place."""
    existing = {file.path for file in tests}
    return [file.path for file in files if has_logic(file) and test_path(file.path) not in existing]


def without_namesake(files: list[SourceFile], tests: list[SourceFile]) -> list[str]:
    """Modules of any kind, but entry files, that have no test file of the same name in the same
    place.
    """
    existing = {file.path for file in tests}
    modules = (file for file in files if not file.path.endswith(ENTRY_FILES))
    return [file.path for file in modules if test_path(file.path) not in existing]


def _statements(function: ast.AST) -> int:
    """Statements of a function and its blocks, without its docstring and without what functions
    inside it do.
    """
    skipped = docstring(function)
    count = 0
    left = [child for child in ast.iter_child_nodes(function) if child is not skipped]
    while left:
        node = left.pop()
        count += isinstance(node, ast.stmt)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            left.extend(ast.iter_child_nodes(node))
    return count
