"""Which lines of the monitor were executed: the same for a symbolic run and for the concrete one that follows it.

Lines of functions that are used by contract, and of what these call, are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import impl.monitor

FOLDER: Final = str(Path(impl.monitor.__file__).resolve().parent)
Line = tuple[str, int]
"""File below `impl/monitor` and line number."""
Trace = Callable[[FrameType, str, Any], Any]


class Recorder:
    """Records lines while it looks on; `hidden` are functions whose lines do not count."""

    def __init__(self, hidden: Iterable[Callable[..., Any]]) -> None:
        self._hidden = {code for f in hidden if isinstance(code := getattr(f, "__code__", None), CodeType)}
        self._covered = 0
        self.lines: list[Line] = []

    @contextmanager
    def watching(self) -> Generator[None]:
        """Record the lines that the body executes."""
        earlier = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(earlier)

    @property
    def is_covered(self) -> bool:
        """Nothing is recorded at present."""
        return self._covered > 0

    @contextmanager
    def covered(self) -> Generator[None]:
        """Record nothing of the body."""
        self._covered += 1
        try:
            yield
        finally:
            self._covered -= 1

    def _called(self, frame: FrameType, _: str, __: object) -> Trace | None:
        code = frame.f_code
        if self._covered or code in self._hidden or not code.co_filename.startswith(FOLDER):
            return None
        return self._line

    def _line(self, frame: FrameType, event: str, _: object) -> Trace:
        if event == "line":
            self.lines.append((frame.f_code.co_filename[len(FOLDER) + 1 :], frame.f_lineno))
        return self._line


def first_difference(ours: list[Line], theirs: list[Line]) -> tuple[str, str] | None:
    """Where two records part, as `file:line` or "the end" on each side."""
    for place in range(max(len(ours), len(theirs))):
        a, b = (side[place] if place < len(side) else None for side in (ours, theirs))
        if a != b:
            return _text(a), _text(b)
    return None


def _text(line: Line | None) -> str:
    return "the end" if line is None else f"{line[0]}:{line[1]}"
