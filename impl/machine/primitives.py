"""What the monitor's code may use of a machine: its storage, its layout, and primitives with a contract each.

The concrete machine (`impl.machine.machine`) does the work on real bytes; a symbolic engine may put
the contracts in place.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol, TypeAlias

from impl.machine.layout import Layout

Key: TypeAlias = int | tuple[int, ...]


class NestedFormat(IntEnum):
    """Which bits the nested tables have: Intel's EPT or AMD's NPT."""

    EPT = 0
    NPT = 1


class Cells(Protocol):
    """One field: `storage.life[e]`, `storage.register[cpu, RAX]`, `storage.pool_free[()]`."""

    def __getitem__(self, key: Key, /) -> int: ...

    def __setitem__(self, key: Key, value: int, /) -> None: ...


class Storage(Protocol):
    """The mutable state; one attribute per entry of `impl.machine.fields.FIELDS`, with the meanings given there."""

    memory: Cells
    register: Cells
    xstate: Cells
    tlb_frame: Cells
    tlb_rights: Cells
    io_root: Cells
    cpu_mode: Cells
    cpu_enclave: Cells
    cpu_tcs: Cells
    cpu_ssa: Cells
    cpu_resuming: Cells
    saved_register: Cells
    life: Cells
    elrange_first: Cells
    elrange_end: Cells
    ssa_frame_size: Cells
    attributes: Cells
    xfrm: Cells
    unextended: Cells
    mrenclave: Cells
    mrsigner: Cells
    isv: Cells
    shared_first: Cells
    shared_end: Cells
    page_total: Cells
    page_at: Cells
    page_position: Cells
    thread_total: Cells
    thread_at: Cells
    thread_position: Cells
    busy: Cells
    epcm: Cells
    pool_owner: Cells
    pool_free: Cells
    table_kind: Cells
    table_level: Cells
    table_prefix: Cells
    table_at: Cells


class Machine(Protocol):
    """The machine as the monitor and the modelled hardware see it."""

    @property
    def storage(self) -> Storage:
        """The mutable state."""
        ...

    @property
    def layout(self) -> Layout:
        """The immutable memory layout."""
        ...

    @property
    def nested_format(self) -> NestedFormat:
        """The format of the nested tables; a constant of the configuration."""
        ...

    def memory_zero(self, frame: int) -> None:
        """Set the 512 words of a frame to 0."""
        ...

    def memory_copy(self, destination: int, source: int) -> None:
        """Copy the 512 words of one trusted frame to another, different one."""
        ...

    def memory_is_zero(self, frame: int, first: int, end: int) -> bool:
        """Whether words first..end-1 of the CPU's staging frame are all 0; of enclave pages that would be a secret."""
        ...

    def fetch_word(self, frame: int, index: int) -> int:
        """A word of untrusted normal memory as it is at this moment; the next fetch may see another value."""
        ...

    def store_word(self, frame: int, index: int, value: int) -> None:
        """Store a word to untrusted normal memory."""
        ...

    def fetch_page(self, destination: int, source: int) -> None:
        """Copy the 512 words of an untrusted normal frame, each fetched once, to a trusted frame."""
        ...

    def tlb_flush(self, cpu: int) -> None:
        """Forget all translations of a CPU: tlb_rights[cpu, *] := 0 and tlb_frame[cpu, *] := 0."""
        ...

    def xstate_save(self, cpu: int, frame: int) -> None:
        """XSAVE: words 0..71 of the frame := xstate[cpu, 0..71]."""
        ...

    def xstate_restore(self, cpu: int, frame: int) -> None:
        """XRSTOR: xstate[cpu, 0..71] := words 0..71 of the frame; the caller has made the header and MXCSR legal."""
        ...

    def xstate_reset(self, cpu: int) -> None:
        """The initial state: FCW 0x37f (word 0), MXCSR 0x1f80 (word 3), all other words of xstate[cpu, 0..71] 0."""
        ...

    def pool_take(self, owner: int) -> int:
        """Give a pool frame to an owner; precondition: owner != 0 and pool_free >= 1.

        The frame f was free (pool_owner[f] == 0, hence its words and table_* records are 0) and becomes the owner's;
        pool_free decreases by 1.  Which frame it is depends on pool_owner alone.
        """
        ...

    def pool_release(self, owner: int) -> None:
        """Take back every pool frame of an owner (not 0), n of them.

        Their words, pool_owner and table_* records become 0, as does table_at[*, owner, *, *]; pool_free grows by n.
        """
        ...

    def measure_start(self, enclave: int, ssa_frame_size: int, size: int) -> None:
        """Begin MRENCLAVE with the ECREATE record: SSA frame size in pages, size of ELRANGE in bytes."""
        ...

    def measure_add(self, enclave: int, offset: int, secinfo: int) -> None:
        """Append an EADD record: byte offset of the page in ELRANGE, SECINFO word (flags | type << 8)."""
        ...

    def measure_extend(self, enclave: int, offset: int, frame: int) -> None:
        """Append the 16 EEXTEND records of a page with its contents, 256 bytes each."""
        ...

    def measure_final(self, enclave: int) -> tuple[int, int, int, int]:
        """SHA-256 of the records so far as four little-endian words; the records stay as they are."""
        ...

    def measure_drop(self, enclave: int) -> None:
        """Forget the records of an enclave."""
        ...

    def digest_words(self, words: tuple[int, ...]) -> tuple[int, int, int, int]:
        """SHA-256 of 64-bit words in little-endian order, as four little-endian words."""
        ...

    def each(self, name: str, first: int, end: int, body: Callable[[int], None]) -> None:
        """Do `body(i)` for i = first..end-1 in this order; `name` identifies the loop to whoever proves it."""
        ...
