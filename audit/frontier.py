"""Tables that a walk has yet to read, as arrays; equal ones are merged, so that aliases cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audit.photograph import BadInputError, Frames

Tables = NDArray[np.void]
"""Structured array of `TABLE`."""

TABLE: Final = np.dtype(
    [
        ("frame", np.uint64),  # as the tables number it: of a guest's own table, guest-physical
        ("grant", np.uint8),  # of everything above, ANDed, below what is carried along in the upper four bits
        ("fresh", np.bool_),  # of the tables with its frame and level, this one has the lowest address
        ("address", np.uint64),  # lowest input address that leads here
        ("paths", np.uint64),  # number of ways that lead here
        ("parent", np.uint64),  # frame of the table above, on the way with the lowest address
        ("entry", np.uint64),  # the entry there
        ("first", np.uint64),  # the part of the table that matters: first frame of its input addresses, from its start
        ("end", np.uint64),  # one after the last
    ],
    align=True,
)

NO_TABLES: Final[Tables] = np.zeros(0, TABLE)

MOST_TABLES: Final = 1 << 21
"""How many different tables one level of a walk may have: 8 GiB of them."""

_PENDING: Final = 1 << 18


def tables(number: int, **fields: Any) -> Tables:
    """Tables with these fields; those left out are 0."""
    made = np.zeros(number, TABLE)
    made["fresh"] = True
    for name, value in fields.items():
        made[name] = value
    return made


def covered(level: int) -> int:
    """How many frames of input addresses a table of this level translates."""
    return 512**level


def is_whole(some: Tables, level: int) -> NDArray[np.bool_]:
    """Which tables matter as a whole."""
    return (some["first"] == 0) & (some["end"] == covered(level))


class Frontier:
    """Whole tables of one level; equal frames with equal grants become one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[Tables] = []
        self._pending = 0

    def add(self, some: Tables) -> None:
        """More tables; raises BadInputError if there are more different ones than any machine has."""
        self._parts.append(some)
        self._pending += len(some)
        if self._pending > _PENDING:
            merged = self.merged()
            if len(merged) > MOST_TABLES:
                raise BadInputError(f"{self._name}: more than {MOST_TABLES} different tables on one level")
            self._parts, self._pending = [merged], 0

    def merged(self) -> Tables:
        """All tables, sorted by frame and grant."""
        some = np.concatenate([NO_TABLES, *self._parts])
        if not len(some):
            return some
        key = (some["frame"] << np.uint64(8)) | some["grant"]
        order = np.argsort(key, kind="stable")
        other, address = _differs(key[order]), some["address"][order]
        starts, group = np.flatnonzero(other), np.cumsum(other) - 1
        lowest = np.flatnonzero(address == np.minimum.reduceat(address, starts)[group])
        merged = some[order[lowest[_differs(group[lowest])]]]
        merged["paths"], merged["fresh"] = np.add.reduceat(some["paths"][order], starts), False
        order = np.lexsort((merged["address"], merged["frame"]))
        merged["fresh"][order[_differs(merged["frame"][order])]] = True
        return merged


def chunks(some: Tables, most: int) -> Iterator[Tables]:
    """Pieces of at most so many tables."""
    for start in range(0, len(some), most):
        yield some[start : start + most]


def distinct(frames: Frames) -> tuple[Frames, NDArray[np.intp]]:
    """The different frames of a sorted array, and for each frame the place of its like among them."""
    other = _differs(frames)
    return frames[other], np.cumsum(other) - 1


def _differs(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values differ from the one before."""
    return np.append(np.ones(min(1, len(values)), np.bool_), values[1:] != values[:-1])
