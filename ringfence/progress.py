"""How far a run has come, on a terminal's error stream; silent everywhere else."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from proofs.results import Result


class Live:
    """A bar that moves with expected CPU seconds, so that its time to go means something."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("to go"),
            TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._rows = self._bad = 0
        self._part = 0.0  # CPU seconds of rows of jobs that are not over, which already moved the bar

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, expected: float, jobs: int, workers: int) -> None:
        """Start a new bar if there is anything to do."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        if jobs:
            self._task = self._progress.add_task(self._words(), total=max(expected, 0.001))
        self._part = 0.0
        del workers

    def row(self, result: Result) -> None:
        """Count a row."""
        self._rows += 1
        self._bad += not result.holds
        if self._task is not None:
            self._part += result.cpu_seconds
            self._progress.update(self._task, description=self._words(), advance=result.cpu_seconds)

    def finished(self, expected: float) -> None:
        """Move the bar to where the job was expected to take it."""
        if self._task is not None:
            self._progress.advance(self._task, expected - min(self._part, expected))
            self._part = max(0.0, self._part - expected)

    def _words(self) -> str:
        return f"{self._rows} rows" + (f", {self._bad} do not hold" if self._bad else "")
