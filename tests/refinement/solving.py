"""What claims the solver does not prove, for tests."""

from __future__ import annotations

from collections.abc import Iterable

import z3

from refinement.engine.obligations import Claim

RLIMIT = 60_000_000


def unproved(claims: Iterable[Claim], at_most: int = 1000) -> list[str]:
    """The names of the first claims that are not proved."""
    found: list[str] = []
    for claim in claims:
        if claim.evident:
            continue
        solver = z3.SimpleSolver(ctx=z3.Context())
        solver.set("rlimit", RLIMIT)
        solver.from_string(claim.text)
        if solver.check() != z3.unsat:
            found.append(claim.name)
            if len(found) >= at_most:
                break
    return found
