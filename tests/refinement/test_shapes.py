"""What the local clauses about tables add up to: every owner's tables are a tree of their own, by graph algorithms.

The representation invariant says it table by table (TABLE, DIRECTORY, PARENT, OWN-TABLES), as provers like it.  Here
the words of the table frames are read as a graph, which knows nothing of the directory or of levels but the root's.
"""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

from impl.machine.fields import DEVICES, NORMAL_VM
from impl.machine.machine import ConcreteMachine
from impl.machine.primitives import NestedFormat
from refinement.traces.photograph import after, enclaves
from refinement.traces.trace import Trace, load

TRACES = sorted((Path(__file__).parents[2] / "traces").glob("*.json"))
GUEST, NESTED, IO = 1, 2, 3
LEVELS = 4


def state(path: Path, nested: NestedFormat) -> ConcreteMachine:
    trace = load(path)
    return after(Trace(trace.steps, trace.words, nested, trace.configuration))


def roots(machine: ConcreteMachine) -> dict[int, int]:
    """The frame of each top table -> its owner."""
    s = machine.storage
    kinds = [(NESTED, NORMAL_VM), (IO, DEVICES), *((k, e) for e in enclaves(machine) for k in (GUEST, NESTED))]
    return {s.table_at[kind, owner, LEVELS, 0]: owner for kind, owner in kinds}


def tables_below(machine: ConcreteMachine, root: int) -> nx.MultiDiGraph:
    """Table frames, an edge for each present entry above the last level."""
    graph, level = nx.MultiDiGraph(), [root]
    graph.add_node(root)
    for _ in range(LEVELS - 1):
        words = [(frame, machine.storage.memory[frame, i]) for frame in level for i in range(512)]
        entries = [(frame, (word >> 12) & ((1 << 40) - 1)) for frame, word in words if word & 7]
        graph.add_edges_from(entries)
        level = [below for _, below in entries]
    return graph


def is_forest_of_owners(machine: ConcreteMachine) -> bool:
    """A tree below each root, no frame in two of them, and the owners of the pool's frames are those of the trees."""
    trees = [(owner, tables_below(machine, root)) for root, owner in roots(machine).items()]
    if not all(nx.is_arborescence(tree) for _, tree in trees):
        return False
    found = {frame: owner for owner, tree in trees for frame in tree}
    layout, s = machine.layout, machine.storage
    owned = {f: s.pool_owner[f] for f in range(layout.pool_first, layout.epc_first) if s.pool_owner[f] != 0}
    return found == owned and sum(len(tree) for _, tree in trees) == len(owned)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
@pytest.mark.parametrize("nested", NestedFormat, ids=lambda nested: nested.name)
def test_the_tables_of_every_owner_are_a_tree_of_its_own(path: Path, nested: NestedFormat) -> None:
    assert is_forest_of_owners(state(path, nested))


def test_a_table_below_two_owners_is_no_forest() -> None:
    machine = state(TRACES[0], NestedFormat.EPT)
    first, second, *_ = (frame for frame in roots(machine) if machine.storage.memory[frame, 0] & 7)
    machine.storage.memory[first, 1] = machine.storage.memory[second, 0]
    assert not is_forest_of_owners(machine)


def test_a_table_that_is_entered_twice_is_no_tree() -> None:
    machine = state(TRACES[0], NestedFormat.EPT)
    root = next(iter(roots(machine)))
    machine.storage.memory[root, 1] = machine.storage.memory[root, 0]
    assert not is_forest_of_owners(machine)
