"""Symbolic numbers agree with Python's integers: an expression on constants-in-disguise folds to the same value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.language.terms import bits, number, value_of, variable
from model.language.traversal import substitute
from refinement.engine.values import EngineError, SymInt, number_of, unknown

WORDS = st.integers(0, (1 << 64) - 1)
SHAPES: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: (a << 12) | (b & 0xFFF),
    lambda a, b: ((a >> 12) & ((1 << 40) - 1)) + (b & 511),
    lambda a, b: a ^ b,
    lambda a, b: a & b,
    lambda a, b: (a | b) * 3,
    lambda a, b: (a & (0xFF07 ^ ((1 << 64) - 1))) + 8 * b,
    lambda a, b: ((a + b) & ((1 << 64) - 1)) >> 7,
    lambda a, b: (a << 3) + (b & 7),
]


def evaluated(value: Any, a: int, b: int) -> int:
    if isinstance(value, int):
        return value
    x, y = variable("a", bits(64)), variable("b", bits(64))
    found = value_of(substitute(value.__term__(), {x: number(a, 64), y: number(b, 64)}))
    assert found is not None
    return found


@given(st.sampled_from(SHAPES), WORDS, WORDS)
def test_arithmetic_is_exact(shape: Callable[[Any, Any], Any], a: int, b: int) -> None:
    x, y = number_of(variable("a", bits(64))), number_of(variable("b", bits(64)))
    assert evaluated(shape(x, y), a, b) == shape(a, b)


def test_a_masked_and_shifted_frame_is_the_frame() -> None:
    frame = unknown("frame", 40)
    entry = (frame << 12) | 7 | (1 << 63)
    again = (entry >> 12) & ((1 << 40) - 1)
    assert isinstance(again, SymInt)
    assert again.term is frame.term
    assert entry & 7 == 7


@pytest.mark.parametrize(
    "misuse",
    [
        lambda x: int(x),
        lambda x: f"{x}",
        lambda x: range(x),
        lambda x: [1, 2][x],
        lambda x: {x},
        lambda x: ~x,
        lambda x: x & -4096,
        lambda x: x // 2,
        lambda x: 1 << x,
        lambda x: bool(x),
        lambda x: bool(x == 1),
        lambda x: x - 1,
    ],
)
def test_what_the_engine_cannot_represent_raises(misuse: Callable[[SymInt], object]) -> None:
    with pytest.raises((EngineError, TypeError)):
        misuse(unknown("x", 8))
