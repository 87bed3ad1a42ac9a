"""Finds every error code in the source, with its message, its remedy and the module that raises it.

The source is read as a syntax tree; nothing is imported or run.

1. An error of one of the four families is made with a code, a message and a remedy; so are its
   subclasses and a reason for waiting.
2. A text may depend on a condition, a table or a variable. Each of these is a choice; code, message
   and remedy are read once for every combination, so that they stay together.
3. A function that passes its own parameter on is read once for every call of it.
4. What the source cannot say, such as a file's name, is UNKNOWN.
"""

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("agent", "ui", "server_stub")
UNKNOWN = "…"
MAX_DEPTH = 3
"""Functions that pass a code on to each other."""
MAX_COMBINATIONS = 256
CARRIERS = {
    "UserActionError",
    "OperatorActionError",
    "PeerError",
    "InternalError",
    "RefusedFileError",
    "RefusedInput",
    "Denial",
    "Reason",
}
VERDICT = "verdict"
"""The function that says whose fault it is."""
NOTHING = ast.Constant("")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Raised:
    """One way in which a code reaches somebody."""

    code: str
    carrier: str
    """The class that carries it, one of CARRIERS, or "Verdict" for a code about a group's member.
    """
    message: str
    remedy: str
    module: str


@dataclass(frozen=True)
class Options:
    """What a name may hold. Names with the same key hold the item at the same place."""

    key: str
    items: "tuple[tuple[ast.expr, Scope], ...]"


Scope = dict[str, Options]


@dataclass(frozen=True)
class Call:
    """A call, with what is around it."""

    node: ast.Call
    function: Function | None
    owner: ast.ClassDef | None
    module: "Module"


@dataclass
class Module:
    name: str
    tree: ast.Module
    scope: Scope = field(default_factory=dict)
    """Its constants."""
    calls: list[Call] = field(default_factory=list)


class Search:
    """All modules of a checkout."""

    def __init__(self, root: Path) -> None:
        paths = (path for name in PACKAGES for path in sorted((root / name).rglob("*.py")))
        self._modules = [_module(root, path) for path in paths]
        self._classes = {
            node.name: node
            for module in self._modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        self._calls: dict[str, list[Call]] = {}
        for module in self._modules:
            for call in module.calls:
                self._calls.setdefault(_last(call.node.func), []).append(call)

    def raised(self) -> list[Raised]:
        """Every way in which a code is raised, once, in a fixed order."""
        found = {item for module in self._modules for item in self._of(module)}
        return sorted(found, key=lambda item: (item.code, item.module, item.message, item.remedy))

    def statuses(self) -> dict[str, int]:
        """HTTP status of the server's problem documents, by code."""
        for module in self._modules:
            for node in module.tree.body:
                names = [name for name, _ in _assigned(node)]
                if module.name.endswith(".problems") and names == ["STATUS"]:
                    assert isinstance(node, ast.Assign)
                    return dict(ast.literal_eval(node.value))
        return {}

    def _of(self, module: Module) -> Iterator[Raised]:
        yield from _tables(module)
        yield from _judged(module)
        for call in module.calls:
            carrier = self._carrier(call)
            if not carrier:
                continue
            parts = _parts(carrier, call.node)
            for scope in self._scopes(call, parts, MAX_DEPTH):
                for code, message, remedy in _texts(parts, scope):
                    if _is_code(code):
                        yield Raised(code, carrier, message, remedy, module.name)

    def _carrier(self, call: Call) -> str:
        """The carrier that a call makes; a subclass that takes arguments of its own counts where
        it calls its parent.
        """
        name = _last(call.node.func)
        if ast.unparse(call.node.func) == "super().__init__" and call.owner is not None:
            return "" if call.owner.name in CARRIERS else self._ancestor(call.owner.name)
        return "" if self._has_constructor(name) else self._ancestor(name)

    def _ancestor(self, name: str) -> str:
        """The carrier that a class is or descends from; "" where there is none."""
        seen = set[str]()
        while name in self._classes and name not in CARRIERS | seen:
            seen.add(name)
            name = next((_last(base) for base in self._classes[name].bases), "")
        return name if name in CARRIERS else ""

    def _has_constructor(self, name: str) -> bool:
        """Whether a class below the carriers takes arguments in its own way."""
        # A class may have the name of its base: `class Formatter(logging.Formatter)`.
        seen = set[str]()
        while name in self._classes and name not in CARRIERS | seen:
            seen.add(name)
            node = self._classes[name]
            if any(isinstance(one, Function) and one.name == "__init__" for one in node.body):
                return True
            name = next((_last(base) for base in node.bases), "")
        return False

    def _scopes(self, call: Call, parts: tuple[ast.expr, ...], depth: int) -> Iterator[Scope]:
        """What names hold at a call: one scope for each caller, where it depends on callers."""
        if call.function is None:
            yield call.module.scope
            return
        own = _reaching(call.function, call.node, call.module.scope)
        parameters = {argument.arg for argument in _parameters(call.function)}
        if depth == 0 or not _names(parts, own) & parameters - own.keys():
            yield own
            return
        callers = [site for site in self._callers(call) if site.function is not call.function]
        if not callers:
            yield own
        for site in callers:
            bound = _bind(call.function, site.node)
            for outer in self._scopes(site, tuple(bound.values()), depth - 1):
                given = {name: _one(value, outer) for name, value in bound.items()}
                yield _reaching(call.function, call.node, {**call.module.scope, **given})

    def _callers(self, call: Call) -> list[Call]:
        """Calls of the function around a call; those of a private one in its module only."""
        assert call.function is not None
        is_constructor = call.function.name == "__init__" and call.owner is not None
        name = call.owner.name if is_constructor and call.owner else call.function.name
        is_method = call.owner is not None and not is_constructor
        return [
            site
            for site in self._calls.get(name, [])
            if (site.module is call.module or not name.startswith("_"))
            and (isinstance(site.node.func, ast.Attribute) or not is_method)
        ]


# Reading expressions


def _texts(parts: tuple[ast.expr, ...], scope: Scope) -> set[tuple[str, ...]]:
    """The texts of all parts together, for every combination of choices."""
    choices: dict[str, int] = {}
    for part in parts:
        _collect(part, scope, choices)
    combinations = itertools.product(*(range(count) for count in choices.values()))
    return {
        tuple(_text(part, scope, dict(zip(choices, taken, strict=True))) for part in parts)
        for taken in itertools.islice(combinations, MAX_COMBINATIONS)
    }


def _collect(node: ast.expr, scope: Scope, choices: dict[str, int]) -> None:
    """Note every choice that a text depends on, with the number of its options."""
    for piece in _pieces(node):
        _collect(piece, scope, choices)
    options = _options(node, scope)
    if len(options.items) > 1:
        choices[options.key] = max(len(options.items), choices.get(options.key, 0))
    for item, inner in options.items:
        if item is not node:
            _collect(item, inner, choices)


def _text(node: ast.expr, scope: Scope, taken: dict[str, int]) -> str:
    """The text of an expression under the choices that were taken."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Attribute(value=ast.Name(id="ReasonCode"), attr=name):
            return name
        case ast.JoinedStr(values=pieces):
            return "".join(_text(piece, scope, taken) for piece in pieces)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, scope, taken) + _text(right, scope, taken)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(form)), attr="format")):
            text = _text(node.args[0], scope, taken)
            return form.replace("{}", text) if text else ""
    options = _options(node, scope)
    if not options.items:
        return UNKNOWN
    item, inner = options.items[taken.get(options.key, 0) % len(options.items)]
    return UNKNOWN if item is node else _text(item, inner, taken)


def _pieces(node: ast.expr) -> list[ast.expr]:
    """The expressions that all stand in the text of `node`."""
    match node:
        case ast.JoinedStr(values=pieces):
            return pieces
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [left, right]
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="format"), args=arguments):
            return arguments
    return []


def _options(node: ast.expr, scope: Scope) -> Options:
    """The expressions of which one is the text of `node`."""
    match node:
        case ast.Name(id=name):
            return scope.get(name, Options("", ()))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return Options(ast.unparse(test), ((body, scope), (orelse, scope)))
        case ast.BoolOp(values=parts):
            return Options(ast.unparse(node), tuple((part, scope) for part in parts))
        case ast.Subscript(value=base, slice=ast.Constant(value=int(place))):
            return _cells(_options(base, scope), place)
        case ast.Subscript(value=base, slice=key) if table := _table(base, scope):
            return Options(ast.unparse(key), tuple((item, scope) for item in table.values))
        case ast.Call(func=ast.Attribute(base, "get"), args=[key, other]) if table := _table(
            base, scope
        ):
            items = (*table.values, other)
            return Options(ast.unparse(key), tuple((item, scope) for item in items))
        case ast.Call(func=ast.Attribute(value=inner, attr="strip" | "rstrip")):
            return Options("", ((inner, scope),))
        case ast.FormattedValue(value=inner):
            return Options("", ((inner, scope),))
    return Options("", ())


def _table(node: ast.expr, scope: Scope) -> ast.Dict | None:
    """The literal dictionary that an expression is or names."""
    if isinstance(node, ast.Name) and len(scope.get(node.id, Options("", ())).items) == 1:
        node = scope[node.id].items[0][0]
    return node if isinstance(node, ast.Dict) else None


def _cells(rows: Options, place: int) -> Options:
    """One cell of each row that is a tuple."""
    cells = (
        (
            row.elts[place] if isinstance(row, ast.Tuple) and place < len(row.elts) else NOTHING,
            scope,
        )
        for row, scope in rows.items
    )
    return Options(rows.key, tuple(cells))


def _names(parts: tuple[ast.expr, ...], scope: Scope) -> set[str]:
    """Names that the texts of `parts` depend on, variables followed."""
    found: set[str] = set()
    left = list(parts)
    while left:
        for node in ast.walk(left.pop()):
            if isinstance(node, ast.Name) and node.id not in found:
                found.add(node.id)
                left += [item for item, _ in scope.get(node.id, Options("", ())).items]
    return found


# Reading functions


def _reaching(function: Function, target: ast.Call, outer: Scope) -> Scope:
    """What names hold when a function comes to a call in it."""
    scope = dict(outer)
    _walk(function.body, target, scope, outer)
    return scope


def _walk(body: list[ast.stmt], target: ast.Call, scope: Scope, outer: Scope) -> None:
    """Follow assignments up to `target`, or to the end of `body` where it is not in there."""
    for statement in body:
        blocks = _blocks(statement)
        inside = [block for block in blocks if _holds(block, target)]
        if isinstance(statement, ast.For):
            _bind_rows(statement, scope)
        if inside:
            _walk(inside[0], target, scope, outer)
            return
        if _holds([statement], target):
            return
        if blocks:
            _merge(statement, blocks, target, scope, outer)
        for name, value in _assigned(statement):
            scope[name] = _one(value, {**scope})


def _merge(
    statement: ast.stmt, blocks: list[list[ast.stmt]], target: ast.Call, scope: Scope, outer: Scope
) -> None:
    """After a statement with blocks a name may hold what any block that goes on left in it."""
    before, ends = dict(scope), []
    for block in blocks:
        if not isinstance(block[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
            end = dict(before)
            _walk(block, target, end, outer)
            ends.append(end)
    if not (isinstance(statement, ast.If) and statement.orelse):
        ends.append(before)
    for name in sorted({name for end in ends for name in end}):
        held = [end[name].items for end in ends if name in end]
        items = {id(item): (item, inner) for items in held for item, inner in items}
        if len(items) > 1 or name not in before:
            scope[name] = Options(f"{name} in line {statement.lineno}", tuple(items.values()))


def _bind_rows(statement: ast.For, scope: Scope) -> None:
    """A loop over a literal table: its names hold the cells of one row together."""
    table = statement.iter
    if isinstance(table, ast.Name) and len(scope.get(table.id, Options("", ())).items) == 1:
        table = scope[table.id].items[0][0]
    names = statement.target.elts if isinstance(statement.target, ast.Tuple) else []
    rows = [row for row in getattr(table, "elts", []) if isinstance(row, ast.Tuple)]
    if names and rows and all(len(row.elts) == len(names) for row in rows):
        for place, name in enumerate(names):
            cells = tuple((row.elts[place], scope) for row in rows)
            scope[_last(name)] = Options(f"row in line {statement.lineno}", cells)


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    holders = [
        statement,
        *getattr(statement, "handlers", []),
        *getattr(statement, "cases", []),
    ]
    if isinstance(statement, Function | ast.ClassDef):
        return []
    blocks = [getattr(one, name, []) for one in holders for name in ("body", "orelse", "finalbody")]
    return [block for block in blocks if block]


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        yield _last(statement.target), statement.value
    if isinstance(statement, ast.Assign):
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Tuple):
            for place, one in enumerate(target.elts):
                if not isinstance(value, ast.Tuple):
                    yield _last(one), ast.Subscript(value, ast.Constant(place), ast.Load())
                elif place < len(value.elts):
                    yield _last(one), value.elts[place]
        elif isinstance(target, ast.Name):
            yield target.id, value


def _holds(block: list[ast.stmt], target: ast.Call) -> bool:
    return any(node is target for statement in block for node in ast.walk(statement))


def _parameters(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _bind(function: Function, call: ast.Call) -> dict[str, ast.expr]:
    """The arguments of a call by the names of the function's parameters, defaults included."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    defaults = function.args.defaults
    bound: dict[str, ast.expr] = dict(
        zip(names[len(names) - len(defaults) :], defaults, strict=True)
    )
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if default is not None:
            bound[argument.arg] = default
    names = names[1:] if names[:1] in (["self"], ["cls"]) else names
    bound.update(zip(names, call.args, strict=False))
    bound.update({word.arg: word.value for word in call.keywords if word.arg})
    return bound


# Reading modules


def _module(root: Path, path: Path) -> Module:
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    module = Module(name, ast.parse(path.read_text("utf-8"), str(path)))
    for statement in module.tree.body:
        for constant, value in _assigned(statement):
            if constant.isupper():
                module.scope[constant] = _one(value, module.scope)
    module.calls = list(_calls(module.tree, None, None, module))
    return module


def _calls(
    node: ast.AST, function: Function | None, owner: ast.ClassDef | None, module: Module
) -> Iterator[Call]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield Call(child, function, owner, module)
        if isinstance(child, Function):
            yield from _calls(child, child, owner, module)
        elif isinstance(child, ast.ClassDef):
            yield from _calls(child, None, child, module)
        else:
            yield from _calls(child, function, owner, module)


def _parts(carrier: str, call: ast.Call) -> tuple[ast.expr, ast.expr, ast.expr]:
    """Code, message and remedy as the carrier takes them."""
    if carrier == "RefusedFileError":  # its messages are in a table
        return NOTHING, NOTHING, NOTHING
    named = {word.arg: word.value for word in call.keywords}
    given = [*(call.args[1:] if carrier == "RefusedInput" else call.args), *[NOTHING] * 5]
    remedy = named.get("remedy", given[2])
    if carrier == "RefusedInput":
        remedy = NOTHING
    if carrier == "Reason":
        form = ast.Attribute(ast.Constant("Change the setting `{}`."), "format", ast.Load())
        remedy = ast.Call(form, [named.get("setting", given[4])], [])
    return named.get("code", given[0]), named.get("message", given[1]), remedy


def _tables(module: Module) -> Iterator[Raised]:
    """Tables from a code to carrier, message and remedy, and that of the messages about files."""
    classes = {node.name for node in module.tree.body if isinstance(node, ast.ClassDef)}
    for statement in module.tree.body:
        for _, table in _assigned(statement):
            if isinstance(table, ast.Dict):
                for key, item in zip(table.keys, table.values, strict=True):
                    code = _text(key, {}, {}) if key is not None else ""
                    cells = item.args if isinstance(item, ast.Call) else getattr(item, "elts", [])
                    if cells and _last(cells[0]) in CARRIERS:
                        message, remedy = (_text(part, module.scope, {}) for part in cells[1:3])
                        yield Raised(code, _last(cells[0]), message, remedy, module.name)
                    elif "RefusedFileError" in classes and _is_code(code):
                        message = _text(item, module.scope, {})
                        yield Raised(code, "RefusedFileError", message, "", module.name)


def _judged(module: Module) -> Iterator[Raised]:
    """Codes of a judge about a group's member: `verdict(device, "CODE")`."""
    for call in module.calls:
        if _last(call.node.func) == VERDICT and len(call.node.args) == 2:
            code = _text(call.node.args[1], module.scope, {})
            if _is_code(code):
                yield Raised(code, "Verdict", "", "", module.name)


def _one(value: ast.expr, scope: Scope) -> Options:
    return Options("", ((value, scope),))


def _is_code(text: str) -> bool:
    return len(text) > 1 and text.isupper() and text.replace("_", "").isalnum()


def _last(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
