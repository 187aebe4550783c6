"""`python -m ringfence.trusted`: which files a reader has to believe, and how many lines that is.

Every Python file of the rooms belongs to exactly one group: the first whose pattern matches.  docs/trusted-base.md
says why; a test holds the two together.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = ("model", "proofs", "refinement", "impl", "audit", "reports", "ringfence")


@dataclass(frozen=True)
class Group:
    """Files with one role.  trusted: a defect there could make a row say PROVED wrongly, so they have to be read."""

    title: str
    trusted: bool
    why: str
    patterns: tuple[str, ...]


GROUPS: Final = (
    Group(
        "assumptions",
        True,
        "what every verdict rests on and nothing here proves",
        ("model/hyperenclave/assumptions.py",),
    ),
    Group(
        "scenarios",
        False,
        "concrete runs for the battery and for the search from boot",
        ("model/hyperenclave/scenario.py", "model/hyperenclave/witness.py"),
    ),
    Group(
        "specification",
        True,
        "state, actions, invariants, observers, flow policy, step properties: what the theorems are about",
        ("model/__init__.py", "model/hyperenclave/*.py"),
    ),
    Group("concrete reading", False, "re-executes counterexamples and traces", ("model/language/concrete.py",)),
    Group("printer", True, "turns a statement into the text that is solved", ("model/language/smtlib.py",)),
    Group("language", True, "turns an action into the formula of its step", ("model/language/*.py",)),
    Group(
        "statements",
        True,
        "which obligations there are, and what each says",
        ("proofs/statements.py", "proofs/equivalence.py", "proofs/comparison.py"),
    ),
    Group(
        "solver interface",
        True,
        "asks Z3 and turns its answer into a verdict",
        ("proofs/solver.py", "proofs/obligation.py", "proofs/results.py"),
    ),
    Group(
        "representation invariant",
        True,
        "which memories of the monitor T9 starts from",
        ("refinement/invariants/*.py",),
    ),
    Group(
        "relation",
        True,
        "what each component of the model is on words, decoded independently of the monitor",
        (
            "refinement/abstraction.py",
            "refinement/bits.py",
            "refinement/handlers.py",
            "refinement/interpretation.py",
            "refinement/measurement.py",
            "refinement/opaque.py",
        ),
    ),
    Group(
        "simulation",
        True,
        "which step of the model a path is compared with, and what is compared",
        (
            "refinement/boot/axioms.py",
            "refinement/boot/establish.py",
            "refinement/boot/loops.py",
            "refinement/boot/walk.py",
            "refinement/contracts/*.py",
            "refinement/simulation/*.py",
        ),
    ),
    Group("path oracle", False, "each branch that it rules out is an obligation", ("refinement/engine/pruning.py",)),
    Group("symbolic engine", True, "what a run of the monitor on symbolic values means", ("refinement/engine/*.py",)),
    Group(
        "machine interface",
        True,
        "fields, numbers of registers, layout, contracts of primitives, and the hardware's own decoder of table bits",
        (
            "impl/machine/fields.py",
            "impl/machine/layout.py",
            "impl/machine/primitives.py",
            "impl/machine/registers.py",
            "impl/machine/mmu.py",
            "impl/machine/iommu.py",
        ),
    ),
    Group(
        "carriers",
        True,
        "hand obligations to workers and rows to you; --fresh does without what the ledger remembers",
        (
            "proofs/codec.py",
            "proofs/ledger.py",
            "proofs/messages.py",
            "proofs/scheduler.py",
            "proofs/worker.py",
            "refinement/*units.py",
            "refinement/units/*.py",
            "ringfence/commands/establish.py",
            "ringfence/run.py",
            "ringfence/selection.py",
            "ringfence/session.py",
            "ringfence/sources.py",
            "ringfence/start.py",
            "ringfence/units/*.py",
            "ringfence/waivers.py",
            "ringfence/wiring.py",
        ),
    ),
    Group("monitor", False, "proved against the model by T9", ("impl/monitor/*.py",)),
    Group("concrete machine", False, "tested against the contracts of its primitives", ("impl/*.py",)),
    Group("search and battery", False, "finds counterexamples and holes; proves nothing", ("proofs/*.py",)),
    Group(
        "traces and paths",
        False,
        "tests the same claims on concrete words, and the symbolic engine against Python",
        ("refinement/*.py",),
    ),
    Group("audit", False, "decides photographs of real machines, not theorems; see below", ("audit/*.py",)),
    Group("reports and command line", False, "show what was established", ("reports/*.py", "ringfence/*.py")),
)


def group_of(file: str) -> Group | None:
    """The group of a file, given as a path from the root with forward slashes; a `*` also crosses folders."""
    return next((group for group in GROUPS if any(fnmatchcase(file, p) for p in group.patterns)), None)


def files(root: Path = ROOT) -> Iterator[str]:
    """Every Python file of the rooms, as a path from the root."""
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            yield path.relative_to(root).as_posix()


def line_counts(root: Path = ROOT) -> dict[str, dict[str, int]]:
    """Lines of every file, comments and blank lines included, by title of its group."""
    found: dict[str, dict[str, int]] = {group.title: {} for group in GROUPS}
    for file in files(root):
        group = group_of(file)
        if group is None:
            raise LookupError(f"{file} belongs to no group of the trusted base")
        found[group.title][file] = len((root / file).read_text("utf-8").splitlines())
    return found


def main() -> int:
    """Print trusted files with their lines, then the totals of the rest."""
    counts = line_counts()
    total = 0
    for group in (g for g in GROUPS if g.trusted):
        lines = sum(counts[group.title].values())
        total += lines
        print(f"{lines:6}  {group.title}: {group.why}")
        for file, number in counts[group.title].items():
            print(f"        {number:6}  {file}")
    print(f"{total:6}  lines to be believed; beside them Z3, Python and the hardware")
    for group in (g for g in GROUPS if not g.trusted):
        print(f"{sum(counts[group.title].values()):6}  not among them, {group.title}: {group.why}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads only the beginning ends it without a word
    sys.exit(main())
