"""Entries decoded by the thousand, against the manuals' sentences one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.formats import Options, format_of, options_of
from audit.photograph import Kind, Machine, Processor
from audit.reach import Rights
from tests.audit.memory import PROCESSORS
from tests.audit.plain_walker import decode_ept, decode_x86

RWX = Rights.READ | Rights.WRITE | Rights.EXECUTE
GRANTS = {"R": 1, "W": 2, "X": 4, "U": 8}
NESTED_GRANTS = {"R": 1, "W": 2, "S": 4, "X": 8}


def decoded(kind: Kind, level: int, word: int, **options) -> tuple[str, int, Rights]:
    """What one entry is, where it leads, and what it grants."""
    layout = format_of(kind, Options(**options))
    words = np.array([word], np.uint64)
    leaf, grant, faulty = layout.decode(words, level)
    if faulty is not None:
        return "faulty", 0, Rights.NONE
    what = "nothing" if not grant[0] else "leaf" if leaf[0] else "table"
    frame = layout.leaf_frame(words, level) if leaf[0] else layout.table_frame(words)
    return what, int(frame[0]), Rights(int(layout.rights[grant[0]]))


SPARSE = st.lists(st.integers(0, 63), max_size=10).map(lambda numbers: sum(1 << number for number in set(numbers)))
ENTRIES = st.builds(lambda word, low: word & ~7 | low, SPARSE, st.integers(0, 7))


@settings(max_examples=100, deadline=None)
@given(st.lists(ENTRIES, min_size=24, max_size=24), st.sampled_from(list(Kind)), st.integers(1, 5), PROCESSORS)
def test_any_words_decode_as_the_manuals_say(words, kind, level, processor):
    layout = format_of(kind, Options(**processor._asdict()))
    array = np.array(words, np.uint64)
    leaf, grant, faulty = layout.decode(array, level)
    frames = np.where(leaf, layout.leaf_frame(array, level), layout.table_frame(array)).tolist()
    letters = GRANTS if kind is Kind.X86 else NESTED_GRANTS
    for place, word in enumerate(words):
        if kind is Kind.EPT:
            what, frame, rights = decode_ept(word, level, processor)
        else:
            what, frame, rights = decode_x86(word, level, processor, nested=kind is Kind.NPT)
        assert (faulty is not None and bool(faulty[place])) == (what in ("reserved", "misconfigured"))
        assert int(grant[place]) == sum(letters[letter] for letter in rights)
        if rights:
            assert (("leaf" if leaf[place] else "table"), frames[place]) == (what, frame)


def test_what_a_hypervisor_marks_as_device_memory_grants_nothing():
    assert decoded(Kind.NPT, 1, 0x80000D0000037, maxphyaddr=40)[0] == "faulty"
    assert decoded(Kind.EPT, 1, 0xF80D0000036, maxphyaddr=40)[0] == "faulty"


def test_ept_memory_types_2_3_and_7_are_misconfigurations_in_leaves_only():
    found = {kind: decoded(Kind.EPT, 1, 0x5000 | kind << 3 | 7)[0] for kind in range(8)}
    assert {kind for kind, what in found.items() if what == "faulty"} == {2, 3, 7}


def test_ept_execute_only_is_a_grant_where_the_processor_has_it():
    assert decoded(Kind.EPT, 1, 0x5034) == ("leaf", 5, Rights.EXECUTE)
    assert decoded(Kind.EPT, 1, 0x5034, execute_only=False)[0] == "faulty"


def test_bit_10_is_execution_from_user_mode_only_with_mode_based_execute_control():
    assert decoded(Kind.EPT, 1, 0x5031 | 1 << 10) == ("leaf", 5, Rights.READ)
    assert decoded(Kind.EPT, 1, 0x5031 | 1 << 10, mode_based_execute=True) == ("leaf", 5, Rights.READ | Rights.EXECUTE)


@pytest.mark.parametrize(("guest", "executes"), [(Rights.USER, True), (Rights.NONE, False)])
def test_with_mode_based_execute_control_the_guests_mode_decides(guest: Rights, executes: bool):
    layout = format_of(Kind.EPT, Options(mode_based_execute=True))
    grant = int(layout.granted[layout.code(np.array([0x5031 | 1 << 10], np.uint64))[0]])
    together = Rights(int(layout.rights_of_guest[(RWX | guest) << 3 & 0xF0 | grant]))
    assert bool(together & Rights.EXECUTE) is executes


def test_pat_of_a_large_leaf_is_no_part_of_its_address():
    assert decoded(Kind.X86, 2, 0x40000000 | 1 << 12 | 0x87) == ("leaf", 0x40000, RWX | Rights.USER)


def test_an_encryption_bit_is_neither_address_nor_reserved():
    bit = 1 << 47
    assert decoded(Kind.NPT, 1, 0x5007 | bit, maxphyaddr=43, encryption_mask=bit) == ("leaf", 5, RWX)
    assert decoded(Kind.NPT, 1, 0x5007 | bit, maxphyaddr=43)[0] == "faulty"


def test_software_bits_are_no_part_of_the_address():
    assert decoded(Kind.X86, 1, 0x5007 | 0x7FF << 52 | 0xE00) == ("leaf", 5, RWX | Rights.USER)


def test_no_execute_is_reserved_while_it_is_off():
    assert decoded(Kind.X86, 1, 0x5001 | 1 << 63) == ("leaf", 5, Rights.READ)
    assert decoded(Kind.X86, 1, 0x5001 | 1 << 63, no_execute=False)[0] == "faulty"


def test_a_nested_leaf_without_user_grants_nothing():
    assert decoded(Kind.NPT, 1, 0x5003)[0] == "nothing"


@pytest.mark.parametrize("options", [{"maxphyaddr": 31}, {"maxphyaddr": 53}, {"encryption_mask": 1 << 52}])
def test_widths_and_masks_that_no_processor_has_are_refused(options: dict[str, Any]):
    with pytest.raises(ValueError, match=r"MAXPHYADDR|encryption mask"):
        Options(**options)


def test_options_come_from_what_the_file_says_of_the_machine():
    off, on = Processor(0, 0, 0, 0, efer=0x501), Processor(1, 0, 0, 0, efer=0xD01)
    assert options_of(Machine(maxphyaddr=40, processors=(off,), encryption_bit=51)) == Options(
        maxphyaddr=40, encryption_mask=1 << 51, no_execute=False
    )
    assert options_of(Machine(processors=(off, on))).no_execute
    assert options_of(Machine()) == Options()
