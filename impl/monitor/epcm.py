"""EPCM entries and the list of an enclave's pages.

An entry has 24 bytes: page_status u8 at 0, flags u8 at 1, type u8 at 2, vaddr u64 at 8, owner u64 at 16
(public monitor, src/enclave/epcm.rs).
"""

from __future__ import annotations

from typing import Final

from impl.machine.primitives import Machine
from impl.monitor.structures import TYPE_TCS

SECURE: Final = 3
VALID: Final = 0x80
EMPTY: Final = SECURE
TCS_WORD: Final = SECURE | (VALID << 8) | (TYPE_TCS << 16)
"""Word 0 of a TCS page: no rights, and no dynamic flag is set."""


def is_valid(machine: Machine, frame: int) -> bool:
    """The entry of an EPC frame is in use."""
    return machine.storage.epcm[frame, 0] & (VALID << 8) != 0


def add_page(machine: Machine, enclave: int, frame: int, page: int, rights: int, page_type: int) -> None:
    """Fill the entry of a free EPC frame and append the frame to the enclave's pages."""
    s = machine.storage
    s.epcm[frame, 0] = SECURE | ((rights | VALID) << 8) | (page_type << 16)
    s.epcm[frame, 1] = page << 12
    s.epcm[frame, 2] = enclave
    position = s.page_total[enclave]
    s.page_at[enclave, position] = frame
    s.page_position[frame] = position
    s.page_total[enclave] = position + 1


def remove_page(machine: Machine, enclave: int, frame: int) -> None:
    """Empty the entry of a frame of the enclave and move the last of its pages into the gap."""
    s = machine.storage
    s.epcm[frame, 0] = EMPTY
    s.epcm[frame, 1] = 0
    s.epcm[frame, 2] = 0
    last = s.page_total[enclave] - 1
    position = s.page_position[frame]
    moved = s.page_at[enclave, last]
    s.page_at[enclave, position] = moved
    s.page_position[moved] = position
    s.page_at[enclave, last] = 0
    s.page_position[frame] = 0
    s.page_total[enclave] = last
