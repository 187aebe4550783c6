"""Typed access to the tables of a TOML file; every mistake is one sentence with its place."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar, cast

from audit.photograph import BadInputError
from audit.policy import ANY
from audit.ranges import Ranges
from audit.reach import Rights

T = TypeVar("T")

RIGHTS: Final = {"read": Rights.READ, "write": Rights.WRITE, "execute": Rights.EXECUTE}
ADDRESSES: Final = 1 << 52  # architectural limit of physical addresses (SDM 3A 4.1.4)
NAME_MOST: Final = 200
"""Characters of a name."""
_A_LIST: Final = "a list of [first, end] addresses in bytes"


@dataclass(frozen=True)
class Table:
    """One table of the file: its place in words, and typed access to its keys."""

    file: str
    place: str
    content: Mapping[str, object]

    def fail(self, what: str) -> NoReturn:
        """Raise BadInputError."""
        raise BadInputError(f"{self.file}: {self.place}: {what}.")

    def only(self, *known: str) -> None:
        """No key but these."""
        for key in self.content:
            if key not in known:
                self.fail(f"unknown key {shown(key)}{hint(key, known)}")

    def take(self, key: str, kind: type[T], otherwise: T | None, expected: str) -> T:
        """The value of a key, which has to be of a kind."""
        value = self.content.get(key, otherwise)
        if value is None:
            self.fail(f"{key!r} is missing; {expected} was expected")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(f"{key!r} is {shown(value)}; {expected} was expected")
        return value

    def text(self, key: str, otherwise: str | None = None) -> str:
        """A text."""
        return self.take(key, str, otherwise, "a text")

    def name(self, key: str = "name", otherwise: str | None = "") -> str:
        """A name, or "" where there need not be one."""
        return self.named(self.text(key, otherwise))

    def named(self, name: str) -> str:
        """The name itself, which fits into one line and into an identifier."""
        if not name.isprintable() or "/" in name or len(name) > NAME_MOST:
            self.fail(
                f"the name is {shown(name)}; at most {NAME_MOST} printable characters without a slash were expected"
            )
        return name

    def flag(self, key: str) -> bool:
        """True or false; false if it is missing."""
        return self.take(key, bool, False, "true or false")

    def number(self, key: str, low: int, high: int) -> int:
        """A number within bounds."""
        value = self.take(key, int, None, f"a number from {low} to {high}")
        if not low <= value <= high:
            self.fail(f"{key!r} is {value}; a number from {low} to {high} was expected")
        return value

    def optional(self, key: str, low: int, high: int) -> int | None:
        """A number within bounds, or None if it is missing."""
        return self.number(key, low, high) if key in self.content else None

    def texts(self, key: str, known: Iterable[str], otherwise: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of known names, each at most once."""
        names = frozenset(known)
        default = None if otherwise is None else list(otherwise)
        values = cast("list[object]", self.take(key, list, default, "a list of texts"))
        for value in values:
            if not isinstance(value, str):
                self.fail(f"{key!r} holds {shown(value)}; a text was expected")
            if value not in names:
                self.fail(f"{key!r} names {shown(value)}, which does not exist{hint(value, names)}")
        found = tuple(cast("list[str]", values))
        if len(set(found)) < len(found):
            self.fail(f"{key!r} names something twice")
        return found

    def rights(self, key: str, otherwise: Rights | None = ANY) -> Rights:
        """A list of rights."""
        default = None if otherwise is None else [n for n, right in RIGHTS.items() if right & otherwise]
        found = Rights.NONE
        for name in self.texts(key, RIGHTS, default):
            found |= RIGHTS[name]
        return found

    def some_rights(self, key: str, otherwise: Rights = ANY) -> Rights:
        """A list of rights that is not empty."""
        return self.rights(key, otherwise) or self.fail(f"{key!r} is empty, so nothing could ever be found")

    def ranges(self, key: str = "ranges") -> Ranges:
        """Addresses in bytes, [first, end), multiples of 4096, not overlapping one another."""
        pairs = [self._range(key, pair) for pair in cast("list[object]", self.take(key, list, None, _A_LIST))]
        if not pairs:
            self.fail(f"{key!r} is empty; {_A_LIST} was expected")
        for (_, end), (first, _) in zip(sorted(pairs), sorted(pairs)[1:], strict=False):
            if first < end:
                self.fail(f"{key!r} overlaps itself at {first << 12:#x}")
        return Ranges.between(pairs)

    def _range(self, key: str, pair: object) -> tuple[int, int]:
        numbers = cast("list[object]", pair) if isinstance(pair, list) else []
        ends = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= ADDRESSES]
        if len(numbers) != 2 or len(ends) != 2 or ends[0] >= ends[1]:
            self.fail(f"{key!r} holds {shown(pair)}; [first, end] in bytes with first < end was expected")
        if ends[0] % 4096 or ends[1] % 4096:
            self.fail(f"{key!r} holds [{ends[0]:#x}, {ends[1]:#x}]; multiples of 0x1000 were expected")
        return ends[0] >> 12, ends[1] >> 12


def hint(name: str, known: Iterable[str]) -> str:
    """What else the name may have meant."""
    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) if len(name) <= NAME_MOST else []
    if near:
        return f"; perhaps {near[0]!r} is meant"
    return f"; known are {', '.join(names[:12]) or 'none'}"


def shown(value: object) -> str:
    """A value of the file for a message: in one line, and not longer than that."""
    return _SHORT.repr(value)


_SHORT: Final = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxlong = 3, NAME_MOST, 40
