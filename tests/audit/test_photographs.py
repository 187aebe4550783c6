from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from audit.decide import Decision
from audit.examine import Told, examine
from audit.readers import open_photograph
from audit.ruling import Answer, Ruling

FOLDER = Path(__file__).parent
GUESTS = ("ept-4k", "npt-4k", "npt-huge", "npt-oldmmu", "npt-shared", "shadow-npt0")


@cache
def audited(name: str, policy: str = "") -> Decision:
    file = FOLDER / "policies" / policy if policy else None
    return examine(open_photograph(FOLDER / "photographs" / name), Told(file), lambda _: None)


@cache
def expected(name: str) -> dict[str, Any]:
    return json.loads(lzma.decompress((FOLDER / "photographs" / name / "truth.json.xz").read_bytes()))["expect"]


def violated(decision: Decision) -> list[Ruling]:
    return [ruling for ruling in decision.rulings if ruling.answer is not Answer.HOLDS]


def frames(ruling: Ruling) -> list[str]:
    return [hex(n << 12) for finding in ruling.findings for n in range(finding.first, finding.first + finding.count)]


@pytest.mark.parametrize("name", GUESTS)
def test_the_defaults_find_what_is_in_the_photograph_and_nothing_else(name: str) -> None:
    wrong = violated(audited(name))
    assert [frame for ruling in wrong for frame in frames(ruling)] == expected(name)["shared_frames"]
    assert {ruling.id for ruling in wrong} <= {"audit/disjoint/vm0/vm1"}


@pytest.mark.parametrize("name", GUESTS)
def test_a_policy_with_reserved_ranges_finds_the_same(name: str) -> None:
    policy = "two-guests-bochs.toml" if name.startswith("ept") else "two-guests-qemu.toml"
    wrong = violated(audited(name, policy))
    assert [frame for ruling in wrong for frame in frames(ruling)] == expected(name)["shared_frames"]


def test_frames_that_both_processes_may_write_are_those_of_the_kernels_pagemap() -> None:
    wrong = {ruling.id: ruling for ruling in violated(audited("pt-la48-pti"))}
    assert set(wrong) == {
        "audit/disjoint/cpu0/cpu1", "audit/write-xor-execute/cpu0", "audit/write-xor-execute/cpu1",
    }  # fmt: skip
    both = expected("pt-la48-pti")["writable_frames_in_both_processes"]
    assert frames(wrong["audit/disjoint/cpu0/cpu1"]) == both
    assert [wrong[f"audit/write-xor-execute/cpu{n}"].frames for n in (0, 1)] == [8, 8]


def test_a_path_shows_the_entries_of_both_sides() -> None:
    (ruling,) = violated(audited("npt-shared"))
    (finding,) = ruling.findings
    assert [[step.index for step in side.ways[0].steps] for side in finding.sides] == [[0, 0, 1, 256]] * 2
    assert {side.ways[0].address for side in finding.sides} == {0x300000}


def test_allowed_sharing_leaves_the_rest() -> None:
    wrong = {ruling.id: ruling.frames for ruling in violated(audited("pt-la48-pti", "processes.toml"))}
    assert wrong == {
        # Device memory that both have mapped is shared too, and nobody allowed it.
        "audit/disjoint/first/second": 24,
        "audit/reserved/VGA-memory/first": 16,
        "audit/reserved/VGA-memory/second": 16,
        "audit/reserved/memory-set-aside-at-boot/first": 8,
        "audit/reserved/memory-set-aside-at-boot/second": 8,
        "audit/write-xor-execute/first": 8,
        "audit/write-xor-execute/second": 8,
    }


def test_write_xor_execute_of_nested_tables_is_a_setting() -> None:
    wrong = {ruling.id: ruling.frames for ruling in violated(audited("npt-4k", "executable-guests.toml"))}
    assert wrong == {"audit/write-xor-execute/vm0": 358, "audit/write-xor-execute/vm1": 396}
