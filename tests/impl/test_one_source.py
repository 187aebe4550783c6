"""The monitor and the modelled hardware use only what runs alike on integers and on symbolic values."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

IMPL = Path(__file__).resolve().parents[2] / "impl"
FILES = [*sorted((IMPL / "monitor").rglob("*.py")), IMPL / "machine" / "mmu.py", IMPL / "machine" / "iommu.py"]

BUILTINS = {"range", "tuple", "super"}  # all others know one of the two readings, or keep state
OBJECTS = {"machine", "call", "super()", "s"}  # beside modules that are imported: whose methods are called
SOURCES = {
    "s": ("machine.storage", "self.machine.storage"),
    "machine": ("self.machine",),
}  # all they stand for
OPERATORS = (ast.FloorDiv, ast.Div, ast.Mod, ast.Pow, ast.Invert, ast.In, ast.NotIn)
# State of Python's own would be carried from one step of a loop to the next, which a proof of one step does not see.
STATEMENTS = (
    ast.Global, ast.Nonlocal, ast.While, ast.JoinedStr, ast.Dict, ast.DictComp, ast.Set, ast.SetComp, ast.List,
    ast.ListComp, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Delete,
)  # fmt: skip
CONSTANT_SIZES = {"words"}  # parameters that every caller gives as a constant


def constant(node: ast.expr) -> bool:
    """A literal, a named constant, or a parameter that is always one."""
    if isinstance(node, ast.Name):
        return node.id.isupper() or node.id in CONSTANT_SIZES
    return isinstance(node, ast.Constant)


def stored(node: ast.Attribute | ast.Subscript) -> bool:
    """What is set is a word of the storage: `s.life[...]`, `machine.storage.memory[...]` or `field[...]`."""
    if not isinstance(node, ast.Subscript):
        return False
    field = node.value
    return ast.unparse(field.value if isinstance(field, ast.Attribute) else field) in ("s", "machine.storage", "field")


def identifies(node: ast.Compare) -> bool:
    """Identity is asked of what is one object under both readings: None, booleans and members of enumerations."""
    if not any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
        return True
    other = node.comparators[0]
    member = isinstance(other, ast.Attribute) and ast.unparse(other.value) in ENUMERATIONS
    constant = isinstance(other, ast.Constant) and (other.value is None or isinstance(other.value, bool))
    return len(node.comparators) == 1 and (member or constant)


def called(node: ast.Call, known: set[str]) -> bool:
    """The function is one of this file or of those it imports, or a method of the machine."""
    if isinstance(node.func, ast.Name):
        return node.func.id in known | BUILTINS
    if isinstance(node.func, ast.Attribute):
        return (not node.func.attr.startswith("__") and ast.unparse(node.func.value) in known | OBJECTS) or is_init(
            node
        )
    return False


def is_init(node: ast.Call) -> bool:
    """`super().__init__(...)`."""
    return ast.unparse(node.func) == "super().__init__"


def names_of(tree: ast.AST) -> set[str]:
    """Functions and classes that the file defines, and everything that it imports."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    found |= {a.asname or a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}
    return found | {"body"}  # the parameter of `each`


def bound(node: ast.Assign) -> bool:
    """Names that stand for the storage or the machine stand for nothing else."""
    targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(targets)
    names = [(t.id, ast.unparse(v)) for t, v in zip(targets, values, strict=True) if isinstance(t, ast.Name)]
    return all(name != "field" and value in SOURCES.get(name, (value,)) for name, value in names)


def parts_without_state(tree: ast.AST) -> Iterator[ast.AST]:
    """The parameters of a type such as `Callable[[Machine], None]`, and what `__init__` sets of a new object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Callable":
            yield from ast.walk(node.slice)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            yield from (t for s in node.body if isinstance(s, ast.Assign) for t in s.targets if is_own(t))


def is_own(target: ast.expr) -> bool:
    """An attribute of the new object itself."""
    return isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"


ENUMERATIONS = {"Code", "Kind", "NestedFormat"}


def complaints(tree: ast.AST) -> list[str]:
    """What the rules forbid, with line numbers."""
    found = list[str]()
    harmless = set(map(id, parts_without_state(tree)))
    known = names_of(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if id(node) in harmless:
            continue
        if isinstance(node, (*OPERATORS, *STATEMENTS)):
            found.append(f"{line}: {type(node).__name__}")
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load) and not stored(node):
            found.append(f"{line}: {ast.unparse(node)} is set")
        if isinstance(node, ast.Compare) and not identifies(node):
            found.append(f"{line}: {ast.unparse(node)}")
        if isinstance(node, ast.Assign) and not bound(node):
            found.append(f"{line}: {ast.unparse(node)}")
        if isinstance(node, ast.Call):
            if not called(node, known):
                found.append(f"{line}: {ast.unparse(node.func)}()")
            if ast.unparse(node.func) == "range" and not all(constant(a) for a in node.args):
                found.append(f"{line}: range over a value")
        if isinstance(node, ast.Import):
            found.append(f"{line}: {ast.unparse(node)}")
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in ALLOWED:
            found.append(f"{line}: {node.module}")
    return found


ALLOWED = {"__future__", "collections", "dataclasses", "enum", "impl", "typing"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(IMPL)))
def test_only_what_both_readings_understand(path: Path) -> None:
    assert complaints(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        "int(x)", "x in (1, 2)", "x // 2", "~x", "f'{x}'", "range(x)", "d = {}", "while x: pass", "from os import path",
        "done = [0]", "x is 4", "x is not LIMIT", "x is Other.MEMBER", "machine.seen = 1", "done[0] += 1", "t.s[0] = 1",
        "a is b is None", "setattr(machine, 'seen', 1)", "object.__setattr__(machine, 'seen', 1)",
        "machine.pending.append(1)",
        "machine.__dict__.update(seen=1)", "import collections", "globals()", "hasattr(x, 'term')", "s = other",
        "(yield)",
        "field = machine.loops", "s, e = other, 1", "del x", "(y := 1)", "{x for x in y}", "next(x)",
    ],
)  # fmt: skip
def test_the_rules_are_noticed(text: str) -> None:
    assert complaints(ast.parse(text))
