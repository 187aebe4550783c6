"""Table contracts and handlers: some of their claims proved here, and seeded bugs that must not be provable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from impl.machine.primitives import Machine
from impl.monitor import epcm, tables, threads, world_switch
from refinement.bits import NestedFormat
from refinement.contracts import loops
from refinement.contracts.handlers import ENTRIES, preservation
from refinement.contracts.proofs import LEMMAS, OWNER, lemma_claims, unmap_range_claims
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.obligations import Claim, path_claims
from refinement.simulation.prove import paths_of, setting_of
from tests.refinement.solving import unproved


@pytest.mark.parametrize("name", ["create_root/1", "unmap/2", "leaf_word/1", "pool_release"])
def test_a_table_contract_is_proved(name: str) -> None:
    (lemma,) = (lemma for lemma in LEMMAS if lemma.name == name)
    assert unproved(lemma_claims(lemma, Setting(NestedFormat.EPT, False, {}))) == []


def test_the_loop_over_a_shared_range_is_proved() -> None:
    assert unproved(unmap_range_claims(Setting(NestedFormat.NPT, True, {}))) == []


def handler_claims(name: str, form: NestedFormat = NestedFormat.EPT) -> Iterable[Claim]:
    (entry,) = (entry for entry in ENTRIES if entry.name == name)
    setting = setting_of(entry, form)
    return preservation(entry, setting, paths_of(entry, setting))


@pytest.mark.parametrize("name", ["exit", "complete_entry", "unknown_call"])
@pytest.mark.parametrize("form", list(NestedFormat))
def test_a_handler_keeps_the_invariant(name: str, form: NestedFormat) -> None:
    assert unproved(handler_claims(name, form)) == []


def forgetful_leave(machine: Machine, cpu: int) -> None:
    """Leaves the thread list but not the TCS."""
    s = machine.storage
    tcs = s.cpu_tcs[cpu]
    ORIGINAL_LEAVE(machine, cpu)
    s.busy[tcs] = 1


def forgetful_remove(machine: Machine, enclave: int, frame: int) -> None:
    """Empties the entry and forgets the list."""
    s = machine.storage
    del enclave
    s.epcm[frame, 0] = epcm.EMPTY
    s.epcm[frame, 1] = 0
    s.epcm[frame, 2] = 0


ORIGINAL_LEAVE = threads.leave


def test_a_tcs_left_busy_is_seen() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.name == "exit")
    setting = setting_of(entry, NestedFormat.EPT)
    original = threads.leave
    threads.leave = forgetful_leave
    try:
        paths = paths_of(entry, setting)
    finally:
        threads.leave = original
    assert any("BUSY" in name for name in unproved(preservation(entry, setting, paths)))


def test_a_page_left_in_the_list_is_seen() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.name == "remove_page")
    setting = setting_of(entry, NestedFormat.EPT)
    with substituted({epcm.remove_page: forgetful_remove}):
        paths = paths_of(entry, setting)
    assert any("PAGES" in name for name in unproved(preservation(entry, setting, paths), 3))


ORIGINAL_EPCM_REMOVE = epcm.remove_page
ORIGINAL_UNMAP_SHARED = tables.unmap_shared


def spilling_remove(machine: Machine, enclave: int, frame: int) -> None:
    """Removes the page and forgets what the SECS said."""
    ORIGINAL_EPCM_REMOVE(machine, enclave, frame)
    machine.storage.attributes[enclave] = 0


def spilling_unmap(machine: Machine, owner: int, page: int) -> None:
    """Takes the shared page out of the tables and the flags out of the SECS."""
    ORIGINAL_UNMAP_SHARED(machine, owner, page)
    machine.storage.attributes[owner] = 0


def test_a_removal_that_writes_another_field_is_seen() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.name == "remove_page")
    setting = setting_of(entry, NestedFormat.EPT)
    with substituted({epcm.remove_page: spilling_remove}):
        paths = paths_of(entry, setting)
    claims = (c for c in preservation(entry, setting, paths) if c.name.endswith("OTHER-FIELDS"))
    assert len(unproved(claims)) == 1


def test_an_unmapping_that_writes_another_field_is_seen() -> None:
    with substituted({tables.unmap_shared: spilling_unmap}):
        claims = list(unmap_range_claims(Setting(NestedFormat.NPT, True, {})))
    assert unproved(c for c in claims if c.name.endswith("OTHER-FIELDS")) != []


def short_range(machine: Machine, owner: int, first: int, end: int) -> None:
    """Leaves the last page of the range mapped."""
    machine.each("unmap shared range", first, end - 1, lambda page: tables.unmap_shared(machine, owner, page))


def wide_range(machine: Machine, owner: int, first: int, end: int) -> None:
    """Takes another page out beside the range."""
    machine.each("unmap shared range", first, end, lambda page: tables.unmap_shared(machine, owner, page))
    tables.unmap(machine, 1, owner, end)


def shifted_range(machine: Machine, owner: int, first: int, end: int) -> None:
    """Takes the page after each one of the range."""
    machine.each("unmap shared range", first, end, lambda page: tables.unmap_shared(machine, owner, page + 1))


def no_range(machine: Machine, owner: int, first: int, end: int) -> None:
    """Unmaps nothing."""


@pytest.mark.parametrize(
    ("code", "claim"),
    [
        (short_range, "RANGE"),
        (wide_range, "LOOP"),
        (shifted_range, "LEAVES"),
        (no_range, "LOOP"),
    ],
)
def test_a_range_is_unmapped_as_a_whole_and_nothing_beside_it(
    code: Callable[[Machine, int, int, int], None], claim: str
) -> None:
    with substituted({tables.unmap_range: code}):
        found = unproved(unmap_range_claims(Setting(NestedFormat.NPT, True, {})))
    assert claim in {name.rpartition("/")[2] for name in found}


ORIGINAL_SAVE = world_switch.save_interrupted
ORIGINAL_CREATE = tables.create_root


def telling_save(machine: Machine, cpu: int, information: int) -> None:
    """Saves the enclave's state, and RBX tells the normal VM a bit of it as the number of free frames."""
    s = machine.storage
    s.pool_free[()] = s.pool_free[()] | s.register[cpu, 3] >> 63 << 20
    ORIGINAL_SAVE(machine, cpu, information)


def test_a_free_frame_that_nobody_gave_back_is_seen() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.name == "interrupt")
    setting = setting_of(entry, NestedFormat.EPT)
    with substituted({world_switch.save_interrupted: telling_save}):
        paths = paths_of(entry, setting)
    claims = [c for c in preservation(entry, setting, paths) if c.name.endswith("/POOL")]
    assert len(unproved(claims)) == 1


def unproved_creations(code: Callable[[Machine, int, int], int]) -> set[str]:
    """What is not proved of other code for the contract of `create_root`."""
    (lemma,) = (lemma for lemma in LEMMAS if lemma.name == "create_root/2")
    other = replace(lemma, code=lambda machine: code(machine, 2, OWNER))  # type: ignore[arg-type]  # symbolic
    return {name.rpartition("/")[2] for name in unproved(lemma_claims(other, Setting(NestedFormat.EPT, False, {})))}


def test_a_table_operation_that_forgets_a_frame_is_seen() -> None:
    def forgetful(machine: Machine, kind: int, owner: int) -> int:
        free = machine.storage.pool_free[()]
        root = ORIGINAL_CREATE(machine, kind, owner)
        machine.storage.pool_free[()] = free
        return root

    assert unproved_creations(forgetful) == {"ROOM"}


def test_a_frame_taken_while_the_count_is_wrong_is_seen() -> None:
    def boasting(machine: Machine, kind: int, owner: int) -> int:
        machine.storage.pool_free[()] = machine.storage.pool_free[()] + 1
        root = ORIGINAL_CREATE(machine, kind, owner)
        machine.storage.pool_free[()] = machine.storage.pool_free[()] - 1
        return root

    assert "pool_take0: POOL" in unproved_creations(boasting)


def test_a_frame_given_away_beside_the_primitives_is_seen() -> None:
    def generous(machine: Machine, kind: int, owner: int) -> int:
        root = ORIGINAL_CREATE(machine, kind, owner)
        machine.storage.pool_owner[root] = owner
        return root

    assert "conditions" in unproved_creations(generous)


def test_a_shared_range_that_may_lie_anywhere_is_seen() -> None:
    setting = Setting(NestedFormat.EPT, True, {})
    (path,) = setting.explore(lambda machine: loops.unmap_range(machine, OWNER, 5, 6), ())
    names = unproved(path_claims("T9/any", path, setting.rules, setting.facts))
    assert names == ["T9/any/path-0/unmap_range0: SHARED-RANGE"]


def test_substitution_is_undone() -> None:
    original = tables.map_leaf
    with substituted({original: lambda: None}):
        assert tables.map_leaf is not original
    assert tables.map_leaf is original
