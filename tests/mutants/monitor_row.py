"""`python -m tests.mutants.monitor_row FILE NUMBER UNIT...`: the first obligation of these units that misses a part.

In a process of its own, because a part is left out while its module is imported.  Prints the obligation and how it
fails, or nothing; an execution that the symbolic engine cannot follow is missed as well, by the exception's name.
`defect NUMBER` in place of a part makes that edit of `defects.toml`, and asks the claims that it names only.
"""

from __future__ import annotations

import sys
from importlib import import_module

from proofs.obligation import Obligation, Unit
from proofs.solver import Z3Solver
from ringfence import weaken
from ringfence.wiring import ROOT
from tests.mutants.defects import defects
from tests.mutants.source_parts import source_parts


def missing(unit: Unit, claim: str = "") -> str:
    """The first obligation of a unit (of those whose last part begins with `claim`) that does not hold, or ""."""
    module, _, function = unit.make.target.partition(":")
    solver = Z3Solver()
    for item in getattr(import_module(module), function)(**unit.make.arguments):
        if isinstance(item, Obligation) and item.id.rpartition("/")[2].startswith(claim):
            answer = solver.solve(item.text, item.rlimit)
            if answer.status != item.expect:
                return f"{item.id} {answer.status}"
    return ""


def missing_part(file: str, number: int, names: list[str]) -> str:
    """What misses a part of a file, by name of the units to ask; one named after its function comes first."""
    part = source_parts(ROOT, file)[number]
    weaken.install({file: part.left_out(ROOT)}, ROOT)
    by_name = units_by_id()
    function = part.name.split()[1].strip("_:")
    for name in sorted(names, key=lambda unit: function not in unit):
        try:
            found = missing(by_name[name])
        except Exception as error:  # noqa: BLE001  # the damaged monitor may do anything
            found = f"{name} {type(error).__name__}"
        if found:
            return found
    return ""


def missing_defect(number: int) -> str:
    """What misses a defect: its claim must fail, an exception of the engine does not count."""
    defect = defects()[number]
    weaken.install(defect.texts(ROOT), ROOT)
    return missing(units_by_id()[defect.unit], defect.claim)


def units_by_id() -> dict[str, Unit]:
    """Every unit of the refinement; imports the rooms, so after a part was left out."""
    return {unit.id: unit for m in ("refinement.units", "refinement.boot.units") for unit in import_module(m).units()}


if __name__ == "__main__":
    first, second, *others = sys.argv[1:]
    print(missing_defect(int(second)) if first == "defect" else missing_part(first, int(second), others))
