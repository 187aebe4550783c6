"""The cut of reserved memory, run on symbols: what holds of it whatever the sizes are."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import Any

import sympy

from impl.machine.layout import EPCM_ENTRY_WORDS, WORDS, Configuration, cut

SIZE: dict[str, Any] = {f.name: sympy.Symbol(f.name, integer=True, positive=True) for f in fields(Configuration)}
PARTS = ("core image", "EPCM", "staging", "zero frame", "pool", "EPC")


def extents(**sizes: Any) -> dict[str, Any]:
    """Part of reserved memory -> its size in frames, in the order of the parts."""
    y = cut(Configuration(**(SIZE | sizes)))
    edges = (y.monitor_first, y.epcm_first, y.staging_first, y.zero_frame, y.pool_first, y.epc_first, y.epc_end)
    return {part: sympy.expand(end - first) for part, (first, end) in zip(PARTS, pairwise(edges), strict=True)}


def test_every_part_has_the_size_that_was_asked_for() -> None:
    found = extents()
    del found["EPCM"]
    asked = (SIZE["core_frames"], SIZE["cpus"], sympy.Integer(1), SIZE["pool_frames"], SIZE["epc_frames"])
    assert tuple(found.values()) == asked


def test_the_epcm_has_room_for_every_entry_and_no_frame_too_many() -> None:
    q = sympy.Symbol("q", integer=True, nonnegative=True)
    for rest in range(WORDS):  # every number of EPC frames is 512 q + rest
        entries = WORDS * q + rest
        spare = sympy.expand(WORDS * extents(epc_frames=entries)["EPCM"] - EPCM_ENTRY_WORDS * entries)
        assert spare in range(WORDS), rest
