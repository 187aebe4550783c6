"""Measurements as the relation sees them: chains of records (facts of SDM 3D 38.4), or hashes when concrete."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from model.language.logic import And, Value, eq, ite
from model.language.terms import FALSE, Function, Term, TermError, bits, number, t_implies, t_not
from refinement.engine.values import Number, condition, number_of, word_of
from refinement.opaque import PageContents

DIGEST = Function("measured", (bits(52), bits(2)), bits(64))
"""Word k of MRENCLAVE over the records that an enclave has at the start of the step."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What the ECREATE record holds: pages of an SSA frame, bytes of ELRANGE."""

    ssa_frame_size: Number
    size: Number

    def __ite__(self, condition: Term, otherwise: object) -> Shape:
        if not isinstance(otherwise, Shape):
            raise TermError(f"{otherwise!r} is not a shape")
        both = (
            ite(condition, self.ssa_frame_size, otherwise.ssa_frame_size),
            ite(condition, self.size, otherwise.size),
        )
        return Shape(*both)  # type: ignore[arg-type]  # ite keeps numbers numbers

    def __same__(self, other: object) -> Value:
        if not isinstance(other, Shape):
            raise TermError(f"{other!r} is not a shape")
        return And(eq(self.ssa_frame_size, other.ssa_frame_size), eq(self.size, other.size))


class _Chain:
    """Common part of the symbolic measurements."""

    def __ite__(self, condition: Term, otherwise: object) -> Either:
        return Either(condition, self, otherwise)

    def __same__(self, other: object) -> Value:
        if isinstance(other, Either):
            return other.__same__(self)
        return self.matches(other)

    def matches(self, other: object) -> Value:
        """Same as another measurement that is no `Either`."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Earlier(_Chain):
    """The records of an enclave as they were at the start of the step."""

    enclave: Number

    def digest(self, k: int) -> Number:
        """Word k of the digest."""
        return number_of(DIGEST(word_of(self.enclave, 52, "enclave"), number(k, 2)))

    def matches(self, other: object) -> Value:
        """Records of one enclave are themselves; a digest stands for those that have it."""
        if isinstance(other, Digest):
            return And(*(eq(self.digest(k), word) for k, word in enumerate(other.words)))
        return eq(self.enclave, other.enclave) if isinstance(other, Earlier) else FALSE


@dataclass(frozen=True, eq=False)
class Digest(_Chain):
    """The measurement that has this digest (the hash is ideal), as four words."""

    words: Sequence[Number]

    def matches(self, other: object) -> Value:
        """Equal words, or the records that have them."""
        if isinstance(other, Digest):
            return And(*(eq(a, b) for a, b in zip(self.words, other.words, strict=True)))
        return other.matches(self) if isinstance(other, Earlier) else FALSE


@dataclass(frozen=True, eq=False)
class Started(_Chain):
    """The ECREATE record alone."""

    shape: Shape

    def matches(self, other: object) -> Value:
        """Same shape."""
        return eq(self.shape, other.shape) if isinstance(other, Started) else FALSE


@dataclass(frozen=True, eq=False)
class Added(_Chain):
    """... and an EADD record: byte offset and SECINFO word."""

    previous: object
    offset: Number
    secinfo: Number

    def matches(self, other: object) -> Value:
        """Same record after the same measurement."""
        if not isinstance(other, Added):
            return FALSE
        return And(eq(self.previous, other.previous), eq(self.offset, other.offset), eq(self.secinfo, other.secinfo))


@dataclass(frozen=True, eq=False)
class Extended(_Chain):
    """... and the 16 EEXTEND records of a page at a byte offset."""

    previous: object
    offset: Number
    page: PageContents

    def matches(self, other: object) -> Value:
        """Same contents at the same offset after the same measurement."""
        if not isinstance(other, Extended):
            return FALSE
        return And(eq(self.previous, other.previous), eq(self.offset, other.offset), eq(self.page, other.page))


@dataclass(frozen=True, eq=False)
class Either(_Chain):
    """One measurement where a condition holds, another elsewhere."""

    when: Term
    yes: object
    no: object

    def __same__(self, other: object) -> Value:
        one, two = condition(eq(self.yes, other)), condition(eq(self.no, other))
        return And(t_implies(self.when, one), t_implies(t_not(self.when), two))


class HashState(Protocol):
    """A SHA-256 under way, as `hashlib` makes it."""

    def update(self, data: bytes, /) -> None:
        """Append bytes."""
        ...

    def digest(self) -> bytes:
        """The hash of the bytes so far."""
        ...

    def copy(self) -> HashState:
        """An independent hash of the same bytes."""
        ...


class Hashed:
    """A concrete measurement: a hash under way; or a digest that somebody claims, which takes no more records."""

    def __init__(self, state: HashState | None, claimed: bytes = b"") -> None:
        self._state = state
        self.digest = claimed if state is None else state.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def then(self, data: bytes) -> Hashed:
        """The measurement with more bytes hashed."""
        if self._state is None:
            raise TermError("a claimed digest takes no records")
        state = self._state.copy()
        state.update(data)
        return Hashed(state)


Measured: TypeAlias = _Chain | Hashed


def start(shape: Shape) -> Measured:
    """ECREATE: tag, SSA frame size u32 at 8, size u64 at 12, 64 bytes in all."""
    if isinstance(shape.ssa_frame_size, int) and isinstance(shape.size, int):
        record = b"ECREATE\0" + struct.pack("<IQ", shape.ssa_frame_size, shape.size)
        return Hashed(hashlib.sha256(record.ljust(64, b"\0")))
    return Started(shape)


def add(before: object, offset: Number, secinfo: Number) -> Measured:
    """EADD: tag, byte offset u64 at 8, SECINFO u64 at 16, 64 bytes in all."""
    if isinstance(before, Hashed):
        if not (isinstance(offset, int) and isinstance(secinfo, int)):
            raise TermError("a concrete measurement takes concrete records")
        record = b"EADD\0\0\0\0" + struct.pack("<QQ", offset, secinfo)
        return before.then(record.ljust(64, b"\0"))
    return Added(before, offset, secinfo)


def extend(before: object, offset: Number, page: PageContents) -> Measured:
    """EEXTEND of each 256-byte chunk: tag, byte offset of the chunk u64 at 8, 64 bytes in all, then the chunk."""
    if isinstance(before, Hashed):
        if not isinstance(offset, int):
            raise TermError("a concrete measurement takes concrete records")
        data, parts = struct.pack("<512Q", *page.words()), list[bytes]()
        for position in range(0, len(data), 256):
            tag = b"EEXTEND\0" + struct.pack("<Q", offset + position)
            parts += [tag.ljust(64, b"\0"), data[position : position + 256]]
        return before.then(b"".join(parts))
    return Extended(before, offset, page)
