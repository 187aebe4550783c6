"""The bits of page-table entries: one table of layouts, and predicates on whole arrays of entries.

Sources: Intel SDM volume 3A, 4.5 (4-level and 5-level paging) and 4.7 (reserved bits); volume 3C, 29.3 (EPT) with
29.3.3.1 (EPT misconfigurations); AMD APM volume 2, 5.3 (long-mode page translation), 15.25 (nested paging).

The *grant* of an entry is four bits.  In x86 tables they are the first four of `Rights`.  In nested tables, which know
no CPL, bit 2 is execution from supervisor-mode and bit 3 from user-mode linear addresses (SDM 3C 29.3.3.2); only EPT
with mode-based execute control can tell the two apart.  The grants of the entries on a way are ANDed.  Above them, the
grant of a way carries along `Rights` that do not depend on the entries: WRITE to UPPER, shifted left by 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audit.photograph import Kind, Machine
from audit.reach import Rights, Trouble

Words = NDArray[np.uint64]
Mask = NDArray[np.bool_]
Grants = NDArray[np.uint8]

ALL: Final = 15
"""The grant that takes nothing away."""
CARRIED: Final = 0xF0
"""The bits of a grant that are carried along: `Rights`, shifted left by 3."""

_ACCESS: Final = Rights.READ | Rights.WRITE | Rights.EXECUTE
_LARGE: Final = 1 << 7
_ADDRESS: Final = ((1 << 52) - 1) & ~0xFFF
_NO_EXECUTE: Final = 1 << 63
_EFER_NXE: Final = 1 << 11


@dataclass(frozen=True)
class Options:
    """What the entries mean on this processor.

    maxphyaddr: width of physical addresses, 32 to 52 bits.  encryption_mask: bits of the address field that choose a
    key and are no part of the address (C-bit, APM 2 7.10; KeyID, SDM 3A 4.1.4).  no_execute: EFER.NXE.
    gigabyte_pages: 1 GiB leaves are supported.  execute_only, mode_based_execute: of EPT (SDM 3C 29.3.3).
    Raises ValueError for widths and masks that no processor has.
    """

    maxphyaddr: int = 52
    encryption_mask: int = 0
    no_execute: bool = True
    gigabyte_pages: bool = True
    execute_only: bool = True
    mode_based_execute: bool = False

    def __post_init__(self) -> None:
        if not 32 <= self.maxphyaddr <= 52:
            raise ValueError(f"MAXPHYADDR is {self.maxphyaddr}, but physical addresses have 32 to 52 bits")
        if self.encryption_mask & ~_ADDRESS:
            raise ValueError(
                f"the encryption mask {self.encryption_mask:#x} has bits outside the address, bits 12 to 51"
            )


def options_of(machine: Machine) -> Options:
    """The options as far as the file knows them; for the rest, the processor that takes most entries to be valid.

    Mode-based execute control is off: no format of a file tells it.
    """
    efers = [processor.efer for processor in machine.processors if processor.efer is not None]
    return Options(
        maxphyaddr=machine.maxphyaddr or 52,
        encryption_mask=0 if machine.encryption_bit is None else 1 << machine.encryption_bit,
        no_execute=not efers or any(efer & _EFER_NXE for efer in efers),
    )


@dataclass(frozen=True)
class Format:
    """The layout of one kind of entries; made by `format_of`.

    extra: position of the bit that joins bits 2:0 to make the code of an entry (XD, or XU of EPT).
    By code: granted (uint8), present, malformed (bool), shape (16,).  reserved_types: memory types of leaves, by bits
    5:3, shape (8,), or None.  By level (index 0 unused): reserved bits of entries that lead to tables and of leaves.
    By the grant of a way (uint8, shape (256,)): rights, what it comes to in `Rights`; rights_of_guest, of a nested
    table, what it comes to together with the carried rights of a guest's leaf; 0 is nothing at all.
    """

    trouble: Trouble
    extra: int
    granted: Grants
    present: Mask
    malformed: Mask
    reserved_types: Mask | None
    reserved_in_tables: tuple[int, ...]
    reserved_in_leaves: tuple[int, ...]
    large_levels: tuple[int, ...]
    address: int
    rights: Grants
    rights_of_guest: Grants

    def code(self, words: Words) -> NDArray[np.int64]:
        """Bits 2:0 and the extra bit of each entry, as an index into the tables by code."""
        code = words >> np.uint64(self.extra - 3)
        code &= np.uint64(8)
        code |= words & np.uint64(7)
        return code.view(np.int64)

    def is_leaf(self, words: Words, level: int) -> Mask:
        """Which entries, if they are present, end the walk."""
        if level == 1:
            return np.ones(words.shape, np.bool_)
        if level not in self.large_levels:
            return np.zeros(words.shape, np.bool_)
        return (words & np.uint64(_LARGE)) != 0

    def is_faulty(self, words: Words, code: NDArray[np.int64], leaf: Mask, level: int) -> Mask | None:
        """Which entries are present and yet grant nothing (reserved bit, misconfiguration); None if none is."""
        tables, leaves = self.reserved_in_tables[level], self.reserved_in_leaves[level]
        if self.reserved_types is None:
            if not int(np.bitwise_or.reduce(words, axis=None)) & (tables | leaves):
                return None
            faulty = np.zeros(words.shape, np.bool_)
        else:
            faulty = leaf & self.reserved_types[((words >> np.uint64(3)) & np.uint64(7)).view(np.int64)]
            faulty |= self.malformed[code]
        faulty |= (words & np.where(leaf, np.uint64(leaves), np.uint64(tables))) != 0
        faulty &= self.present[code]
        return faulty if faulty.any() else None

    def decode(self, words: Words, level: int) -> tuple[Mask, Grants, Mask | None]:
        """Which entries are leaves (if anything), what each grants (faulty ones nothing), and which are faulty."""
        code = self.code(words)
        leaf = self.is_leaf(words, level)
        grant = self.granted.take(code)
        faulty = self.is_faulty(words, code, leaf, level)
        if faulty is not None:
            grant[faulty] = 0
        return leaf, grant, faulty

    def table_frame(self, words: Words) -> Words:
        """The frame of the table to which each entry leads."""
        return self.leaf_frame(words, 1)

    def leaf_frame(self, words: Words, level: int) -> Words:
        """First frame of a leaf; bits of its address field below its size (bit 12: PAT) are no part of the address."""
        frames = words & np.uint64(self.address & -(1 << (3 + 9 * level)))
        frames >>= np.uint64(12)
        return frames


def _by_code(function: Callable[[int, int, int, int], int]) -> Grants:
    """A table by code; the function is given bits 0, 1, 2 and the extra bit."""
    return np.array([function(code & 1, code >> 1 & 1, code >> 2 & 1, code >> 3) for code in range(16)], np.uint8)


def _by_grant(function: Callable[[int], int]) -> Grants:
    """A table by the grant of a way; who may not read, write or execute has no rights at all."""
    values = [function(grant) for grant in range(256)]
    return np.array([value if value & _ACCESS else 0 for value in values], np.uint8)


def _x86_rights(grant: int) -> int:
    return grant & ALL | (grant >> 3 & Rights.UPPER)


def _nested_rights(grant: int) -> int:
    return grant & 3 | (grant >> 2 & 1 | grant >> 3 & 1) << 2


def _rights_of_guest(grant: int) -> int:
    """Execution is that from the mode of the guest's page; a present entry of a guest can be read."""
    guest = grant >> 4 << 1 | Rights.READ
    execute = grant >> (3 if guest & Rights.USER else 2) & 1
    return guest & (grant & 3 | execute << 2 | Rights.USER | Rights.UPPER)


def _x86_grant(present: int, write: int, user: int, no_execute: int, nested: bool) -> int:
    """Grant of an entry; a nested walk is a user's (APM 2 15.25.5): without U/S it grants nothing."""
    execute = no_execute ^ 1
    if nested:
        return present & user and 1 | write << 1 | execute << 2 | execute << 3
    return present and 1 | write << 1 | execute << 2 | user << 3


def _alignment(lowest: int) -> tuple[int, ...]:
    """By level: address bits from the lowest to the size of a large leaf, which are reserved in it."""
    return tuple((1 << (3 + 9 * level)) - (1 << lowest) if level in (2, 3) else 0 for level in range(6))


def format_of(kind: Kind, options: Options) -> Format:
    """The layout of a kind of tables on a processor."""
    always = _ADDRESS & ~((1 << options.maxphyaddr) - 1) & ~options.encryption_mask
    no_gigabyte = 0 if options.gigabyte_pages else _LARGE
    large_levels = (2, 3) if options.gigabyte_pages else (2,)
    address = _ADDRESS & ~options.encryption_mask
    if kind is Kind.EPT:
        split = options.mode_based_execute
        low, top = always | 0x78, always | 0xF8
        return Format(
            trouble=Trouble.MISCONFIGURED,
            extra=10,
            granted=_by_code(lambda r, w, x, xu: r | w << 1 | x << 2 | (xu if split else x) << 3),
            present=_by_code(lambda r, w, x, xu: r | w | x | (xu & split)) != 0,
            malformed=_by_code(lambda r, w, x, xu: (r ^ 1) & (w | (x | xu & split) & (not options.execute_only))) != 0,
            reserved_types=np.array([kind in (2, 3, 7) for kind in range(8)]),
            reserved_in_tables=(0, low, low, low | no_gigabyte, top, top),
            reserved_in_leaves=tuple(always | unaligned for unaligned in _alignment(12)),
            large_levels=large_levels,
            address=address,
            rights=_by_grant(_nested_rights),
            rights_of_guest=_by_grant(_rights_of_guest),
        )
    nested = kind is Kind.NPT
    enabled = options.no_execute
    always |= 0 if enabled else _NO_EXECUTE
    # AMD's processors, which alone know NPT, reserve bit 8 in entries of levels 4 and 5 (APM 2 5.3.3); Intel's do not.
    top = always | _LARGE | (1 << 8 if nested else 0)
    return Format(
        trouble=Trouble.RESERVED,
        extra=63,
        granted=_by_code(lambda p, w, u, xd: _x86_grant(p, w, u, xd & enabled, nested)),
        present=_by_code(lambda p, _w, _u, _xd: p) != 0,
        malformed=np.zeros(16, np.bool_),
        reserved_types=None,
        reserved_in_tables=(0, always, always, always | no_gigabyte, top, top),
        reserved_in_leaves=tuple(always | unaligned for unaligned in _alignment(13)),
        large_levels=large_levels,
        address=address,
        rights=_by_grant(_nested_rights if nested else _x86_rights),
        rights_of_guest=_by_grant(_rights_of_guest if nested else _x86_rights),
    )
