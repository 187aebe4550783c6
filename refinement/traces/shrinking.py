"""Make a failing trace smaller: leave out stretches of steps, long ones first, as long as the rest still fails."""

from __future__ import annotations

from dataclasses import dataclass, replace

from refinement.traces.replay import Booted, DivergenceError, Replay
from refinement.traces.trace import Trace


@dataclass(frozen=True)
class Failing:
    """A trace after whose last step monitor and model differ, and how."""

    trace: Trace
    divergence: DivergenceError


def failing(trace: Trace, booted: Booted) -> Failing | None:
    """The trace up to the step after which monitor and model differ; None if they agree throughout."""
    replaying = Replay(booted)
    for number, step in enumerate(trace.steps, 1):
        try:
            replaying.step(step)
        except DivergenceError as divergence:
            return Failing(replace(trace, steps=trace.steps[:number]), divergence)
    return None


def shrunk(trace: Trace, booted: Booted, most: int) -> Failing:
    """A failing trace of which no single step can be left out, or what `most` further replays have come to."""
    best = failing(trace, booted)
    if best is None:
        raise ValueError("a trace that does not fail cannot be made smaller")
    length = max(1, len(best.trace.steps) // 2)
    while most > 0:
        smaller, tried = _without(best, booted, length, most)
        most -= tried
        if smaller is best and length == 1:
            break
        best, length = smaller, max(1, min(length // 2, len(smaller.trace.steps) // 2))
    return best


def _without(best: Failing, booted: Booted, length: int, most: int) -> tuple[Failing, int]:
    """Try to leave out each stretch of this length once, from the end; how many replays that took."""
    tried, start = 0, len(best.trace.steps) - length
    while start > -length and tried < most:
        steps = best.trace.steps
        first = max(0, start)
        found = failing(replace(best.trace, steps=(*steps[:first], *steps[first + length :])), booted)
        tried += 1
        if found is not None:
            best = found
        start = min(first, len(best.trace.steps)) - length
    return best, tried
