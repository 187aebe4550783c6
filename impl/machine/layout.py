"""How physical memory is cut up: immutable once the machine is launched, frame numbers throughout.

* 0 .. monitor_first: normal memory, except device_first .. device_end
* monitor_first .. pool_first: the monitor: core image, EPCM, one staging frame per CPU, zero frame
* pool_first .. epc_first: frame pool: page tables
* epc_first .. epc_end: EPC
* epc_end .. memory_end: normal memory, except device_first .. device_end
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FRAME_BITS: Final = 36
"""Frame numbers that a four-level table can translate."""

EPCM_ENTRY_WORDS: Final = 3
WORDS: Final = 512
MAXIMUM_CPUS: Final = 512


class FrameClass(IntEnum):
    """What a frame is for.  Not being EPC does not make a frame normal."""

    NORMAL = 0
    EPC = 1
    MONITOR = 2
    RESERVED = 3


@dataclass(frozen=True)
class Configuration:
    """What the launcher decides: sizes in 4 KiB frames, `device_*` is the MMIO hole (empty if both are equal)."""

    memory_frames: int = 4096
    reserved_first: int = 1024
    core_frames: int = 4
    pool_frames: int = 256
    epc_frames: int = 128
    device_first: int = 4000
    device_end: int = 4096
    cpus: int = 4


@dataclass(frozen=True)
class Layout:
    """Frame numbers of the parts; ends are exclusive.  `cpus` CPUs are numbered from 0."""

    memory_end: int
    monitor_first: int
    epcm_first: int
    staging_first: int
    zero_frame: int
    pool_first: int
    epc_first: int
    epc_end: int
    device_first: int
    device_end: int
    cpus: int

    @staticmethod
    def from_configuration(configuration: Configuration) -> Layout:
        """Cut reserved memory; raises ValueError with one sentence if the configuration makes no sense."""
        c = configuration
        if c.core_frames < 0 or c.epc_frames < 1 or c.pool_frames < 1:
            raise ValueError("the monitor needs core frames (at least 0), pool frames and EPC frames (at least 1 each)")
        layout = cut(c)
        if c.device_first < layout.epc_end and layout.monitor_first < c.device_end and c.device_first < c.device_end:
            raise ValueError("the device hole overlaps reserved memory")
        for name, holds in valid_layout(layout):
            if not holds:
                raise ValueError(f"the memory layout is not valid: {name}")
        return layout


def cut(configuration: Configuration) -> Layout:
    """Reserved memory as consecutive parts, whether or not they have room; arithmetic alone, no decision."""
    c = configuration
    epcm_first = c.reserved_first + c.core_frames
    staging_first = epcm_first + (c.epc_frames * EPCM_ENTRY_WORDS + WORDS - 1) // WORDS
    zero_frame = staging_first + c.cpus
    epc_first = zero_frame + 1 + c.pool_frames
    return Layout(
        memory_end=c.memory_frames,
        monitor_first=c.reserved_first,
        epcm_first=epcm_first,
        staging_first=staging_first,
        zero_frame=zero_frame,
        pool_first=zero_frame + 1,
        epc_first=epc_first,
        epc_end=epc_first + c.epc_frames,
        device_first=c.device_first,
        device_end=c.device_end,
        cpus=c.cpus,
    )


def valid_layout(layout: Layout) -> list[tuple[str, bool]]:
    """What every layout satisfies, as named comparisons (conditions on terms if the layout is symbolic)."""
    y = layout
    return [
        ("frame 0 is not reserved", y.monitor_first >= 1),
        ("the EPCM follows the core image", y.monitor_first <= y.epcm_first),
        (
            "the EPCM has 24 bytes per EPC frame",
            y.epc_end * 3 + (y.epcm_first << 9) <= y.epc_first * 3 + (y.staging_first << 9),
        ),
        ("there is a staging frame for each CPU, then the zero frame", y.staging_first + y.cpus == y.zero_frame),
        ("the pool follows the zero frame", y.zero_frame + 1 == y.pool_first),
        ("the pool has room for the tables made at boot", y.pool_first + boot_tables(y) <= y.epc_first),
        ("the EPC has a frame", y.epc_first < y.epc_end),
        ("reserved memory lies in physical memory", y.epc_end <= y.memory_end),
        ("physical memory has at most 2**36 frames", y.memory_end <= 1 << FRAME_BITS),
        ("the device hole does not end before it begins", y.device_first <= y.device_end),
        ("the device hole lies in physical memory", y.device_end <= y.memory_end),
        ("there is a CPU", y.cpus >= 1),
        ("there are at most 512 CPUs", y.cpus <= MAXIMUM_CPUS),
    ]


def tables_of_level(layout: Layout, level: int) -> int:
    """The number of tables of one level (3, 2 or 1) over all physical memory."""
    return (layout.memory_end + ((1 << 9 * level) - 1)) >> (9 * level)


def boot_tables(layout: Layout) -> int:
    """The pool frames that boot takes: a nested table and an IO table over all physical memory."""
    below_the_root = sum(tables_of_level(layout, level) for level in (1, 2, 3))
    return 2 * (below_the_root + 1)


def is_normal(layout: Layout, frame: int) -> bool:
    """The frame is ordinary memory of the normal VM."""
    y = layout
    if frame >= y.memory_end:
        return False
    if frame >= y.monitor_first and frame < y.epc_end:
        return False
    return frame < y.device_first or frame >= y.device_end


def is_epc(layout: Layout, frame: int) -> bool:
    """The frame is an enclave page frame."""
    return frame >= layout.epc_first and frame < layout.epc_end


def frame_class(layout: Layout, frame: int) -> FrameClass:
    """The class of a frame; what lies outside physical memory or in the device hole is RESERVED."""
    y = layout
    if frame >= y.monitor_first and frame < y.epc_first:
        return FrameClass.MONITOR
    if frame >= y.epc_first and frame < y.epc_end:
        return FrameClass.EPC
    if frame >= y.memory_end:
        return FrameClass.RESERVED
    if frame >= y.device_first and frame < y.device_end:
        return FrameClass.RESERVED
    return FrameClass.NORMAL
