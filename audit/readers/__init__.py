"""Readers of photographs: raw images, ELF cores, kdump dumps, compressed or flattened too, and sparse folders."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from audit.photograph import BadInputError, Machine
from audit.readers import elf, flattened, kdump
from audit.readers.compressed import LIMIT, expand, is_compressed
from audit.readers.image import FRAME, FRAMES_END, Extent, Image
from audit.readers.scenario import machine_of, read_json
from audit.readers.sparse import read_sparse
from audit.readers.store import Store, open_store

# What is known not to be an image of memory as it is, so that it is not taken for one.
_FOREIGN = {
    b"DISKDUMP": "a diskdump; write an ELF core instead",
    flattened.MAGIC: "a dump that is flattened twice",
    b"EMiL": "a LiME image; take it with format=padded",
    b"AVML": "an AVML image; convert it to a raw image",
    b"PAGEDU64": "a Windows crash dump",
    b"QEVM": "a saved state of QEMU; take the image with dump-guest-memory",
    b"QFI\xfb": "a qcow2 disk image",
    b"\x1f\x8b": "compressed with gzip; only xz and zstd are read",
    b"BZh": "compressed with bzip2; only xz and zstd are read",
    b"PK\x03\x04": "a zip archive",
}
_FRAMES = ("frames.bin", "frames.bin.xz", "frames.bin.zst")


def open_photograph(path: Path, limit: int = LIMIT) -> Image:
    """The photograph in a file or folder, told apart by their first bytes, not by their names.

    A raw file's offsets are physical addresses.  A folder has frames.json and frames.bin (or .xz, .zst), or an image
    that its scenario.json names.  limit: bytes that a compressed image may have when expanded.

    Raises:
        BadInputError: in one sentence, which file, where in it, and what was expected there.
    """
    if path.is_dir():
        return _open_folder(path, limit)
    return _open_image(_open_expanded(path, limit))


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a photograph is read from, whether they exist or not; those of a folder that cannot be opened."""
    if not path.is_dir():
        return (path,)
    names = {"scenario.json", "frames.json", *_FRAMES}
    with suppress(BadInputError, OSError):
        names.add(read_json(path / "scenario.json").object("image").text("file"))
    return tuple(path / name for name in sorted(names))


def _open_expanded(path: Path, limit: int) -> Store:
    store = open_store(path)
    if is_compressed(store.read(0, min(store.size, 8))):
        store = expand(store, limit)
    magic = store.read(0, min(store.size, len(flattened.MAGIC)))
    return flattened.rearrange(store, limit) if magic == flattened.MAGIC else store


def _open_image(store: Store, machine: Machine | None = None) -> Image:
    if not store.size:
        raise store.bad("size", "expected an image of memory, found an empty file")
    magic = store.read(0, min(store.size, 16))
    if magic.startswith(elf.MAGIC):
        return elf.read_core(store, machine)
    if magic.startswith(kdump.MAGIC):
        return kdump.read_kdump(store, machine)
    for foreign, words in _FOREIGN.items():
        if magic.startswith(foreign):
            raise store.bad("offset 0x0", f"expected an image of memory, found {words}")
    if is_compressed(magic):
        raise store.bad("offset 0x0", "expected an image of memory, found one that is compressed twice")
    if store.size % FRAME or store.size > FRAMES_END * FRAME:
        raise store.bad("size", f"expected whole frames of {FRAME} bytes below 2^52, found {store.size} bytes")
    return Image(store, [Extent(0, store.size // FRAME, 0)], machine)


def _open_folder(folder: Path, limit: int) -> Image:
    scenario = read_json(folder / "scenario.json") if (folder / "scenario.json").exists() else None
    machine = machine_of(scenario) if scenario else Machine()
    if (folder / "frames.json").exists():
        index = read_json(folder / "frames.json")
        found = [folder / name for name in _FRAMES if (folder / name).exists()]
        if len(found) != 1:
            raise BadInputError(
                f"{folder}: expected one of {', '.join(_FRAMES)} beside frames.json, found {len(found)}"
            )
        return read_sparse(index, _open_expanded(found[0], limit), machine)
    if scenario is None or "file" not in scenario.object("image"):
        raise BadInputError(f"{folder}: expected frames.json, or scenario.json with the name of an image as image.file")
    name = scenario.object("image").text("file")
    if Path(name).name != name:
        raise scenario.store.bad("image.file", f"expected the name of a file in the same folder, found {name!r}")
    return _open_image(_open_expanded(folder / name, limit), machine)
