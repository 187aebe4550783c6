"""What a walk could not follow: counted, and kept one by one up to a bound."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audit.frontier import Tables
from audit.reach import MISHAPS, Mishap, Trouble

_ROW: Final = np.dtype(
    [("table", np.uint64), ("index", np.int64), ("level", np.uint8), ("entry", np.uint64), ("address", np.uint64)]
)


def canonical(address: int, levels: int) -> int:
    """The virtual address with the highest translated bit copied to all bits above (SDM 1 3.3.7.1)."""
    width = 12 + 9 * levels
    return address | ((1 << 64) - (1 << width) if address >> (width - 1) else 0)


class Troubles:
    """Mishaps of one walk.  signed: its input addresses are virtual, hence canonical."""

    def __init__(self, levels: int, signed: bool, nested: bool) -> None:
        self._levels, self._signed, self._nested = levels, signed, nested
        self.counts: dict[Trouble, int] = {}
        self._kept: dict[Trouble, NDArray[np.void]] = {}

    def entries(self, trouble: Trouble, number: int, **fields: Any) -> None:
        """Entries (table, index, level, entry, address) with a trouble of their own."""
        if not number:
            return
        rows = np.zeros(number, _ROW)
        for name, value in fields.items():
            rows[name] = value
        self.counts[trouble] = self.counts.get(trouble, 0) + number
        rows = np.concatenate([self._kept.get(trouble, rows[:0]), rows])
        order = np.lexsort((rows["level"], rows["table"], rows["address"]))
        self._kept[trouble] = rows[order[:MISHAPS]]

    def lost(self, trouble: Trouble, some: Tables, level: int) -> None:
        """Tables of a level that cannot be read: the trouble is the entry that leads there, or the root itself."""
        some = some[some["fresh"]]
        top = level == self._levels
        self.entries(
            trouble,
            len(some),
            table=some["frame"] if top else some["parent"],
            index=-1 if top else (some["address"] >> np.uint64(12 + 9 * level)) & np.uint64(511),
            level=level if top else level + 1,
            entry=some["entry"],
            address=some["address"],
        )

    def mishaps(self) -> tuple[Mishap, ...]:
        """Those that were kept, by trouble and address."""
        return tuple(
            Mishap(
                trouble=trouble,
                table=table,
                index=index,
                level=level,
                entry=entry,
                address=canonical(address, self._levels) if self._signed else address,
                nested=self._nested,
            )
            for trouble, rows in self._kept.items()
            for table, index, level, entry, address in rows.tolist()
        )
