"""What can be left out of the monitor's source: a statement, a check with its refusal, one side of an `and` or `or`."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_CHARACTERS: Final = 90
KEPT: Final = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.AnnAssign, ast.Pass, ast.Return)


@dataclass(frozen=True)
class SourcePart:
    """Bytes start..end of a file, and what stands there without the part; `name` is the same when lines move."""

    file: str
    name: str
    start: int
    end: int
    instead: str

    def left_out(self, root: Path) -> str:
        """The text of the file without the part."""
        text = (root / self.file).read_bytes()
        return (text[: self.start] + self.instead.encode() + text[self.end :]).decode()


def source_parts(root: Path, file: str) -> list[SourcePart]:
    """Every part of a file, in the order of the text, with a number where one name occurs twice."""
    text = (root / file).read_text("utf-8")
    found = sorted(_Finder(file, text).parts(), key=lambda part: (part.start, part.name))
    seen: Counter[str] = Counter()
    numbered: list[SourcePart] = []
    for part in found:
        seen[part.name] += 1
        name = part.name if seen[part.name] == 1 else f"{part.name} ({seen[part.name]})"
        numbered.append(SourcePart(file, name, part.start, part.end, part.instead))
    return numbered


@dataclass(frozen=True)
class _Finder:
    file: str
    text: str

    def parts(self) -> Iterator[SourcePart]:
        for function in ast.walk(ast.parse(self.text)):
            if isinstance(function, ast.FunctionDef):
                yield from self._of_block(function.name, function.body)

    def _of_block(self, function: str, block: list[ast.stmt]) -> Iterator[SourcePart]:
        for statement in block:
            if isinstance(statement, KEPT) or _is_local(statement):
                yield from self._operands(function, statement)
                continue
            if not _is_docstring(statement):
                yield self._part(function, statement, "pass")
            yield from self._operands(function, statement)
            if not _is_guard(statement):
                handlers = [s for handler in getattr(statement, "handlers", []) for s in handler.body]
                for inner in (getattr(statement, "body", []), getattr(statement, "orelse", []), handlers):
                    yield from self._of_block(function, inner)

    def _operands(self, function: str, statement: ast.stmt) -> Iterator[SourcePart]:
        tests = [n for n in ast.iter_child_nodes(statement) if isinstance(n, ast.expr)]
        for node in (n for test in tests for n in ast.walk(test) if isinstance(n, ast.BoolOp)):
            for number in range(len(node.values)):
                rest = [self._source(v) for i, v in enumerate(node.values) if i != number]
                joined = (" or " if isinstance(node.op, ast.Or) else " and ").join(rest)
                yield self._part(function, node, f"({joined})", f" without {self._source(node.values[number])}")

    def _part(self, function: str, node: ast.stmt | ast.expr, instead: str, suffix: str = "") -> SourcePart:
        what = " ".join(self._source(node).split())
        short = what if len(what) <= MOST_CHARACTERS else f"{what[:MOST_CHARACTERS]}..."
        start, end = self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)
        return SourcePart(self.file, f"{self.file} {function}: {short}{suffix}", start, end, instead)

    def _source(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or ""

    def _at(self, line: int | None, column: int | None) -> int:
        lines = self.text.encode().splitlines(keepends=True)
        return sum(map(len, lines[: (line or 1) - 1])) + (column or 0)


def _is_local(statement: ast.stmt) -> bool:
    """It only names a value for what follows; without it the code does not run."""
    names = (ast.Name, ast.Tuple)
    return isinstance(statement, ast.Assign) and all(isinstance(target, names) for target in statement.targets)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and len(statement.body) == 1 and isinstance(statement.body[0], ast.Raise)
