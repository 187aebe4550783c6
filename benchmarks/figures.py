"""Measure the figures of the design: `python -m benchmarks.figures` writes benchmarks/figures.json and prints a table.

Seconds are CPU seconds of all processes unless they are called wall.  The peers of these figures cannot be installed
from the package indexes (TAP: about 510 CPU-seconds on this kind of machine for its core theorems; Hyperkernel: 50
calls in 15 minutes on 8 cores); they are cited as published and no ratio is computed.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "ringfence"]


@dataclass(frozen=True)
class Run:
    """One command: exit code, rows, CPU and wall seconds, largest resident set of a process in MiB."""

    code: int
    rows: list[dict[str, object]]
    cpu: float
    wall: float
    memory: float


def ringfence(*arguments: str) -> Run:
    """Run the command with --json and measure it."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([*COMMAND, *arguments, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rows = json.loads(done.stdout)["results"] if done.stdout else []
    return Run(done.returncode, rows, cpu, time.monotonic() - started, after.ru_maxrss / 1024)


def calls_per_second() -> dict[str, float]:
    """Successful calls of the reference monitor on one core, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calls"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def edited(file: Path, ledger: str, *arguments: str) -> Run:
    """The command after a change of the effect of one action, which is then put back."""
    text = file.read_text(encoding="utf-8")
    changed = text.replace("\n    s.life[e] = Life.INITIALIZED", "\n    s.life[e] = Life.TRY_DESTROY", 1)
    if changed == text:
        raise ValueError(f"{file} no longer contains the line that the measurement edits")
    try:
        file.write_text(changed, encoding="utf-8")
        return ringfence(*arguments, "--ledger", ledger)
    finally:
        file.write_text(text, encoding="utf-8")


def measure() -> dict[str, float | str]:
    """Every figure by name."""
    figures: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as ledger:
        prove = ringfence("prove", "--fresh", "--ledger", ledger)
        battery = [r for r in prove.rows if r["kind"] != "obligation"]
        model = [r for r in prove.rows if r["kind"] == "obligation"]
        figures["model: obligations"] = len(model)
        figures["model: solver CPU seconds, cold"] = _seconds(model)
        figures["model and battery: all CPU seconds, cold"] = round(prove.cpu, 1)
        figures["battery: rows"] = len(battery)
        again = ringfence("prove", "--ledger", ledger)
        figures["model and battery: wall seconds, unchanged"] = round(again.wall, 2)
        only = [f"--theorem={t}" for t in ("T1", "T2", "T3", "T3c", "T4", "T8")]
        file = ROOT / "model" / "hyperenclave" / "actions" / "initialize.py"
        figures["theorems: wall seconds, one action edited"] = round(edited(file, ledger, "prove", *only).wall, 2)
        refine = ringfence("refine", "--fresh", "--ledger", ledger)
        figures["T9 and T9h: obligations"] = len(refine.rows)
        figures["T9 and T9h: all CPU seconds, cold"] = round(refine.cpu, 1)
        figures["largest process in MiB"] = round(max(prove.memory, refine.memory), 0)
        figures["exit codes"] = f"prove {prove.code}, refine {refine.code}"
    figures.update(calls_per_second())
    return figures


def _seconds(rows: list[dict[str, object]]) -> float:
    return round(sum(float(str(r["cpu_seconds"])) for r in rows), 1)


def main() -> None:
    """Measure, print, and keep."""
    figures = measure()
    table = Table("figure", "measured")
    for name, value in figures.items():
        table.add_row(name, str(value))
    Console().print(table)
    (ROOT / "benchmarks" / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
