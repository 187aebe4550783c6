"""T9 by test: saved, kept and generated traces, each step on the monitor and in the model."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from impl.machine.primitives import NestedFormat
from proofs.obligation import COVERAGE, Call, Finding, Json, Unit
from refinement.traces import coverage
from refinement.traces.author import Author
from refinement.traces.generator import Adversary
from refinement.traces.photograph import after, write
from refinement.traces.replay import Booted, DivergenceError, Replay, Taken, boot, replay
from refinement.traces.shrinking import Failing, shrunk
from refinement.traces.trace import STANDARD, Trace, load

KIND: Final = "replay"
THEOREM: Final = "T9"
FOLDER: Final = Path(__file__).resolve().parent.parent / "traces"
KEPT_VARIABLE: Final = "RINGFENCE_TRACES"
SEEDS: Final = (1, 2)
EXAMPLES: Final = 8
DEEDS: Final = 30
SHRINKS: Final = 200
"""Replays that may be tried to make a failing trace smaller."""
ENOUGH: Final = 0.3
WORDS: Final = (
    "After each step of the trace, monitor and model agree on outcome and state, all invariants hold, and no observer "
    "sees what it must not see."
)


def units() -> list[Unit]:
    """Kept traces first, then those of the repository, then one unit for each seed."""
    target = "refinement.replay_units"
    return [
        _unit("replay/kept", Call(f"{target}:kept"), "replay/kept", "replay/kept/*", first=True),
        _unit("replay/saved", Call(f"{target}:saved"), "replay/saved/*", "replay/coverage"),
        *(_unit(f"replay/seed-{n}", Call(f"{target}:generated", {"seed": n}), f"replay/seed-{n}") for n in SEEDS),
    ]


def _unit(name: str, call: Call, *yields: str, first: bool = False) -> Unit:
    return Unit(name, (THEOREM,), call, yields=yields, first=first)


def file_findings(path: str, photograph: str = "") -> list[Finding]:
    """Replay one trace from a file; `BadInputError` if it is not a trace.

    photograph: a folder for the state that the monitor's machine is in after the trace, whatever the replay finds.
    """
    trace = load(Path(path))
    if photograph:
        write(after(trace), Path(photograph))
    return [_replayed(f"replay/file/{Path(path).name}", trace)[0]]


def kept() -> Iterator[Finding]:
    """The traces that failed before; it is a result too that there is none."""
    folder = os.environ.get(KEPT_VARIABLE)
    paths = sorted(Path(folder).glob("*.json")) if folder else []
    for path in paths:
        yield _replayed(f"replay/kept/{path.stem}", load(path))[0]
    words = "Every trace that failed in an earlier run is replayed first."
    yield _finding("replay/kept", words, "TESTED", f"{len(paths)} traces", {"traces": len(paths)})


def saved() -> Iterator[Finding]:
    """The traces of the repository, and which outcomes of which calls they reach."""
    taken: list[Taken] = []
    for path in sorted(FOLDER.glob("*.json")):
        finding, steps = _replayed(f"replay/saved/{path.stem}", load(path))
        taken += steps
        yield finding
    yield _coverage(taken)


def _coverage(taken: list[Taken]) -> Finding:
    cells = coverage.count(taken)
    missed, strange = coverage.missing(cells), coverage.unknown(cells)
    share = coverage.succeeded(cells)
    words = f"The saved traces reach every outcome of every call, and at least {ENOUGH:.0%} of their steps succeed."
    unreachable: dict[str, Json] = {f"{name} {code}": why for (name, code), why in coverage.UNREACHABLE.items()}
    values: dict[str, Json] = {
        "handlers": coverage.table(cells), "succeeded": round(share, 3), "unreachable": unreachable,
    }  # fmt: skip
    if missed or strange or share < ENOUGH:
        reason = f"not reached: {missed}; not expected: {strange}; {share:.0%} of the steps succeed"
        return Finding("replay/coverage", COVERAGE, THEOREM, "", "", words, "UNKNOWN", reason=reason, values=values)
    steps = f"{sum(cells.values())} steps"
    return Finding("replay/coverage", COVERAGE, THEOREM, "", "", words, "TESTED", steps, values=values)


def generated(seed: int) -> Iterator[Finding]:
    """Traces of a nasty operating system; a failing one is shrunk, kept for the next run, and shown."""
    started = time.process_time()
    identifier, nested = f"replay/seed-{seed}", NestedFormat.EPT if seed % 2 else NestedFormat.NPT
    try:
        search = Search(boot(nested, STANDARD))
    except DivergenceError as divergence:
        yield _refuted(identifier, Trace((), "", nested), divergence)
        return
    failing = search.run(seed)
    if failing is not None:
        folder = os.environ.get(KEPT_VARIABLE)
        if folder:
            failing.trace.save(Path(folder) / f"seed-{seed}.json")
        yield _refuted(identifier, failing.trace, failing.divergence)
        return
    cells = coverage.count(search.taken)
    share = coverage.succeeded(cells)
    values: dict[str, Json] = {"handlers": coverage.table(cells), "succeeded": round(share, 3)}
    seconds, reason = time.process_time() - started, ""
    if share < ENOUGH:
        reason = f"only {share:.0%} of the steps succeed"
    steps = f"{sum(cells.values())} steps, seed {seed}"
    verdict = ("UNKNOWN", "") if reason else ("TESTED", steps)
    yield _finding(identifier, WORDS, *verdict, values, reason, seconds)


class Search:
    """Generated traces from one booted machine; `taken` are the steps of those that did not fail."""

    def __init__(self, booted: Booted) -> None:
        self._booted = booted
        self.taken: list[Taken] = []

    def run(self, seed: int) -> Failing | None:
        """Try a number of traces; the first one after which monitor and model differ, made small."""
        limits = settings(
            max_examples=EXAMPLES, database=None, deadline=None, phases=(Phase.generate,),
            suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much),
        )  # fmt: skip
        failing: list[Trace] = []

        def fails(data: st.DataObject) -> bool:
            found = self._attempt(data)
            if found is not None:
                failing.append(found)
            return found is not None

        try:
            find(st.data(), fails, settings=limits, random=random.Random(seed))
        except NoSuchExample:
            return None
        return shrunk(failing[0], self._booted, SHRINKS)

    def _attempt(self, data: st.DataObject) -> Trace | None:
        author = Author(Replay(self._booted))
        adversary = Adversary(author, data.draw)
        try:
            for _ in range(data.draw(st.integers(1, DEEDS))):
                adversary.deed()
        except DivergenceError:
            return author.trace("A generated trace that failed.")
        self.taken += author.replay.taken
        return None


def _replayed(identifier: str, trace: Trace) -> tuple[Finding, list[Taken]]:
    started = time.process_time()
    try:
        taken = replay(trace, thorough=False)
    except DivergenceError as divergence:
        return _refuted(identifier, trace, divergence), []
    count = len(taken)
    seconds = time.process_time() - started
    scope: dict[str, Json] = {"steps": count}
    return _finding(identifier, trace.words or WORDS, "TESTED", f"{count} steps", scope, "", seconds), taken


def _refuted(identifier: str, trace: Trace, divergence: DivergenceError) -> Finding:
    values: dict[str, Json] = {
        "step": divergence.number, "where": divergence.where, "monitor": divergence.monitor, "model": divergence.model,
        "trace": trace.to_json(),
    }  # fmt: skip
    return _finding(identifier, WORDS, "REFUTED", "reachable", values, divergence.sentence())


def _finding(
    identifier: str, words: str, verdict: str, qualifier: str, values: dict[str, Json], reason: str = "",
    seconds: float = 0.0,
) -> Finding:  # fmt: skip
    return Finding(
        identifier, KIND, THEOREM, "", "", words, verdict, qualifier, reason, values=values, cpu_seconds=seconds
    )
