"""Files that cannot be used: one sentence that names file and place, never another exception, never much memory."""

from __future__ import annotations

import gc
import json
import lzma
import os
import random
import shutil
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.photograph import BadInputError
from audit.readers import compressed, open_photograph
from tests.audit.cores import LONG_MODE, Memory, Segment, flattened, note, qemu_note, write_core, zstd

PHOTOGRAPH = Path(__file__).parent / "photographs" / "pt-la48-pti"


def refused(path: Path, *words: str, **options) -> None:
    """The photograph is refused in one sentence that names the file and has these words."""
    with pytest.raises(BadInputError) as caught:
        open_photograph(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    for word in words:
        assert word in text


def memory() -> Memory:
    made = Memory()
    for number in (1, 2, 5):
        made.frame(number)[:] = number
    return made


def core(path: Path) -> Path:
    info = b"NUMBER(phys_base)=0\nSYMBOL(swapper_pg_dir)=ffffffff80001000\nNUMBER(sme_mask)=0\n"
    return memory().write_core(
        path, processors=[(*LONG_MODE, 0x1000)] * 2, notes=[note(b"VMCOREINFO", info)], note_segments=2
    )


def kdump(path: Path) -> Path:
    return memory().write_kdump(path, qemu_note(*LONG_MODE[:1], 0x1000, 0x20))


def test_nothing_there(tmp_path):
    refused(tmp_path / "none", "cannot be opened", "No such file")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "regular file")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (bytes(4097), "whole frames"),
        (b"KDUMP   " + bytes(4088), "expected header version 4, 5 or 6"),
        (b"DISKDUMP" + bytes(4088), "diskdump"),
        (b"makedumpfile" + bytes(4084), "expected type 1 and version 1"),
        (flattened(), "an empty file"),
        (flattened((0, flattened())), "flattened twice"),
        (flattened((0, bytes(5000))), "found 5000 bytes"),
        (flattened((0, bytes(4096)))[:-16], "expected 16 bytes"),
        (flattened((0, bytes(4096)))[:-17], "expected 4096 bytes"),
        (flattened((-4096, bytes(4096))), "found -4096 and 4096"),
        (flattened((0, b"")), "found 0 and 0"),
        (flattened((1 << 52, b"x")), "expected an offset and a size"),
        (flattened(*[(0, b"x")] * 5000), "records in a file"),
        (b"EMiL" + bytes(4092), "LiME"),
        (b"\x1f\x8b" + bytes(4094), "gzip"),
        (b"QFI\xfb" + bytes(4092), "qcow2"),
        (lzma.compress(b""), "an empty file"),
        (lzma.compress(bytes(100)), "found 100 bytes"),
        (lzma.compress(lzma.compress(bytes(4096))), "compressed twice"),
        (lzma.compress(bytes(9999))[:-9], "end too early"),
        (zstd(random.Random(1).randbytes(9999))[:-9], "end too early"),
        (zstd(bytes(4096)) + b"tail", "cannot be expanded"),
        (lzma.compress(bytes(4096)) + b"tail", "end too early"),
        (lzma.compress(bytes(4096)) + b"a longer tail", "cannot be expanded"),
        (b"\x7fELF", "expected 64 bytes"),
    ],
)
def test_foreign_truncated_and_damaged_files(tmp_path, content, words):
    (tmp_path / "image").write_bytes(content)
    refused(tmp_path / "image", words)


@pytest.mark.parametrize(
    ("offset", "form", "value", "words"),
    [
        (4, "B", 1, "offset 0x4: expected 64 bits"),
        (5, "B", 2, "little-endian"),
        (16, "H", 2, "expected e_type 4"),
        (18, "H", 183, "e_machine 62"),
        (54, "H", 32, "expected e_phentsize 56"),
        (56, "H", 0, "program headers, found 0"),
        (56, "H", 0xFFFE, "expected 3669904 bytes"),
        (32, "Q", 1 << 63, "expected"),
        (40, "Q", 0, None),
        (128 + 56 * 2 + 8, "Q", 1 << 62, "program header 2 at offset 0xf0: expected p_offset + p_filesz"),
        (128 + 56 * 2 + 32, "Q", (1 << 64) - 1, "program header 2"),
        (128 + 56 * 2 + 24, "Q", 1 << 52, "within 52 bits"),
        (128 + 56 * 2 + 40, "Q", 1, "p_filesz of at most p_memsz"),
        (128 + 56 * 4, "B", 0, "note segment 0, offset 0x15c: expected nothing but zeros"),
        (128 + 56 * 4, "I", 0xFFFFFFFF, "expected a name of 4294967295"),
    ],
)
def test_a_core_with_one_wrong_field(tmp_path, offset, form, value, words):
    path = core(tmp_path / "core")
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, offset, value)
    path.write_bytes(content)
    if words is None:
        open_photograph(path)
    else:
        refused(path, words)


@pytest.mark.parametrize(
    ("offset", "form", "value", "words"),
    [
        (8, "I", 3, "offset 0x8: expected header version"),
        (272, "I", 0, "offset 0x110: expected a dump of x86_64"),
        (424, "I", 8, "pages were lost"),
        (428, "I", 8192, "expected blocks of 4096"),
        (432, "I", 0xFFFFFFFF, "expected"),
        (436, "I", 0, "expected two bitmaps for 6 frames in 0 blocks"),
        (436, "I", 1 << 20, "128 MiB at most"),
        (4096 + 12, "I", 1, "makedumpfile --reassemble"),
        (4096 + 56, "Q", 1 << 40, "bytes of notes"),
        (4096 + 48, "Q", 1 << 62, "expected"),
        (4096 + 96, "Q", 0, "expected two bitmaps for 0 frames"),
        (4096 + 96, "Q", 1 << 60, "expected two bitmaps"),
        (12288, "Q", 0, "at least one whole frame"),
    ],
)
def test_a_kdump_dump_with_one_wrong_field(tmp_path, offset, form, value, words):
    path = kdump(tmp_path / "dump")
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, offset, value)
    path.write_bytes(content)
    refused(path, words)


def test_a_kdump_dump_that_ends_before_its_descriptors(tmp_path):
    path = kdump(tmp_path / "dump")
    os.truncate(path, 16384 + 24)
    refused(path, "expected 3 page descriptors")


@pytest.mark.parametrize(
    ("offset", "form", "value", "words"),
    [
        (0, "Q", 1 << 62, "expected"),
        (8, "I", 5000, "expected 1 to 4096 bytes"),
        (8, "I", 5, "expected a page of 4096 bytes"),
        (12, "I", 2, "found flags 0x2"),
        (12, "I", 32, "cannot be expanded"),
        (12, "I", 0, "expected a page of 4096 bytes"),
    ],
)
def test_a_page_of_a_kdump_dump_that_cannot_be_expanded(tmp_path, offset, form, value, words):
    path = kdump(tmp_path / "dump")
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, 16384 + offset, value)
    path.write_bytes(content)
    photograph = open_photograph(path)
    with pytest.raises(BadInputError, match=words):
        photograph.read(np.array([1], np.uint64))


def test_a_page_of_a_kdump_dump_expands_to_one_page_at_most(tmp_path):
    path = kdump(tmp_path / "dump")
    content = bytearray(path.read_bytes())
    bomb = zlib.compress(bytes(2 << 20), 9)
    struct.pack_into("<QI", content, 16384, len(content), len(bomb))
    path.write_bytes(content + bomb)
    with pytest.raises(BadInputError, match="found one of 4097"):
        open_photograph(path).read(np.array([1], np.uint64))


@pytest.mark.parametrize(("offset", "form"), [(40, "Q"), (58, "H")], ids=["no section headers", "of no size"])
def test_many_program_headers_need_a_section_header_that_counts_them(tmp_path, offset, form):
    path = memory().write_core(tmp_path / "core", extended=True)
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, offset, 0)
    path.write_bytes(content)
    refused(path, "expected a section header of 64 bytes, because e_phnum is PN_XNUM")


def test_a_core_that_ends_before_its_segments(tmp_path):
    (tmp_path / "core").write_bytes((PHOTOGRAPH / "core.elf.head").read_bytes())
    refused(tmp_path / "core", "program header 1", "within the 2808 bytes")


def test_a_frame_that_is_held_twice_with_different_bytes(tmp_path):
    segments = [Segment(0x1000, b"\1" * 8192), Segment(0x2000, b"\2" * 4096)]
    refused(write_core(tmp_path / "core", segments), "physical address 0x2000", "held twice with different bytes")


def test_segments_that_overlap_more_than_a_file_can_hold(tmp_path):
    segments = [Segment(0x1000 + 8 * number, bytes(1 << 16), again=0 if number else None) for number in range(2000)]
    path = write_core(tmp_path / "core", segments)
    content = bytearray(path.read_bytes())
    for number in range(2000):  # each a little further in the file, so that no two have the same distance
        struct.pack_into("<Q", content, 128 + 56 * (1 + number) + 8, 128 + 56 * 2001 + number)
        struct.pack_into("<Q", content, 128 + 56 * (1 + number) + 32, (1 << 16) - 2000)
    path.write_bytes(content)
    refused(path, "segments overlap in more bytes than the file has")


def test_a_core_without_a_whole_frame(tmp_path):
    refused(write_core(tmp_path / "core", [Segment(0x1800, bytes(4096))]), "at least one whole frame")


@pytest.mark.parametrize(
    ("given_note", "words"),
    [
        (qemu_note(0, 0, 0, version=2), "expected QEMU's CPU state, version 1"),
        (qemu_note(0, 0, 0, size=432)[:-8] + bytes(8), None),
        (qemu_note(0, 0, 0, size=300), "found version 1, 300 bytes"),
        (note(b"QEMU", struct.pack("<II", 1, 440) + bytes(424)), "found version 1, 440 bytes"),
        (note(b"VMCOREINFO", b"SYMBOL(swapper_pg_dir)=ffffffff80001008\nNUMBER(phys_base)=0\n"), "at a frame"),
        (note(b"QEMU", b"1"), "found version 0, 0 bytes"),
        (note(b"VMCOREINFO", b"SYMBOL(swapper_pg_dir)=here\nNUMBER(phys_base)=0\n"), "expected a number"),
        (note(b"VMCOREINFO", b"SYMBOL(swapper_pg_dir)=1000\nNUMBER(phys_base)=0\n"), "expected swapper_pg_dir"),
        (note(b"VMCOREINFO", b"NUMBER(sme_mask)=3\n"), "expected one bit below 52"),
        (b"\1\0\0\0", "expected a note's head"),
    ],
)
def test_notes_that_are_not_what_they_should_be(tmp_path, given_note, words):
    path = memory().write_core(tmp_path / "core", notes=[given_note])
    if words is None:
        assert len(open_photograph(path).machine.processors) == 1
    else:
        refused(path, words)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("frames.json", {"page_size": 2 << 20}, "page_size: expected 4096"),
        ("frames.json", {"runs": [[1, 2], [2, 1]]}, "runs[1]: expected a first frame of at least 3"),
        ("frames.json", {"runs": [[5, 1], [1, 2]]}, "runs[1]"),
        ("frames.json", {"runs": [[1, 2], [5, 2]]}, "frames.bin: size: expected the 4 frames"),
        ("frames.json", {"runs": [[1, 2], [5]]}, "runs[1]: expected [first, count]"),
        ("frames.json", {"runs": [[1, 2], [5, 0]]}, "count at least 1"),
        ("frames.json", {"runs": [[1, 2], [1 << 40, 1]]}, "below 2^40"),
        ("frames.json", {"runs": [[1.0, 2], [5, 1]]}, "runs[0]: expected [first, count]"),
        ("frames.json", {"runs": [[True, 2], [5, 1]]}, "runs[0]: expected [first, count]"),
        ("frames.json", {"runs": [[1, 2], [5, True]]}, "runs[1]: expected [first, count]"),
        ("frames.json", {"runs": {}}, "runs: expected a list"),
        ("frames.json", {"n_frames": 4}, "n_frames: expected 3"),
        ("frames.json", {"sha256": "00"}, "SHA-256"),
        ("scenario.json", {"maxphyaddr": 60}, "maxphyaddr: expected an integer from 0x20 to 0x34"),
        ("scenario.json", {"maxphyaddr": True}, "maxphyaddr"),
        ("scenario.json", {"image": []}, "image: expected an object"),
        ("scenario.json", {"roots": {}}, "roots: expected a list"),
        ("scenario.json", {"roots": [{}] * 4097}, "roots: expected at most 4096, found 4097"),
        ("scenario.json", {"roots": [1]}, "roots[0]: expected an object"),
    ],
)
def test_a_folder_with_one_wrong_member(tmp_path, name, change, words):
    memory().write_sparse(tmp_path)
    members = json.loads((tmp_path / name).read_text()) | change
    (tmp_path / name).write_text(json.dumps(members))
    refused(tmp_path, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "arm"}, "roots[0].kind: expected one of x86, npt, ept"),
        ({"kind": None}, "roots[0].kind: expected a string"),
        ({"levels": 3}, "roots[0].levels: expected an integer from 0x4 to 0x5"),
        ({"root": "0x1008"}, "roots[0].root: expected the address of a frame"),
        ({"root": "0x10000000"}, "roots[0].root: expected an address in memory"),
        ({"root": "one"}, "roots[0].root: expected an integer"),
        ({"root": 1e300}, "roots[0].root: expected an integer"),
        ({"root": "9" * 9999}, "roots[0].root: expected an integer"),
        ({"name": ""}, "roots[0].name: expected a string"),
        ({"name": "a\nb"}, "roots[0].name: expected a string of 1 to 4096 printable characters"),
        ({"note": "\x1b[2J"}, "roots[0].note: expected a string"),
        ({"name": "b"}, "roots[1].name: expected a name of its own"),
        ({"cr3": "0x2001"}, "roots[0].cr3: expected the frame of `root`"),
        ({"cr4": "0x1020"}, "roots[0].cr4: expected LA57"),
        ({"cr0": True}, "roots[0].cr0: expected an integer"),
        ({"cr0": "?"}, "roots[0].cr0: expected an integer"),
        ({"kind": "x86-in-npt", "inside": "c"}, "root 'a': expected the name of a nested root, not 'c'"),
        ({"kind": "x86-in-npt", "inside": "a"}, "root 'a': expected the name of a nested root, not 'a'"),
        ({"kind": "x86-in-ept"}, "roots[0].inside: expected a string"),
    ],
)
def test_a_root_with_one_wrong_member(tmp_path, change, words):
    good = {"name": "a", "kind": "x86", "levels": 4, "root": "0x1000", "cr3": "0x1001", "cr4": "0x20"}
    other = {"name": "b", "kind": "npt", "levels": 4, "root": "0x2000"}
    memory().write_sparse(tmp_path, roots=[good | change, other], image={"size": 1 << 20})
    refused(tmp_path, words)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"runs": ' + "9" * 5000 + "}", "\xff"])
def test_an_index_that_is_no_json_object(tmp_path, text):
    memory().write_sparse(tmp_path)
    (tmp_path / "frames.json").write_text(text, "latin-1")
    refused(tmp_path, "content: expected")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "sub/image"])
def test_a_scenario_names_no_file_outside_its_folder(tmp_path, name):
    (tmp_path / "scenario.json").write_text(json.dumps({"image": {"file": name}}))
    refused(tmp_path, "image.file: expected the name of a file")


def test_a_folder_without_anything_or_with_two_of_it(tmp_path):
    refused(tmp_path, "expected frames.json, or scenario.json")
    memory().write_sparse(tmp_path)
    (tmp_path / "frames.bin.xz").write_bytes(lzma.compress(bytes(4096)))
    refused(tmp_path, "found 2")


@pytest.mark.parametrize("compress", [lzma.compress, zstd], ids=["xz", "zstd"])
def test_an_image_expands_to_no_more_than_the_limit(tmp_path, compress):
    (tmp_path / "image").write_bytes(compress(bytes(8 << 20)))
    assert open_photograph(tmp_path / "image", limit=8 << 20).end == 2048
    refused(tmp_path / "image", "expands to more than the 8388607 bytes allowed", limit=(8 << 20) - 1)


def test_an_exploding_file_is_given_up_by_its_own_size_with_little_memory(tmp_path):
    (tmp_path / "image").write_bytes(zstd(bytes(64 << 20)) * 20)
    tracemalloc.start()
    try:
        refused(tmp_path / "image", "expands to more than the 1073741824 bytes allowed")
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "compress"), [("XZ_MEMORY", lzma.compress), ("ZSTD_WINDOW", zstd)])
def test_a_window_larger_than_allowed_is_refused(tmp_path, monkeypatch, name, compress):
    (tmp_path / "image").write_bytes(compress(random.Random(1).randbytes(1 << 20)))
    monkeypatch.setattr(compressed, name, 10)
    refused(tmp_path / "image", "cannot be expanded")


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = memory().write_raw(tmp_path / "image")
    photograph = open_photograph(path)
    os.truncate(path, 5000)
    with pytest.raises(BadInputError, match=r"offset 0x5000: expected 4096 bytes, the file ends"):
        photograph.read(np.array([5], np.uint64))


def _form(form: str, folder: Path) -> tuple[Path, Path]:
    """A valid photograph in one form: what to open, and the file of it to damage."""
    if form == "core":
        return core(folder / "core"), folder / "core"
    if form == "kdump":
        return kdump(folder / "dump"), folder / "dump"
    if form in ("xz", "zstd"):
        content = core(folder / "core").read_bytes()
        (folder / "image").write_bytes(lzma.compress(content) if form == "xz" else zstd(content))
        return folder / "image", folder / "image"
    shutil.copytree(PHOTOGRAPH, folder / "folder")
    return folder / "folder", folder / "folder" / form


def _damaged(content: bytes, edits: list[tuple[int, int]], end: int | None) -> bytes:
    """Bytes replaced at places, and what comes after `end` cut off."""
    changed = bytearray(content)
    for place, value in edits:
        changed[place % len(changed)] = value
    return bytes(changed[:end])


@pytest.mark.parametrize("form", ["core", "kdump", "xz", "zstd", "frames.json", "scenario.json", "frames.bin.xz"])
def test_damage_raises_bad_input_and_nothing_else(tmp_path, form):
    path, victim = _form(form, tmp_path)
    content = victim.read_bytes()
    # Most of a core are frames, where nothing can be wrong, and most of a dump is zero: edits mostly hit the rest.
    place = st.integers(0, min(len(content), 1800)) | st.integers(0, len(content) - 1)
    if form == "kdump":
        place = st.sampled_from([at for at in range(len(content)) if content[at]]) | st.integers(4096, 4200) | place
    value = st.integers(0, 255) | st.sampled_from([0, 1, 255, *b'"[]{},-0'])
    edits = st.lists(st.tuples(place, value), min_size=1, max_size=6)

    @settings(max_examples=150, deadline=None)
    @given(edits=edits, end=st.none() | st.integers(0, len(content)))
    def damage(edits: list[tuple[int, int]], end: int | None) -> None:
        victim.write_bytes(_damaged(content, edits, end))
        with suppress(BadInputError):
            photograph = open_photograph(path, limit=16 << 20)
            numbers = [first for first, _ in photograph.runs()]
            assert photograph.read(np.array(numbers, np.uint64))[1].all()

    run: Callable[[], None] = damage
    run()


def test_what_is_refused_leaves_no_open_file(tmp_path):
    gc.collect()  # what earlier tests left
    before = len(os.listdir("/proc/self/fd"))
    (tmp_path / "image").write_bytes(lzma.compress(bytes(99)))
    refused(tmp_path / "image", "whole frames")
    gc.collect()  # the error that pytest caught refers to itself
    assert len(os.listdir("/proc/self/fd")) == before
