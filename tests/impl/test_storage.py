"""The storage: widths are kept, what was never written is 0, EPCM entries are bytes of monitor memory."""

from __future__ import annotations

import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.machine.layout import Configuration, FrameClass, Layout, frame_class, is_epc, is_normal, valid_layout
from impl.machine.primitives import Storage
from impl.machine.storage import FIELDS, ConcreteStorage, StorageError

LAYOUT = Layout.from_configuration(Configuration())


def fresh() -> ConcreteStorage:
    return ConcreteStorage(LAYOUT)


def test_the_interface_has_exactly_the_fields_of_the_table() -> None:
    assert set(Storage.__annotations__) == set(FIELDS)
    assert all(hasattr(fresh(), name) for name in FIELDS)


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"memory", "epcm"}))
def test_widths(name: str) -> None:
    field, cells = FIELDS[name], getattr(fresh(), name)
    last = tuple((1 << width) - 1 for width in field.keys)
    key = last[0] if len(last) == 1 else last
    assert cells[key] == 0
    cells[key] = (1 << field.width) - 1
    assert cells[key] == (1 << field.width) - 1
    for value in (-1, 1 << field.width):
        with pytest.raises(StorageError):
            cells[key] = value
    for i in range(len(last)):
        outside = (*last[:i], last[i] + 1, *last[i + 1 :])
        wrong = outside[0] if len(last) == 1 else outside
        with pytest.raises(StorageError):
            cells[wrong] = 1
        with pytest.raises(StorageError):
            cells[wrong]


def test_memory_ends_where_the_configuration_says() -> None:
    s = fresh()
    s.memory[LAYOUT.memory_end - 1, 511] = 1
    for key in ((LAYOUT.memory_end, 0), (LAYOUT.memory_end - 1, 512), (0, 512), (0, -1), (-1, 0)):
        with pytest.raises(StorageError):
            s.memory[key] = 1
        with pytest.raises(StorageError):
            s.memory[key]


@given(
    st.integers(LAYOUT.epc_first, LAYOUT.epc_end - 1), st.lists(st.integers(0, (1 << 64) - 1), min_size=3, max_size=3)
)
def test_epcm_entries_are_24_bytes_in_a_row(frame: int, words: list[int]) -> None:
    s = fresh()
    for k, word in enumerate(words):
        s.epcm[frame, k] = word
    raw = b"".join(s.physical.page(f).tobytes() for f in range(LAYOUT.epcm_first, LAYOUT.staging_first))
    start = 24 * (frame - LAYOUT.epc_first)
    assert raw[start : start + 24] == struct.pack("<3Q", *words)
    assert not any(raw[:start] + raw[start + 24 :])


def test_only_epc_frames_have_epcm_entries() -> None:
    for key in ((LAYOUT.epc_first - 1, 0), (LAYOUT.epc_end, 0), (LAYOUT.epc_first, 3)):
        with pytest.raises(StorageError):
            fresh().epcm[key]


def test_copies_are_independent_and_comparable() -> None:
    a = fresh()
    a.life[8] = 2
    a.memory[3, 4] = 5
    b = a.copy()
    assert a.same(b)
    b.memory[3, 4] = 0
    assert not a.same(b)
    b.memory[3, 4] = 5
    b.physical.frames[9] = array("Q", bytes(4096))
    assert a.same(b)
    b.life[8] = 0
    assert not a.same(b)


def test_every_frame_has_one_class() -> None:
    for frame in range(LAYOUT.memory_end + 10):
        kind = frame_class(LAYOUT, frame)
        assert is_normal(LAYOUT, frame) == (kind is FrameClass.NORMAL)
        assert is_epc(LAYOUT, frame) == (kind is FrameClass.EPC)
    assert frame_class(LAYOUT, LAYOUT.zero_frame) is FrameClass.MONITOR
    assert frame_class(LAYOUT, LAYOUT.pool_first) is FrameClass.MONITOR
    assert frame_class(LAYOUT, LAYOUT.device_first) is FrameClass.RESERVED
    assert frame_class(LAYOUT, LAYOUT.memory_end) is FrameClass.RESERVED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reserved_first": 0}, "frame 0"),
        ({"epc_frames": 0}, "at least 1"),
        ({"pool_frames": 20}, "pool has room"),
        ({"memory_frames": 1200, "device_first": 0, "device_end": 0}, "reserved memory lies in physical memory"),
        ({"cpus": 0}, "there is a CPU"),
        ({"cpus": 513}, "at most 512"),
        ({"device_first": 1100, "device_end": 1200}, "overlaps"),
        ({"device_first": 20, "device_end": 10}, "end before"),
        ({"device_end": 5000}, "lies in physical memory"),
        ({"memory_frames": (1 << 36) + 1, "pool_frames": 1 << 30, "device_first": 0, "device_end": 0}, "2**36"),
    ],
)
def test_configurations_that_make_no_sense(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("*", r"\*")):
        Layout.from_configuration(Configuration(**changes))


def test_valid_layout_names_its_conditions() -> None:
    conditions = valid_layout(LAYOUT)
    assert all(holds for _, holds in conditions)
    assert len({name for name, _ in conditions}) == len(conditions)
