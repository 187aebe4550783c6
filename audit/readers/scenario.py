"""scenario.json, which says of a folder what a memory image cannot: roots, control registers, MAXPHYADDR."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard, cast

from audit.photograph import ROOTS_MOST, Kind, Machine, Processor, Root
from audit.readers.store import Store, open_store

JSON_MOST = 16 << 20
"""Bytes in a JSON file of a photograph."""
_TEXT_MOST = 4096
_KINDS = {
    "x86": Kind.X86,
    "npt": Kind.NPT,
    "ept": Kind.EPT,
    "x86-in-npt": Kind.X86,
    "x86-in-ept": Kind.X86,
}
_LA57 = 1 << 12  # of CR4 (SDM 3A 2.5)
_FRAME_BITS = (1 << 52) - (1 << 12)  # of CR3 (SDM 3A 4.5.2)


class Reader:
    """One JSON object of a file, whose members are checked as they are asked for; null is as good as missing."""

    def __init__(self, store: Store, place: str, members: Mapping[str, object]) -> None:
        self.store = store
        self.place = place
        self._members = members

    def __contains__(self, key: str) -> bool:
        return self._members.get(key) is not None

    def integer(self, key: str, least: int = 0, most: int = (1 << 64) - 1) -> int:
        """A number, or a string such as "0x1000"."""
        value = self._members.get(key)
        try:
            number = int(value, 0) if isinstance(value, str) else value
        except ValueError:
            number = None
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise self.store.bad(f"{self.place}{key}", f"expected an integer from {least:#x} to {most:#x}")
        return number

    def optional(self, key: str) -> int | None:
        """The same, if it is there."""
        return self.integer(key) if key in self else None

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not too long; `default`, if there is one, where it is missing."""
        value = self._members[key] if key in self else default
        fits = isinstance(value, str) and value.isprintable() and len(value) <= _TEXT_MOST
        if not isinstance(value, str) or not fits or not (value or default == ""):
            raise self.store.bad(f"{self.place}{key}", f"expected a string of 1 to {_TEXT_MOST} printable characters")
        return value

    def items(self, key: str) -> list[object]:
        """A list, empty if it is missing."""
        value = self._members[key] if key in self else []
        if not is_list(value):
            raise self.store.bad(f"{self.place}{key}", "expected a list")
        return value

    def object(self, key: str) -> Reader:
        """An object, empty if it is missing."""
        return self.of(f"{self.place}{key}", self._members[key] if key in self else {})

    def of(self, place: str, value: object) -> Reader:
        """`value`, which has to be an object."""
        if not isinstance(value, dict):
            raise self.store.bad(place, "expected an object")
        return Reader(self.store, f"{place}.", cast("Mapping[str, object]", value))


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a value of a JSON file is a list."""
    return isinstance(value, list)


def read_json(path: Path) -> Reader:
    """The object in a JSON file.

    Raises:
        BadInputError: not there, too large, not JSON, or not an object.
    """
    store = open_store(path)
    if store.size > JSON_MOST:
        raise store.bad("size", f"expected at most {JSON_MOST} bytes, found {store.size}")
    try:
        value = json.loads(store.read(0, store.size))
    except (ValueError, RecursionError) as error:
        raise store.bad("content", f"expected JSON ({error})") from error
    if not isinstance(value, dict):
        raise store.bad("content", "expected an object")
    return Reader(store, "", cast("Mapping[str, object]", value))


def machine_of(scenario: Reader) -> Machine:
    """What a scenario says of its machine.

    Raises:
        BadInputError: a member has another type or range than expected, a root lies outside memory, or two contradict.
    """
    maxphyaddr = scenario.integer("maxphyaddr", 32, 52) if "maxphyaddr" in scenario else None
    image = scenario.object("image")
    memory = image.integer("size", 1, 1 << 52) if "size" in image else 1 << (maxphyaddr or 52)
    roots = dict[str, Root]()
    processors = list[Processor]()
    items = scenario.items("roots")
    if len(items) > ROOTS_MOST:
        raise scenario.store.bad("roots", f"expected at most {ROOTS_MOST}, found {len(items)}")
    for number, item in enumerate(items):
        entry = scenario.of(f"roots[{number}]", item)
        root = _root(entry, memory)
        if root.name in roots:
            raise scenario.store.bad(f"{entry.place}name", f"expected a name of its own, {root.name!r} is there before")
        roots[root.name] = root
        if root.kind is Kind.X86 and not root.inside and "cr3" in entry:
            processors.append(_processor(entry, root, len(processors)))
    for root in roots.values():
        if root.inside and roots.get(root.inside, root).kind is Kind.X86:
            raise scenario.store.bad(f"root {root.name!r}", f"expected the name of a nested root, not {root.inside!r}")
    return Machine(maxphyaddr=maxphyaddr, processors=tuple(processors), roots=tuple(roots.values()))


def _root(entry: Reader, memory: int) -> Root:
    kind = entry.text("kind")
    if kind not in _KINDS:
        raise entry.store.bad(f"{entry.place}kind", f"expected one of {', '.join(_KINDS)}, found {kind!r}")
    inside = entry.text("inside") if "-in-" in kind else ""
    address = entry.integer("root")
    if address % 4096:
        raise entry.store.bad(f"{entry.place}root", f"expected the address of a frame, found {address:#x}")
    if address >= (1 << 52 if inside else memory):
        raise entry.store.bad(f"{entry.place}root", f"expected an address in memory, found {address:#x}")
    return Root(
        name=entry.text("name"),
        kind=_KINDS[kind],
        levels=entry.integer("levels", 4, 5),
        frame=address >> 12,
        inside=inside,
        why=entry.text("note", "") or "named by scenario.json",
        guest=kind != "x86" or "also_in_control_block" in entry,
    )


def _processor(entry: Reader, root: Root, number: int) -> Processor:
    cr3 = entry.integer("cr3")
    if (cr3 & _FRAME_BITS) >> 12 != root.frame:
        raise entry.store.bad(f"{entry.place}cr3", f"expected the frame of `root`, {root.frame:#x}, in {cr3:#x}")
    cr4 = entry.integer("cr4")
    if bool(cr4 & _LA57) != (root.levels == 5):
        raise entry.store.bad(
            f"{entry.place}cr4", f"expected LA57 (bit 12) as {root.levels} levels say, found {cr4:#x}"
        )
    return Processor(number=number, cr0=entry.optional("cr0"), cr3=cr3, cr4=cr4, efer=entry.optional("efer"))
