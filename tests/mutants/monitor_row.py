"""`python -m tests.mutants.monitor_row FILE NUMBER UNIT...`: the first obligation of these units that misses a part.

In a process of its own, because a part is left out while its module is imported.  Prints the obligation and how it
fails, or nothing; an execution that the symbolic engine cannot follow is missed as well, by the exception's name.
"""

from __future__ import annotations

import sys
from importlib import import_module

from proofs.obligation import Obligation, Unit
from proofs.solver import Z3Solver
from ringfence import weaken
from ringfence.wiring import ROOT
from tests.mutants.source_parts import source_parts


def missing(unit: Unit) -> str:
    """The first obligation of a unit that does not hold, or ""."""
    module, _, function = unit.make.target.partition(":")
    solver = Z3Solver()
    for item in getattr(import_module(module), function)(**unit.make.arguments):
        if isinstance(item, Obligation):
            answer = solver.solve(item.text, item.rlimit)
            if answer.status != item.expect:
                return f"{item.id} {answer.status}"
    return ""


def main(file: str, number: int, names: list[str]) -> str:
    part = source_parts(ROOT, file)[number]
    weaken.install({file: part.left_out(ROOT)}, ROOT)
    units: list[Unit] = [u for m in ("refinement.units", "refinement.boot.units") for u in import_module(m).units()]
    by_name = {unit.id: unit for unit in units}
    for name in names:
        try:
            found = missing(by_name[name])
        except Exception as error:  # noqa: BLE001  # the damaged monitor may do anything
            found = f"{name} {type(error).__name__}"
        if found:
            return found
    return ""


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
