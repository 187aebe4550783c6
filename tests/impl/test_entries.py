"""Known answers: every kind of entry word that the monitor writes, and the table words that it links."""

from __future__ import annotations

import pytest

from impl.machine.primitives import NestedFormat
from impl.monitor import entries

FRAME = 0x12345
R, RW, RX, RWX = 1, 3, 5, 7


@pytest.mark.parametrize(
    ("rights", "word"),
    [(R, 0x8000000012345005), (RW, 0x8000000012345007), (RX, 0x0000000012345005), (RWX, 0x0000000012345007)],
)
def test_guest_and_npt_leaves(rights: int, word: int) -> None:
    assert entries.guest_leaf(FRAME, rights) == word
    assert entries.nested_leaf(NestedFormat.NPT, FRAME, rights) == word


@pytest.mark.parametrize(("rights", "word"), [(R, 0x12345031), (RW, 0x12345033), (RX, 0x12345035), (RWX, 0x12345037)])
def test_ept_leaves(rights: int, word: int) -> None:
    assert entries.nested_leaf(NestedFormat.EPT, FRAME, rights) == word


def test_tcs_leaf_is_occupied_but_not_present() -> None:
    assert entries.guest_tcs_leaf(FRAME) == 0x8000000012345006


def test_io_leaf_and_table_entries() -> None:
    assert entries.io_leaf(FRAME, RWX) == 0x12345003
    assert entries.table_entry(entries.GUEST, FRAME) == 0x12345007
    assert entries.table_entry(entries.NESTED, FRAME) == 0x12345007
    assert entries.table_entry(entries.IO, FRAME) == 0x12345003


@pytest.mark.parametrize("word", [0x8000000012345006, 0x12345033, 0x8000000012345005])
def test_frame_of_a_leaf(word: int) -> None:
    assert entries.leaf_frame(word) == FRAME
