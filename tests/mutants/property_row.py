"""`python -m tests.mutants.property_row NUMBER [without]`: does an obligation hold under an edit of the model?

Makes the edits of that entry of `properties.toml`, and with `without` leaves its conjunct out too.  Prints the verdict.
In a process of its own, because the model is edited while it is imported.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from typing import Final

from proofs.solver import Z3Solver
from ringfence import weaken
from ringfence.wiring import ROOT
from tests.mutants.defects import Defect

TABLE: Final = ROOT / "tests" / "mutants" / "properties.toml"


@dataclass(frozen=True)
class Conjunct:
    """A defect of the model, and what leaves out the conjunct because of which the obligation fails."""

    defect: Defect
    without: tuple[str, str, str]
    obligation: str

    def texts(self, *, without: bool) -> dict[str, str]:
        """The edited files; a text that does not occur exactly once is a `ValueError`."""
        edits = (*self.defect.edits, self.without) if without else self.defect.edits
        return Defect(self.defect.words, edits, "", "").texts(ROOT)


def conjuncts() -> list[Conjunct]:
    """Every entry, in the order of the file."""
    return [
        Conjunct(Defect(e["words"], tuple(map(_edit, e["edits"])), "", ""), _edit(e["without"]), e["obligation"])
        for e in tomllib.loads(TABLE.read_text("utf-8"))["conjuncts"]
    ]


def _edit(entry: dict[str, str]) -> tuple[str, str, str]:
    return entry["file"], entry["was"], entry["becomes"]


def verdict(conjunct: Conjunct, *, without: bool) -> str:
    """PROVED, or what the search for a counterexample makes of it."""
    weaken.install(conjunct.texts(without=without), ROOT)
    from ringfence.units import theorems

    _, part, *rest = conjunct.obligation.split("/")
    action = rest[0] if part == "step" else ""
    for obligation in theorems.make(part, action):
        if obligation.id == conjunct.obligation:
            answer = Z3Solver().solve(obligation.text, obligation.rlimit)
            proved = answer.status == obligation.expect
            return "PROVED" if proved else theorems.explain(obligation, answer, part, action).verdict
    raise LookupError(conjunct.obligation)


if __name__ == "__main__":
    print(verdict(conjuncts()[int(sys.argv[1])], without=sys.argv[2:] == ["without"]))
