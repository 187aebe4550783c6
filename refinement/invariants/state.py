"""The states that clauses read: the monitor's real storage, a symbolic one, or one with tables as a primitive map."""

from __future__ import annotations

from refinement.bits import NestedFormat
from refinement.engine.storage import View
from refinement.engine.values import EngineError, Number, merge
from refinement.invariants.clause import Cells, Layout
from refinement.invariants.tables import PAGE_MASK, PREFIX_MASK


class _Leaves:
    """`leaf[kind, owner, page]` through the directory."""

    def __init__(self, state: MonitorState) -> None:
        self._state = state

    def __getitem__(self, key: tuple[Number, Number, Number]) -> Number:
        kind, owner, page = key
        table = self._state.table_at[kind, owner, 1, (page >> 9) & PREFIX_MASK]
        return merge(table == 0, 0, self._state.memory[table, page & 511])


class _Roots:
    """`root[kind, owner]` through the directory."""

    def __init__(self, state: MonitorState) -> None:
        self._state = state

    def __getitem__(self, key: tuple[Number, Number]) -> Number:
        kind, owner = key
        return self._state.table_at[kind, owner, 4, 0]


class _Occupants:
    """`busy_cpu[frame]` of a concrete state: the CPU inside through a TCS, 0 if there is none."""

    def __init__(self, state: MonitorState) -> None:
        self._state = state

    def __getitem__(self, key: Number) -> Number:
        s, cpus = self._state, self._state.layout.cpus
        if not isinstance(cpus, int):
            raise EngineError("only a concrete state can be searched for a CPU")
        return next((c for c in range(cpus) if s.cpu_mode[c] > 1 and s.cpu_tcs[c] == key), 0)


class _Room:
    """`pool_room[()]` of a concrete state: the number of pool frames without an owner."""

    def __init__(self, state: MonitorState) -> None:
        self._state = state

    def __getitem__(self, key: tuple[()]) -> Number:
        del key
        s, y = self._state, self._state.layout
        if not (isinstance(y.pool_first, int) and isinstance(y.epc_first, int)):
            raise EngineError("only the pool of a concrete state can be counted")
        return sum(1 for f in range(y.pool_first, y.epc_first) if s.pool_owner[f] == 0)


class MonitorState:
    """Fields of a storage by name, with `leaf`, `root` and ghosts; `acting` is the CPU that takes the step."""

    leaf: Cells
    root: Cells
    busy_cpu: Cells
    pool_room: Cells

    def __init__(
        self, fields: object, layout: Layout, form: NestedFormat, acting: Number = 0, focus: Number = 0
    ) -> None:
        self.fields = fields
        self.layout = layout
        self.form = form
        self.acting = acting
        self.focus = focus
        self.by_contract = isinstance(fields, View) and "leaf" in fields.nodes
        if not isinstance(fields, View):
            self.busy_cpu = _Occupants(self)
            self.pool_room = _Room(self)
        if not self.by_contract:
            self.leaf = _Leaves(self)
            self.root = _Roots(self)

    def __getattr__(self, name: str) -> Cells:
        return getattr(self.__dict__["fields"], name)

    def page_of_word(self, frame: Number, index: Number) -> tuple[Number, Number]:
        """The owner of a table frame and the page whose leaf the word is, if the table is of level 1."""
        page = ((self.table_prefix[frame] << 9) | index) & PAGE_MASK
        return self.pool_owner[frame], page
