"""The primitives of the concrete machine against a plain restatement of their contracts."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.machine.layout import Configuration, Layout
from impl.machine.machine import ConcreteMachine, ContractError
from impl.machine.registers import XSTATE_WORDS

LAYOUT = Layout.from_configuration(Configuration())
WORD = st.integers(0, (1 << 64) - 1)
INDEX = st.integers(0, 511)
FRAME = st.integers(0, 40)
WRITES = st.lists(st.tuples(FRAME, INDEX, WORD), max_size=30)


def machine_with(writes: list[tuple[int, int, int]]) -> ConcreteMachine:
    machine = ConcreteMachine(LAYOUT)
    for frame, index, value in writes:
        machine.storage.memory[frame, index] = value
    return machine


def contents(machine: ConcreteMachine) -> dict[tuple[int, int], int]:
    return {(f, i): w for f, words in machine.storage.physical.frames.items() for i, w in enumerate(words) if w}


@given(WRITES, FRAME)
def test_memory_zero(writes: list[tuple[int, int, int]], frame: int) -> None:
    machine = machine_with(writes)
    before = contents(machine)
    machine.memory_zero(frame)
    assert contents(machine) == {key: w for key, w in before.items() if key[0] != frame}


@given(WRITES, FRAME, FRAME)
def test_memory_copy_and_fetch_page(writes: list[tuple[int, int, int]], to: int, source: int) -> None:
    for name in ("memory_copy", "fetch_page"):
        machine = machine_with(writes)
        before = contents(machine)
        if to == source:
            with pytest.raises(ContractError):
                getattr(machine, name)(to, source)
            continue
        getattr(machine, name)(to, source)
        kept = {key: w for key, w in before.items() if key[0] != to}
        assert contents(machine) == kept | {(to, i): w for (f, i), w in before.items() if f == source}


@given(WRITES, FRAME, INDEX, st.integers(0, 512))
def test_memory_is_zero(writes: list[tuple[int, int, int]], frame: int, first: int, end: int) -> None:
    machine = machine_with(writes)
    plain = all(machine.storage.memory[frame, i] == 0 for i in range(first, end))
    assert machine.memory_is_zero(frame, first, end) == plain


def test_a_page_is_fetched_word_by_word_in_changing_memory() -> None:
    machine = machine_with([(1, i, i + 1) for i in range(512)])
    seen: list[int] = []

    def change(frame: int, index: int) -> None:
        seen.append(index)
        machine.storage.memory[frame, 511 - index] = 7

    machine.on_fetch = change
    machine.fetch_page(2, 1)
    assert seen == list(range(512))
    assert [machine.storage.memory[2, i] for i in range(512)] == [i + 1 for i in range(256)] + [7] * 256


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(1, 15)), max_size=20), st.integers(0, 3))
def test_tlb_flush(entries: list[tuple[int, int, int]], cpu: int) -> None:
    machine = ConcreteMachine(LAYOUT)
    for c, page, rights in entries:
        machine.storage.tlb_rights[c, page] = rights
        machine.storage.tlb_frame[c, page] = page + 100
    machine.tlb_flush(cpu)
    for c, page, _ in entries:
        assert (machine.storage.tlb_rights[c, page] == 0) == (c == cpu)
        assert machine.storage.tlb_frame[c, page] == (0 if c == cpu else page + 100)


@given(st.lists(WORD, min_size=XSTATE_WORDS, max_size=XSTATE_WORDS))
def test_xstate(words: list[int]) -> None:
    machine = machine_with([(5, i, 9) for i in range(512)])
    for i, word in enumerate(words):
        machine.storage.xstate[1, i] = word
    machine.xstate_save(1, 5)
    assert [machine.storage.memory[5, i] for i in range(512)] == words + [9] * (512 - XSTATE_WORDS)
    machine.xstate_reset(1)
    assert [machine.storage.xstate[1, i] for i in range(4)] == [0x37F, 0, 0, 0x1F80]
    assert not any(machine.storage.xstate[1, i] for i in range(4, XSTATE_WORDS))
    machine.xstate_restore(1, 5)
    assert [machine.storage.xstate[1, i] for i in range(XSTATE_WORDS)] == words


@given(
    st.lists(st.one_of(st.tuples(st.just("take"), st.integers(1, 4)), st.tuples(st.just("release"), st.integers(1, 4))))
)
def test_pool(steps: list[tuple[str, int]]) -> None:
    machine = ConcreteMachine(LAYOUT)
    size = LAYOUT.epc_first - LAYOUT.pool_first
    owners: dict[int, int] = {}
    for what, owner in steps:
        if what == "take":
            frame = machine.pool_take(owner)
            assert frame not in owners
            assert LAYOUT.pool_first <= frame < LAYOUT.epc_first
            assert machine.memory_is_zero(frame, 0, 512)
            owners[frame] = owner
            machine.storage.memory[frame, 3] = 1
            machine.storage.table_kind[frame] = 1
            machine.storage.table_level[frame] = 2
            machine.storage.table_prefix[frame] = frame
            machine.storage.table_at[1, owner, 2, frame] = frame
        else:
            machine.pool_release(owner)
            for frame in [f for f, o in owners.items() if o == owner]:
                assert machine.memory_is_zero(frame, 0, 512)
                assert machine.storage.table_at[1, owner, 2, frame] == 0
                assert machine.storage.table_kind[frame] == machine.storage.table_prefix[frame] == 0
                del owners[frame]
        assert machine.storage.pool_free[()] == size - len(owners)
        assert machine.storage.sparse["pool_owner"] == owners


def test_an_empty_pool_gives_nothing() -> None:
    machine = ConcreteMachine(LAYOUT)
    for _ in range(LAYOUT.epc_first - LAYOUT.pool_first):
        machine.pool_take(1)
    with pytest.raises(ContractError):
        machine.pool_take(1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**36), WORD), max_size=6))
def test_measurement(steps: list[tuple[bool, int, int]]) -> None:
    machine = machine_with([(6, i, i * i) for i in range(512)])
    page = machine.storage.physical.page(6).tobytes()
    machine.measure_start(16, 1, 0x10000)
    log = b"ECREATE\0" + struct.pack("<IQ", 1, 0x10000) + bytes(44)
    for extend, offset, secinfo in steps:
        machine.measure_add(16, offset, secinfo)
        log += b"EADD\0\0\0\0" + struct.pack("<QQ", offset, secinfo) + bytes(40)
        if extend:
            machine.measure_extend(16, offset, 6)
            for chunk in range(16):
                log += b"EEXTEND\0" + struct.pack("<Q", offset + 256 * chunk) + bytes(48)
                log += page[256 * chunk : 256 * chunk + 256]
    assert struct.pack("<4Q", *machine.measure_final(16)) == hashlib.sha256(log).digest()
    assert machine.measure_final(16) == machine.copy().measure_final(16)


@given(st.lists(WORD, max_size=50))
def test_digest_words(words: list[int]) -> None:
    expected = hashlib.sha256(b"".join(struct.pack("<Q", w) for w in words)).digest()
    assert struct.pack("<4Q", *ConcreteMachine(LAYOUT).digest_words(tuple(words))) == expected
