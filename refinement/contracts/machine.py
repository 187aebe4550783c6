"""The machine for code that uses page tables by contract: table frames are out of its sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinement.contracts import tables
from refinement.engine.machine import SymbolicMachine
from refinement.engine.storage import Cells, SymbolicStorage
from refinement.engine.values import EngineError, Number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refinement.engine.machine import Loop
    from refinement.engine.run import Run
    from refinement.invariants.clause import Layout


class _RootsOnly(Cells):
    """The page-table directory as far as handlers may read it: the roots."""

    def __init__(self, storage: SymbolicStorage) -> None:
        super().__init__(storage, "root")

    def __getitem__(self, key: object) -> Number:
        if not (isinstance(key, tuple) and key[2:] == (4, 0)):
            raise EngineError("page tables are used by contract: only their roots can be looked up")
        return super().__getitem__(key[:2])

    def __setitem__(self, key: object, value: object) -> None:
        raise EngineError("page tables are used by contract: the directory can not be written")


class ContractMachine(SymbolicMachine):
    """A symbolic machine whose tables are the fields `leaf` and `root`."""

    def __init__(self, run: Run, layout: Layout, nested_format: object, loops: Mapping[str, Loop]) -> None:
        super().__init__(run, layout, nested_format, loops)
        self.storage.add_cells("table_at", _RootsOnly(self.storage))

    def pool_take(self, owner: Number) -> Number:
        """Not for handlers: frames are taken by the table operations."""
        raise EngineError(f"pool_take for {owner!r} outside the table operations")

    def pool_release(self, owner: Number) -> None:
        """All tables of an owner are gone."""
        tables.pool_release(self, owner)
