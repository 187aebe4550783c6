"""What the monitor relies on about the partition of memory, and the classes of frames."""

from __future__ import annotations

from model.language.logic import And, Not, Or
from refinement.engine.values import Number
from refinement.invariants.clause import Layout, State

PHYSICAL_FRAME_LIMIT = 1 << 36  # guest-physical page numbers of a four-level table have 36 bits
CPU_LIMIT = 512


def in_range(frame: Number, first: Number, end: Number) -> object:
    """First <= frame < end."""
    return And(first <= frame, frame < end)


def is_epc(layout: Layout, frame: Number) -> object:
    """The frame belongs to the EPC."""
    return in_range(frame, layout.epc_first, layout.epc_end)


def in_pool(layout: Layout, frame: Number) -> object:
    """The frame belongs to the pool of table frames."""
    return in_range(frame, layout.pool_first, layout.epc_first)


def is_reserved_memory(layout: Layout, frame: Number) -> object:
    """The frame is the monitor's: image, pool or EPC."""
    return in_range(frame, layout.monitor_first, layout.epc_end)


def is_device(layout: Layout, frame: Number) -> object:
    """The frame is a device register window or lies beyond memory."""
    window = Or(in_range(frame, layout.device_first, layout.device_end), layout.memory_end <= frame)
    return And(Not(is_reserved_memory(layout, frame)), window)


def is_normal(layout: Layout, frame: Number) -> object:
    """The frame is ordinary memory of the operating system."""
    return And(Not(is_reserved_memory(layout, frame)), Not(is_device(layout, frame)))


def well_formed(s: State) -> object:
    """The regions are ordered and disjoint, and physical memory fits four-level tables."""
    y = s.layout
    return And(
        y.monitor_first <= y.epcm_first,
        y.epcm_first < y.staging_first,
        y.staging_first + y.cpus == y.zero_frame,
        y.zero_frame < y.pool_first,
        y.pool_first < y.epc_first,
        y.epc_first < y.epc_end,
        y.epc_end <= y.memory_end,
        y.memory_end <= PHYSICAL_FRAME_LIMIT,
        y.cpus <= CPU_LIMIT,
    )
