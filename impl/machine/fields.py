"""Every field of the mutable state: the widths of its keys, the width of its value, what it means.

A field is a map from non-negative integers to a non-negative integer; what was never written is 0.  Frame
numbers have 40 bits, page numbers (of linear addresses below 2**48) 36 bits, enclave ids 52 bits.  An enclave id is the
guest-physical address of the SECS, 8-byte aligned and not 0, so the special owners of table frames are never ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FRAME: Final = 40
PAGE: Final = 36
PAGE_END: Final = 37  # one past the last page
ENCLAVE: Final = 52
CPU: Final = 9
WORD: Final = 64
INDEX: Final = 9  # of a 64-bit word in a frame

NOBODY: Final = 0
NORMAL_VM: Final = 1
DEVICES: Final = 2


@dataclass(frozen=True)
class Field:
    """The shape of a field in bits, and its meaning in words."""

    keys: tuple[int, ...]
    width: int
    meaning: str


FIELDS: Final[dict[str, Field]] = {
    # --- hardware ---------------------------------------------------------------------------------------------------
    "memory": Field((FRAME, INDEX), WORD, "physical memory: word of a frame"),
    "register": Field((CPU, 5), WORD, "register of a CPU (impl.machine.registers)"),
    "xstate": Field((CPU, 7), WORD, "x87 and SSE state as XSAVE image: words 0..63 legacy area, 64..71 header"),
    "tlb_frame": Field((CPU, PAGE), FRAME, "TLB: the frame cached for a linear page"),
    "tlb_rights": Field((CPU, PAGE), 4, "TLB: 0 no entry, else bit 3 set and the rights: bit 0 R, 1 W, 2 X"),
    "io_root": Field((), FRAME, "root of the table that the IOMMU walks"),
    # --- what a CPU runs --------------------------------------------------------------------------------------------
    "cpu_mode": Field((CPU,), 2, "0 off, 1 normal VM, 2 between the steps of an entry, 3 enclave"),
    "cpu_enclave": Field((CPU,), ENCLAVE, "the enclave that the CPU is in or enters; 0 in the normal VM"),
    "cpu_tcs": Field((CPU,), FRAME, "frame of the TCS through which"),
    "cpu_ssa": Field((CPU,), FRAME, "frame of the SSA frame that an asynchronous exit writes or a resume reads"),
    "cpu_resuming": Field((CPU,), 1, "1: the entry under way is a resume"),
    "saved_register": Field((CPU, 5), WORD, "the normal VM's registers while an enclave runs"),
    # --- enclaves ---------------------------------------------------------------------------------------------------
    "life": Field((ENCLAVE,), 3, "0 none, 1 uninitialised, 2 initialised, 3 try-destroy, 4 in-destroy"),
    "elrange_first": Field((ENCLAVE,), PAGE, "first page of ELRANGE"),
    "elrange_end": Field((ENCLAVE,), PAGE_END, "one past the last page of ELRANGE"),
    "ssa_frame_size": Field((ENCLAVE,), 32, "pages of an SSA frame, as measured"),
    "attributes": Field((ENCLAVE,), WORD, "SECS.ATTRIBUTES.FLAGS; INIT (bit 0) is set by the monitor"),
    "xfrm": Field((ENCLAVE,), WORD, "SECS.ATTRIBUTES.XFRM"),
    "unextended": Field((ENCLAVE,), 1, "1: a page was added whose contents were not measured"),
    "mrenclave": Field((ENCLAVE, 2), WORD, "MRENCLAVE, four little-endian words; 0 before EINIT"),
    "mrsigner": Field((ENCLAVE, 2), WORD, "MRSIGNER, four little-endian words; 0 before EINIT"),
    "isv": Field((ENCLAVE,), 32, "ISVPRODID (bits 15:0) and ISVSVN (bits 31:16)"),
    "shared_first": Field((ENCLAVE, 2), PAGE, "first page of the shared range in one of four slots"),
    "shared_end": Field((ENCLAVE, 2), PAGE_END, "one past its last page; 0 for a free slot"),
    "page_total": Field((ENCLAVE,), FRAME, "number of EPC pages of an enclave"),
    "page_at": Field((ENCLAVE, FRAME), FRAME, "the frames of these pages: entries 0..page_total-1, 0 beyond"),
    "page_position": Field((FRAME,), FRAME, "where a frame stands in its owner's list"),
    "thread_total": Field((ENCLAVE,), 10, "number of CPUs in, or entering, an enclave"),
    "thread_at": Field((ENCLAVE, CPU), CPU, "these CPUs: entries 0..thread_total-1, 0 beyond"),
    "thread_position": Field((CPU,), CPU, "where a CPU stands in its enclave's list"),
    # --- frames -----------------------------------------------------------------------------------------------------
    "busy": Field((FRAME,), 1, "1: a CPU is inside through this TCS"),
    "epcm": Field((FRAME, 2), WORD, "EPCM entry of an EPC frame: 0 status | flags << 8 | type << 16, 1 vaddr, 2 owner"),
    "pool_owner": Field(
        (FRAME,), ENCLAVE, "whose tables a pool frame holds: NOBODY (free), NORMAL_VM, DEVICES or an id"
    ),
    "pool_free": Field((), FRAME, "number of free pool frames"),
    # --- page tables ------------------------------------------------------------------------------------------------
    "table_kind": Field((FRAME,), 2, "table frame: 1 guest, 2 nested, 3 IO; 0 for a free frame"),
    "table_level": Field((FRAME,), 3, "table frame: 4 for a root down to 1"),
    "table_prefix": Field((FRAME,), 27, "table frame: the page numbers that it covers, shifted right by 9 * level"),
    "table_at": Field((2, ENCLAVE, 3, 27), FRAME, "the table frame of kind, owner, level, prefix; 0 if none"),
}
