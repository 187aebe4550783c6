"""Measure the figures of the workbench: `python -m benchmarks.figures` prints them and writes figures.json.

It proves everything from nothing twice over, so it takes long, and nothing else should run meanwhile; the names of
groups (monitor, model, refinement, bugs) as arguments measure only these.  Each figure stands beside the command that
it measures and the goal that it is to meet.  CPU seconds are those of all processes of
the command, wall seconds those of a clock.  Commands share one ledger in the order of the table, so that "unchanged"
means just that.  The peers of these figures cannot be installed from the package indexes (TAP: about 510 CPU-seconds
on this kind of machine for its core theorems; Hyperkernel: 50 calls in 15 minutes on 8 cores); they are cited as
published and no ratio is computed.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "ringfence"]
MODEL = ("T1", "T2", "T3", "T3c", "T4", "T8")
FILE = ROOT / "benchmarks" / "figures.json"
EXPECTATIONS = ROOT / "tests" / "weakenings" / "expectations.toml"
ACTION = ROOT / "model" / "hyperenclave" / "actions" / "initialize.py"
HANDLER = ROOT / "impl" / "monitor" / "handlers" / "initialize.py"


@dataclass(frozen=True)
class Figure:
    """One row: what was measured by which command, and the goal; both in `unit`."""

    figure: str
    measured: float
    unit: str
    goal: str
    command: str


@dataclass(frozen=True)
class Run:
    """One command: exit code, rows, CPU and wall seconds; memory: of the largest process so far, in MiB."""

    command: str
    code: int
    rows: list[dict[str, object]]
    cpu: float
    wall: float
    memory: float


def ringfence(ledger: str, *arguments: str) -> Run:
    """Run the command with --json and measure it; a run that ends with an error of its own stops everything."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    whole = [*COMMAND, *arguments, "--ledger", ledger, "--json"]
    done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode > 2:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    command = " ".join(["ringfence", *(f"'{a}'" if " " in a else a for a in arguments)])
    return Run(command, done.returncode, json.loads(done.stdout)["results"], cpu, wall, after.ru_maxrss / 1024)


@contextmanager
def edited(file: Path, old: str, new: str) -> Iterator[None]:
    """The file with the only occurrence of `old` replaced; it is put back in the end."""
    text = file.read_text("utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{file} no longer contains once what the measurement edits")
    try:
        file.write_text(text.replace(old, new), "utf-8")
        yield
    finally:
        file.write_text(text, "utf-8")


def of_the_model(ledger: str) -> Iterator[Figure]:
    """T1 to T8: cold, without change, after a change of one action."""
    only = [f"--theorem={theorem}" for theorem in MODEL]
    cold = ringfence(ledger, "prove", "--fresh", *only)
    yield Figure("theorems on the model, cold", cold.cpu, "CPU seconds", "60, at most 120", cold.command)
    yield Figure("their obligations", len(cold.rows), "rows", "", cold.command)
    again = ringfence(ledger, "prove", *only)
    yield Figure("the same, unchanged", again.wall, "wall seconds", "2", again.command)
    with edited(ACTION, "s.life[e] = Life.INITIALIZED", "s.life[e] = Life.TRY_DESTROY"):
        changed = ringfence(ledger, "prove", *only)
    yield Figure("the same, one action changed", changed.wall, "wall seconds", "10", changed.command)
    battery = ringfence(ledger, "prove", "--fresh")
    yield Figure("theorems and battery, cold", battery.cpu, "CPU seconds", "", battery.command)


def of_the_refinement(ledger: str) -> Iterator[Figure]:
    """T9 and T9h: cold, the slowest entry, without change (and all theorems), after a change of one handler; memory."""
    cold = ringfence(ledger, "refine", "--fresh")
    yield Figure("T9 and T9h, cold", cold.cpu / 60, "CPU minutes", "20", cold.command)
    yield Figure("their obligations", len(cold.rows), "rows", "", cold.command)
    solving: dict[str, float] = defaultdict(float)
    for row in cold.rows:
        solving[str(row["id"]).split("/path-")[0]] += float(str(row["cpu_seconds"]))
    slowest = max(solving, key=lambda name: solving[name])
    yield Figure(f"solving for the slowest, {slowest}", solving[slowest] / 60, "CPU minutes", "5", cold.command)
    again = ringfence(ledger, "refine")
    yield Figure("the same, unchanged", again.wall, "wall seconds", "2", again.command)
    ringfence(ledger, "check")
    whole = ringfence(ledger, "check")
    yield Figure("everything, unchanged", whole.wall, "wall seconds", "2", whole.command)
    with edited(HANDLER, "difference | (measured[k] ^ expected[k])", "(measured[k] ^ expected[k]) | difference"):
        changed = ringfence(ledger, "refine", "--action", "initialize")
    yield Figure("one handler changed", changed.wall, "wall seconds", "its own cold time", changed.command)
    alone = ringfence(ledger, "refine", "--fresh", "--action", "initialize")
    yield Figure("that handler, cold", alone.wall, "wall seconds", "", alone.command)
    yield Figure("largest process", alone.memory, "MiB", "2048", "all of the above")


def of_seeded_bugs() -> Iterator[Figure]:
    """From a weakening to a counterexample with values, in a ledger of its own, for those that tests try always."""
    table = tomllib.loads(EXPECTATIONS.read_text("utf-8"))
    for kind, verb in (("model", "prove"), ("refinement", "refine")):
        times: list[float] = []
        for row in (row for row in table[kind] if row.get("quick", False)):
            with tempfile.TemporaryDirectory() as ledger:
                run = ringfence(ledger, verb, "--weaken", row["slug"], "--id", row["obligation"])
            if run.code != 1 or not run.rows[0]["values"]:
                raise RuntimeError(f"{row['slug']} has no counterexample")
            times.append(run.wall)
        command = f"ringfence {verb} --weaken SLUG --id OBLIGATION"
        yield Figure(
            f"seeded bug, {kind}, median of {len(times)}", statistics.median(times), "wall seconds", "5", command
        )


def of_the_monitor() -> Iterator[Figure]:
    """Successful calls of the reference monitor on one core, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.calls"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name, value in json.loads(done.stdout).items():
        goal = "50000" if name.startswith("one-pointer") else ""
        yield Figure(name, value, "per second", goal, "python -m benchmarks.calls")


def in_a_ledger(measure: Callable[[str], Iterator[Figure]]) -> Iterator[Figure]:
    """The figures of commands that share a ledger, which is theirs alone."""
    with tempfile.TemporaryDirectory() as ledger:
        yield from measure(ledger)


GROUPS: dict[str, Callable[[], Iterator[Figure]]] = {
    "monitor": of_the_monitor,
    "model": lambda: in_a_ledger(of_the_model),
    "refinement": lambda: in_a_ledger(of_the_refinement),
    "bugs": of_seeded_bugs,
}


def main(names: list[str]) -> None:
    """Measure these groups (default: all), print each figure as it comes, and keep a group when it is complete."""
    if not set(names) <= set(GROUPS):
        sys.exit(f"The groups are {', '.join(GROUPS)}.")
    kept: dict[str, list[dict[str, object]]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    for name in names or GROUPS:
        figures: list[Figure] = []
        for f in GROUPS[name]():
            print(
                f"{f.figure}: {f.measured:.2f} {f.unit}{f' (goal {f.goal})' if f.goal else ''}   {f.command}",
                flush=True,
            )
            figures.append(f)
        kept[name] = [asdict(f) | {"measured": round(f.measured, 2)} for f in figures]
        FILE.write_text(json.dumps({group: kept[group] for group in GROUPS if group in kept}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
