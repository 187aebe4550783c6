"""The bits of a page-table entry by the manuals' mnemonics, for people who read a path."""

from __future__ import annotations

from typing import Final

from audit.photograph import Kind

# SDM 3A 4.5.4, tables 4-15 to 4-20; APM 2 5.4.1 says the same, and 15.25.5 that nested tables use it too.
_X86: Final = {0: "P", 1: "RW", 2: "US", 3: "PWT", 4: "PCD", 5: "A", 63: "XD"}
_X86_LEAF: Final = {6: "D", 8: "G"}
# SDM 3C 29.3.2, tables 29-1 to 29-7.
_EPT: Final = {0: "R", 1: "W", 2: "X", 8: "A", 10: "XU"}
_EPT_LEAF: Final = {6: "IPAT", 9: "D", 57: "VGP", 58: "PW", 60: "SSS", 61: "SPP", 63: "SVE"}
# SDM 3C 29.3.7.2; numbers that are missing are reserved.
_MEMORY_TYPES: Final = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB"}
_PAT_OF_LARGE: Final = 12


def describe(kind: Kind, level: int, entry: int) -> str:
    """The set bits of an entry of a table of this level, such as "P RW US A D XD", software bits by number."""
    large = level in (2, 3) and entry >> 7 & 1
    leaf = level == 1 or large
    names = {**(_EPT if kind is Kind.EPT else _X86)}
    if leaf:
        names |= _EPT_LEAF if kind is Kind.EPT else _X86_LEAF
    if large:
        names[7] = "PS"
    if kind is not Kind.EPT and leaf:
        names[_PAT_OF_LARGE if large else 7] = "PAT"
    words = [name for bit, name in sorted(names.items()) if entry >> bit & 1]
    if kind is Kind.EPT and leaf:
        code = entry >> 3 & 7
        words.append(f"type {_MEMORY_TYPES.get(code, code)}")
    software = [bit for bit in (9, 10, 11, *range(52, 63)) if entry >> bit & 1 and bit not in names]
    return " ".join([*words, *(f"sw{bit}" for bit in software)])
