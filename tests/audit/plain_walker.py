"""A second walker: one entry at a time, in the order and the words of the manuals; it shares no code with `audit`.

Memory is a mapping from frame numbers to 512 words; a frame that is not in it is absent.  Rights are sets of letters:
R, W, X, U (user), H (upper half) of x86 tables; R, W, S and X (execution from supervisor-mode and user-mode addresses)
of nested ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

Memory = Mapping[int, list[int]]
Letters = frozenset[str]


class Processor(NamedTuple):
    maxphyaddr: int = 52
    encryption_mask: int = 0
    no_execute: bool = True
    gigabyte_pages: bool = True
    execute_only: bool = True
    mode_based_execute: bool = False


@dataclass(frozen=True)
class Leaf:
    address: int
    level: int
    first: int
    count: int
    rights: Letters
    entry: int


@dataclass(frozen=True)
class Trouble:
    what: str
    table: int
    index: int
    level: int
    entry: int
    address: int


def bit(word: int, number: int) -> bool:
    return (word >> number) & 1 == 1


def bits(word: int, high: int, low: int) -> int:
    return (word >> low) & ((1 << (high - low + 1)) - 1)


def address_bits(entry: int, low: int, processor: Processor) -> int:
    """The address in bits 51:low of an entry, as a frame number."""
    return ((entry & ~processor.encryption_mask) & (((1 << 52) - 1) >> low << low)) >> 12


def beyond_maxphyaddr(entry: int, processor: Processor) -> bool:
    """Bits 51:MAXPHYADDR are reserved (SDM 3A 4.5.4), except those that choose a key."""
    return any(bit(entry, n) for n in range(processor.maxphyaddr, 52) if not bit(processor.encryption_mask, n))


def decode_x86(entry: int, level: int, processor: Processor, nested: bool) -> tuple[str, int, Letters]:
    """SDM 3A, tables 4-15 to 4-20, and 4.7; for nested paging APM 2 15.25.5: every access is a user's."""
    if not bit(entry, 0):
        return "nothing", 0, frozenset()
    # XD is reserved if IA32_EFER.NXE = 0.
    if bit(entry, 63) and not processor.no_execute:
        return "reserved", 0, frozenset()
    if beyond_maxphyaddr(entry, processor):
        return "reserved", 0, frozenset()
    if level in (4, 5) and bit(entry, 7):
        return "reserved", 0, frozenset()
    if level in (4, 5) and nested and bit(entry, 8):
        return "reserved", 0, frozenset()
    if level == 3 and bit(entry, 7) and not processor.gigabyte_pages:
        return "reserved", 0, frozenset()
    # Bits 29:13 of a 1-GByte page's and 20:13 of a 2-MByte page's entry are reserved; bit 12 is PAT.
    if level == 3 and bit(entry, 7) and bits(entry, 29, 13) != 0:
        return "reserved", 0, frozenset()
    if level == 2 and bit(entry, 7) and bits(entry, 20, 13) != 0:
        return "reserved", 0, frozenset()
    rights = {"R"}
    if bit(entry, 1):
        rights.add("W")
    if not bit(entry, 63):
        rights.add("X")
    if nested:
        if not bit(entry, 2):
            rights = set()
        if "X" in rights:
            rights.add("S")
    elif bit(entry, 2):
        rights.add("U")
    return kind_and_frame(entry, level, processor, frozenset(rights))


def decode_ept(entry: int, level: int, processor: Processor) -> tuple[str, int, Letters]:
    """SDM 3C, tables 29-1 to 29-7, and 29.3.3.1."""
    present = bits(entry, 2, 0) != 0 or (processor.mode_based_execute and bit(entry, 10))
    if not present:
        return "nothing", 0, frozenset()
    read, write, execute = bit(entry, 0), bit(entry, 1), bit(entry, 2)
    execute_user = bit(entry, 10) if processor.mode_based_execute else execute
    if write and not read:
        return "misconfigured", 0, frozenset()
    if not processor.execute_only and not read and (execute or execute_user):
        return "misconfigured", 0, frozenset()
    if beyond_maxphyaddr(entry, processor):
        return "misconfigured", 0, frozenset()
    if level in (4, 5) and bits(entry, 7, 3) != 0:
        return "misconfigured", 0, frozenset()
    leaf = level == 1 or (level in (2, 3) and bit(entry, 7))
    if level == 3 and bit(entry, 7) and not processor.gigabyte_pages:
        return "misconfigured", 0, frozenset()
    if level in (2, 3) and not leaf and bits(entry, 6, 3) != 0:
        return "misconfigured", 0, frozenset()
    if level == 3 and leaf and bits(entry, 29, 12) != 0:
        return "misconfigured", 0, frozenset()
    if level == 2 and leaf and bits(entry, 20, 12) != 0:
        return "misconfigured", 0, frozenset()
    if leaf and bits(entry, 5, 3) in (2, 3, 7):
        return "misconfigured", 0, frozenset()
    rights = {letter for letter, holds in zip("RWSX", (read, write, execute, execute_user), strict=True) if holds}
    return kind_and_frame(entry, level, processor, frozenset(rights))


def kind_and_frame(entry: int, level: int, processor: Processor, rights: Letters) -> tuple[str, int, Letters]:
    if level == 1:
        return "leaf", address_bits(entry, 12, processor), rights
    if level == 2 and bit(entry, 7):
        return "leaf", address_bits(entry, 21, processor), rights
    if level == 3 and bit(entry, 7):
        return "leaf", address_bits(entry, 30, processor), rights
    return "table", address_bits(entry, 12, processor), rights


@dataclass
class Walker:
    """Tables of one kind: "x86", "npt" or "ept".  nested: the walker of the nested table, for a guest's own tables."""

    memory: Memory
    kind: str
    levels: int
    root: int
    processor: Processor
    nested: Walker | None = None
    troubles: list[Trouble] = field(default_factory=list)
    tables: set[int] = field(default_factory=set)

    def decode(self, entry: int, level: int) -> tuple[str, int, Letters]:
        if self.kind == "ept":
            return decode_ept(entry, level, self.processor)
        return decode_x86(entry, level, self.processor, nested=self.kind == "npt")

    def leaves(self) -> list[Leaf]:
        """Every translation, in the order of addresses; what cannot be followed goes to `troubles`, repeatedly."""
        self.troubles.clear()
        everything = frozenset("RWXU" if self.kind == "x86" else "RWSX")
        return list(self._table(self.root, self.levels, 0, everything, Trouble("", self.root, -1, self.levels, 0, 0)))

    def _table(self, frame: int, level: int, address: int, above: Letters, origin: Trouble) -> Iterator[Leaf]:
        words, trouble = self._words(frame)
        if words is None:
            self.troubles.append(replace(origin, what=trouble, address=self._canonical(address)))
            return
        for index in range(512):
            if words[index] == 0:  # not present in any format, and nearly every entry
                continue
            here = address + (index << (12 + 9 * (level - 1)))
            kind, target, own = self.decode(words[index], level)
            rights = (above & own) | (above & {"H"})
            if self.kind == "x86" and level == self.levels and index >= 256:
                rights |= {"H"}
            entry = Trouble("", frame, index, level, words[index], self._canonical(here))
            if kind in ("reserved", "misconfigured"):
                self.troubles.append(replace(entry, what=kind))
            elif not rights & set("RWXS"):
                continue
            elif kind == "leaf":
                yield Leaf(self._canonical(here), level, target, 512 ** (level - 1), rights, words[index])
            elif kind == "table":
                yield from self._table(target, level - 1, here, rights, entry)

    def _words(self, frame: int) -> tuple[list[int] | None, str]:
        if self.nested is not None:
            frame, rights = self.nested.translate(frame)
            if frame == ABSENT:
                return None, "absent"
            if "R" not in rights:
                return None, "untranslated"
        if frame not in self.memory:
            return None, "absent"
        self.tables.add(frame)
        return self.memory[frame], ""

    def _canonical(self, address: int) -> int:
        width = 12 + 9 * self.levels
        if self.kind == "x86" and bit(address, width - 1):
            return address + (1 << 64) - (1 << width)
        return address

    def translate(self, page: int) -> tuple[int, Letters]:
        """From an input page to a frame and the rights there; ABSENT if a table is, no rights if nothing is mapped."""
        table, rights = self.root, frozenset("RWSX")
        if page >= 512**self.levels:
            return 0, frozenset()
        for level in range(self.levels, 0, -1):
            if table not in self.memory:
                return ABSENT, frozenset()
            entry = self.memory[table][(page >> (9 * (level - 1))) & 511]
            kind, frame, own = self.decode(entry, level)
            rights &= own
            if kind not in ("leaf", "table") or "R" not in rights:
                return 0, frozenset()
            if kind == "leaf":
                return frame + page % 512 ** (level - 1), rights
            table = frame
        raise AssertionError("level 1 has only leaves")


ABSENT = -1


def through(guest_leaves: list[Leaf], nested_leaves: list[Leaf]) -> Iterator[tuple[int, int, Letters]]:
    """Each guest leaf cut at each nested leaf that it meets: first frame, number of frames, rights of both together."""
    for leaf in guest_leaves:
        for below in nested_leaves:
            page = below.address >> 12
            low, end = max(leaf.first, page), min(leaf.first + leaf.count, page + below.count)
            if low < end:
                execute = below.rights & {"X" if "U" in leaf.rights else "S"}
                rights = leaf.rights & (below.rights & {"R", "W"} | ({"X"} if execute else set()) | {"U", "H"})
                if rights & set("RWX"):
                    yield below.first + low - page, end - low, rights
