"""The monitor and the modelled hardware use only what runs alike on integers and on symbolic values."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

IMPL = Path(__file__).resolve().parents[2] / "impl"
FILES = [*sorted((IMPL / "monitor").rglob("*.py")), IMPL / "machine" / "mmu.py", IMPL / "machine" / "iommu.py"]

CALLS = {"int", "bool", "min", "max", "any", "all", "sum", "len", "isinstance", "sorted", "set", "dict", "list", "abs"}
OPERATORS = (ast.FloorDiv, ast.Div, ast.Mod, ast.Pow, ast.Invert, ast.In, ast.NotIn)
STATEMENTS = (ast.Global, ast.Nonlocal, ast.While, ast.JoinedStr, ast.Dict, ast.DictComp, ast.Set, ast.ListComp)
CONSTANT_SIZES = {"words"}  # parameters that every caller gives as a constant


def constant(node: ast.expr) -> bool:
    """A literal, a named constant, or a parameter that is always one."""
    if isinstance(node, ast.Name):
        return node.id.isupper() or node.id in CONSTANT_SIZES
    return isinstance(node, ast.Constant)


def complaints(tree: ast.AST) -> list[str]:
    """What the rules forbid, with line numbers."""
    found = list[str]()
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, (*OPERATORS, *STATEMENTS)):
            found.append(f"{line}: {type(node).__name__}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in CALLS:
                found.append(f"{line}: {node.func.id}()")
            if node.func.id == "range" and not all(constant(a) for a in node.args):
                found.append(f"{line}: range over a value")
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in ALLOWED:
            found.append(f"{line}: {node.module}")
    return found


ALLOWED = {"__future__", "collections", "dataclasses", "enum", "impl", "typing"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(IMPL)))
def test_only_what_both_readings_understand(path: Path) -> None:
    assert complaints(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "text",
    ["int(x)", "x in (1, 2)", "x // 2", "~x", "f'{x}'", "range(x)", "d = {}", "while x: pass", "from os import path"],
)
def test_the_rules_are_noticed(text: str) -> None:
    assert complaints(ast.parse(text))
