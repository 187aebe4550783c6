"""Which frames and which registers a photograph holds, format by format."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.photograph import Kind
from audit.readers import open_photograph
from audit.readers.store import Store
from tests.audit.cores import LA57, LONG_MODE, Memory, Segment, flattened, note, qemu_note, write_core, zstd

PHOTOGRAPHS = Path(__file__).parent / "photographs"
FOLDERS = sorted(path.name for path in PHOTOGRAPHS.iterdir())


@pytest.fixture(autouse=True)
def _without_holes(monkeypatch):
    """What counts as a hole is the file system's choice."""
    monkeypatch.setattr(Store, "filled", lambda _, offset, end: iter([(offset, end)]))


def memory(*numbers: int) -> Memory:
    """Frames that hold their own number."""
    made = Memory()
    for number in numbers:
        made.frame(number)[:] = number
    return made


def held(photograph, numbers=None) -> dict[int, int]:
    """Each frame that is there (of these numbers, or of those that may be other than zero), with its first word."""
    runs = [first + i for first, count in photograph.runs() for i in range(count)]
    wanted = np.array(runs if numbers is None else numbers, np.uint64)
    words, there = photograph.read(wanted)
    assert numbers is not None or there.all()
    return dict(zip(wanted[there].tolist(), words[there, 0].tolist(), strict=True))


def test_a_raw_image_holds_every_frame_at_its_offset(tmp_path):
    photograph = open_photograph(memory(1, 3).write_raw(tmp_path / "image"))
    assert held(photograph, range(6)) == {0: 0, 1: 1, 2: 0, 3: 3}
    assert photograph.end == 4


def test_frames_are_read_in_the_order_asked_and_absent_ones_are_zero(tmp_path):
    photograph = open_photograph(memory(1, 2, 3, 9).write_core(tmp_path / "core"))
    words, there = photograph.read(np.array([3, 9, 4, 1, 2, 0, 1 << 41, (1 << 64) - 1, 3], np.uint64))
    assert words[:, 511].tolist() == [3, 9, 0, 1, 2, 0, 0, 0, 3]
    assert there.tolist() == [True, True, False, True, True, False, False, False, True]


def test_nothing_can_be_asked_for(tmp_path):
    photograph = open_photograph(memory(1).write_raw(tmp_path / "image"))
    words, there = photograph.read(np.array([], np.uint64))
    assert words.shape == (0, 512)
    assert there.shape == (0,)


@pytest.mark.parametrize("compress", [lzma.compress, zstd], ids=["xz", "zstd"])
@pytest.mark.parametrize("form", ["write_raw", "write_core", "write_kdump"])
def test_a_compressed_image_holds_what_the_image_holds(tmp_path, compress, form):
    image = getattr(memory(0, 1, 700, 900), form)(tmp_path / "image")
    (tmp_path / "compressed").write_bytes(compress(image.read_bytes()))
    numbers = range(1000)
    assert held(open_photograph(tmp_path / "compressed"), numbers) == held(open_photograph(image), numbers)


def test_several_streams_of_xz_with_padding_between_them_are_one_image(tmp_path):
    image = memory(0, 1, 2).write_raw(tmp_path / "image").read_bytes()
    parts = [lzma.compress(image[:5000]), bytes(8), lzma.compress(image[5000:]), bytes(4)]
    (tmp_path / "compressed").write_bytes(b"".join(parts))
    assert held(open_photograph(tmp_path / "compressed"), range(9)) == {0: 0, 1: 1, 2: 2}


def test_several_frames_of_zstd_some_to_be_skipped_are_one_image(tmp_path):
    image = memory(0, 1, 2).write_raw(tmp_path / "image").read_bytes()
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00four"
    (tmp_path / "compressed").write_bytes(skipped + zstd(image[:5000]) + skipped + zstd(image[5000:]))
    assert held(open_photograph(tmp_path / "compressed"), range(9)) == {0: 0, 1: 1, 2: 2}


def test_an_expanded_image_keeps_frames_of_zeros_as_holes(tmp_path, monkeypatch):
    made = memory(0, 5000)
    (tmp_path / "compressed").write_bytes(lzma.compress(made.write_raw(tmp_path / "image").read_bytes()))
    written = list[int]()
    write = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda *what: written.append(len(what[1])) or write(*what))
    photograph = open_photograph(tmp_path / "compressed")
    assert held(photograph, [0, 4999, 5000]) == {0: 0, 4999: 0, 5000: 5000}
    assert sum(written) == 4096  # frame 0 holds its own number, which is 0


@pytest.mark.parametrize("form", ["write_raw", "write_core"])
def test_holes_of_a_file_are_not_scanned_but_are_there(tmp_path, monkeypatch, form):
    photograph = open_photograph(getattr(memory(*range(1, 8)), form)(tmp_path / "image"))
    offset = photograph.store.size - 7 * 4096
    parts = [(offset + 4099, offset + 8193), (offset + 5 * 4096, offset + 7 * 4096)]

    def filled(start: int, end: int):
        return ((max(a, start), min(b, end)) for a, b in parts if a < end and start < b)

    monkeypatch.setattr(photograph.store, "filled", filled)
    assert list(photograph.runs()) == [(2, 2), (6, 2)]
    assert held(photograph, range(1, 9)) == {number: number for number in range(1, 8)}


def test_holes_are_found_where_the_system_knows_them(tmp_path, monkeypatch):
    monkeypatch.undo()
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"\1" * 4096)
    assert held(open_photograph(path)).get(8192) == 0x0101010101010101


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_holds_the_frames_of_its_index(name):
    photograph = open_photograph(PHOTOGRAPHS / name)
    index = json.loads((PHOTOGRAPHS / name / "frames.json").read_text())
    assert list(photograph.runs()) == [tuple(run) for run in index["runs"]]
    numbers = np.array(sorted(held(photograph)), np.uint64)
    assert hashlib.sha256(photograph.read(numbers)[0].tobytes()).hexdigest() == index["sha256"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_tells_the_roots_and_registers_of_its_scenario(name):
    scenario = json.loads((PHOTOGRAPHS / name / "scenario.json").read_text())
    machine = open_photograph(PHOTOGRAPHS / name).machine
    assert machine.maxphyaddr == 40
    told = [(root.name, root.frame << 12, root.levels, root.inside) for root in machine.roots]
    assert told == [(r["name"], int(r["root"], 0), r["levels"], r.get("inside", "")) for r in scenario["roots"]]
    assert [p.cr3 for p in machine.processors] == [int(r["cr3"], 0) for r in scenario["roots"] if "cr3" in r]
    guests = {root.name for root in machine.roots if root.guest}
    assert guests == {r["name"] for r in scenario["roots"] if r["name"].startswith("vm")}


def test_a_folder_may_name_a_whole_image_instead(tmp_path):
    made = memory(0, 1, 2)
    made.write_core(tmp_path / "memory.core", processors=[(0, 0, 0)])
    scenario = {"image": {"file": "memory.core"}, "roots": [{"name": "a", "kind": "npt", "levels": 5, "root": 4096}]}
    (tmp_path / "scenario.json").write_text(json.dumps(scenario))
    photograph = open_photograph(tmp_path)
    assert held(photograph, range(9)) == {0: 0, 1: 1, 2: 2}
    assert [(root.name, root.kind, root.levels, root.frame) for root in photograph.machine.roots] == [
        ("a", Kind.NPT, 5, 1)
    ]
    assert photograph.machine.processors == ()


def test_the_cr3_of_a_guest_is_no_cpus(tmp_path):
    nested = {"name": "vm", "kind": "npt", "levels": 4, "root": "0x1000"}
    guest = {"name": "guest", "kind": "x86-in-npt", "levels": 4, "root": "0x2000", "inside": "vm", "cr3": "0x2000"}
    machine = open_photograph(memory(1, 2).write_sparse(tmp_path / "folder", roots=[nested, guest])).machine
    assert machine.processors == ()
    assert [(root.inside, root.guest) for root in machine.roots] == [("", True), ("vm", True)]


def test_a_core_tells_the_registers_of_each_cpu_over_several_note_segments(tmp_path):
    processors = [(0x80050033, 0x1000, 0x20), (0x10, 0x2000, 0), (0x80050033, 0x3000, 0x20 | LA57)]
    path = memory(1, 2, 3).write_core(tmp_path / "core", processors=processors, note_segments=4)
    told = open_photograph(path).machine.processors
    assert sorted((p.cr0, p.cr3, p.cr4) for p in told) == sorted(processors)
    assert [p.number for p in told] == [0, 1, 2]


def test_the_head_of_a_real_core_tells_what_its_emulator_said(tmp_path):
    head = (PHOTOGRAPHS / "pt-la48-pti" / "core.elf.head").read_bytes()
    core = tmp_path / "core"
    core.write_bytes(head)
    with core.open("r+b") as file:
        file.truncate(0xA000AF8 + 0x40000)
    photograph = open_photograph(core)
    assert list(photograph.runs()) == [(0, 0xA000), (0xFFFC0, 0x40)]
    assert photograph.machine.processors == open_processors("pt-la48-pti")


def open_processors(name: str):
    """The processors of a scenario without EFER, which a core does not tell."""
    return tuple(replace(p, efer=None) for p in open_photograph(PHOTOGRAPHS / name).machine.processors)


def test_more_program_headers_than_their_field_can_count(tmp_path):
    frame = bytes(4096)
    segments = [Segment(number * 8192, frame, again=0 if number else None) for number in range(0x10001)]
    path = write_core(tmp_path / "core", segments, [(*LONG_MODE, 0)], extended=True)
    assert len(list(open_photograph(path).runs())) == 0x10001


def test_segments_that_share_bytes_are_one_frame_wherever_they_are_mapped(tmp_path):
    segments = [
        Segment(0x1000, b"\1" * 12288, vaddr=0xFFFF888000001000),
        Segment(0x2000, b"\1" * 4096, vaddr=0xFFFFFFFF81000000),  # a copy at another place of the file
        Segment(0x1000, b"\1" * 12288, vaddr=0x400000, again=0),
    ]
    photograph = open_photograph(write_core(tmp_path / "core", segments))
    assert list(photograph.runs()) == [(1, 3)]
    assert photograph.read(np.array([3], np.uint64))[1].all()


def test_frames_side_by_side_are_one_run_wherever_they_lie_in_the_file(tmp_path):
    segments = [Segment(0x2000, b"\2" * 4096), Segment(0x1000, b"\1" * 4096)]
    assert list(open_photograph(write_core(tmp_path / "core", segments)).runs()) == [(1, 2)]


def test_what_a_segment_has_only_in_memory_is_absent(tmp_path):
    segments = [Segment(0x1000, b"\1" * 4096, memsz=0x3000), Segment(0x5000, b"", memsz=0x1000)]
    assert list(open_photograph(write_core(tmp_path / "core", segments)).runs()) == [(1, 1)]


def test_a_frame_that_a_segment_holds_in_part_is_absent(tmp_path):
    segments = [Segment(0x1800, b"\1" * 0x1C00), Segment(0x3400, b"\1" * 0xC00), Segment(0x8000, b"\1" * 0x100)]
    core = write_core(tmp_path / "core", segments)
    # 0x3000 is held by two segments, which lie together in the file: so it is held whole.
    assert list(open_photograph(core).runs()) == [(2, 2)]
    apart = [Segment(0x3400, b"\1" * 0xC00), Segment(0x1800, b"\1" * 0x1C00)]
    assert list(open_photograph(write_core(tmp_path / "apart", apart)).runs()) == [(2, 1)]


def test_vmcoreinfo_tells_the_table_of_the_kernel_and_the_encryption_bit(tmp_path):
    text = b"OSRELEASE=6.1\nNUMBER(phys_base)=-16777216\nSYMBOL(swapper_pg_dir)=ffffffff82610000\n"
    more = b"NUMBER(pgtable_l5_enabled)=1\nNUMBER(sme_mask)=140737488355328\n"
    path = memory(1).write_core(tmp_path / "core", notes=[note(b"VMCOREINFO", text + more)])
    machine = open_photograph(path).machine
    assert machine.kernel is not None
    assert (machine.kernel.frame, machine.kernel.levels) == (0x1610, 5)
    assert machine.encryption_bit == 47


@pytest.mark.parametrize("compress", [0, 1, 32], ids=["plain", "zlib", "zstd"])
@pytest.mark.parametrize("version", [4, 5, 6])
def test_a_kdump_compressed_dump_holds_the_frames_that_were_dumped(tmp_path, compress, version):
    numbers = [0, 1, 7, 8, 9, 40000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1]
    path = memory(*numbers).write_kdump(tmp_path / "dump", compress=compress, version=version)
    photograph = open_photograph(path)
    assert held(photograph) == dict(zip(numbers, numbers, strict=True))
    words, there = photograph.read(np.array([9, 2, 1 << 20, 9], np.uint64))
    assert (words[:, 511].tolist(), there.tolist()) == ([9, 0, 1 << 20, 9], [True, False, True, True])


@pytest.mark.parametrize("again", [bytes, zstd], ids=["plain", "zstd"])
def test_a_flattened_dump_holds_what_the_dump_holds(tmp_path, again):
    dump = memory(0, 1, 700).write_kdump(tmp_path / "dump").read_bytes()
    pieces = [(at, dump[at : at + 5000]) for at in range(0, len(dump), 5000)]
    (tmp_path / "flat").write_bytes(again(flattened((0, b"overwritten"), *reversed(pieces))))
    assert held(open_photograph(tmp_path / "flat")) == {0: 0, 1: 1, 700: 700}


def test_a_kdump_compressed_dump_tells_the_registers_of_each_cpu(tmp_path):
    path = memory(1).write_kdump(tmp_path / "dump", qemu_note(*LONG_MODE[:1], 0x1000, 0x20), note(b"CORE", b"1234"))
    assert [(p.cr3, p.cr4) for p in open_photograph(path).machine.processors] == [(0x1000, 0x20)]


WRITTEN = ["write_raw", "write_core", "write_kdump", "write_sparse"]


@pytest.mark.parametrize("form", WRITTEN)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.sets(st.integers(0, 60), min_size=1),
    asked=st.lists(st.integers(0, 70) | st.sampled_from([1 << 40, (1 << 52) - 1, (1 << 64) - 1]), max_size=40),
)
def test_what_is_asked_is_what_was_there(tmp_path, form, numbers, asked):
    photograph = open_photograph(getattr(memory(*numbers), form)(tmp_path / "photograph"))
    there = range(max(numbers) + 1) if form == "write_raw" else numbers
    words, mask = photograph.read(np.array(asked, np.uint64))
    assert mask.tolist() == [number in there for number in asked]
    assert words.tolist() == [[number if number in numbers else 0] * 512 for number in asked]
    assert photograph.end == max(numbers) + 1
