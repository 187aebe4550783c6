"""What claims the solver does not prove, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import z3

from refinement.engine.obligations import Claim

RLIMIT = 60_000_000


def failing(claims: Iterable[Claim]) -> Iterator[tuple[str, z3.CheckSatResult]]:
    """The claims that are not proved, each with the solver's answer."""
    for claim in claims:
        if claim.evident:
            continue
        solver = z3.SimpleSolver(ctx=z3.Context())
        solver.set("rlimit", RLIMIT)
        solver.from_string(claim.text)
        answer = solver.check()
        if answer != z3.unsat:
            yield claim.name, answer


def unproved(claims: Iterable[Claim], at_most: int = 1000) -> list[str]:
    """The names of the first claims that are not proved."""
    return [name for name, _ in islice(failing(claims), at_most)]
