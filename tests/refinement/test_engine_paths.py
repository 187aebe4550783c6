"""A toy monitor through the whole engine: paths, conditions, invariant, and a bug that is seen."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import z3

from model.language.logic import And, Implies
from refinement.engine.explorer import Path, explore
from refinement.engine.instances import Rule
from refinement.engine.merging import merged
from refinement.engine.obligations import Claim, path_claims
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.storage import FieldShape, Keys, SymbolicStorage, View
from refinement.engine.values import EngineError, condition, ghost, number_of, unknown

SHAPES = {"owner": FieldShape((8,), 8), "free": FieldShape((), 8), "memory": FieldShape((8, 4), 16)}
RLIMIT = 2_000_000


class Refused(Exception):  # noqa: N818  # an answer, not an error
    pass


def grant(s: SymbolicStorage, frame: object, owner: object, *, enough: bool = True) -> None:
    """Give a free frame to an owner and tag its first word."""
    if owner == 0:
        raise Refused
    if s.owner[frame] != 0:
        raise Refused
    if enough and s.free[()] < 1:
        raise Refused
    s.owner[frame] = owner
    s.free[()] = s.free[()] - 1
    s.memory[frame, 0] = (owner << 4) | 7  # type: ignore[operator]  # symbolic


def clean(view: View, frame: object, index: object) -> object:
    """A free frame is zero; an owned one carries its owner in the first word, and nothing else."""
    word, owner = view.memory[frame, index], view.owner[frame]
    tagged = And(Implies(index == 0, word >> 4 == owner), Implies(index != 0, word == 0))
    return And(Implies(owner == 0, word == 0), Implies(owner != 0, tagged))


def rule(view: View) -> Rule:
    def formula(keys: Keys) -> object:
        with ghost():
            return condition(clean(view, *(number_of(k) for k in keys)))

    return Rule("CLEAN", {source: lambda keys: [keys] for source in view.nodes["memory"].sources}, formula)  # type: ignore[arg-type]


def run_toy(**options: bool) -> tuple[list[Path], list[Claim]]:
    start = rule(SymbolicStorage(SHAPES).snapshot())

    def code(run: Run) -> None:
        grant(run.storage, unknown("frame", 8), unknown("owner", 8), **options)
        place = (unknown("any.frame", 8).term, unknown("any.index", 4).term)
        run.goals.append(("CLEAN", rule(run.storage.snapshot()).at(place)))

    paths = explore(code, SHAPES, PathOracle([start]), (Refused,))
    return paths, [claim for path in paths for claim in path_claims("toy", path, [start])]


def holds(claim: Claim) -> bool:
    solver = z3.SimpleSolver(ctx=z3.Context())
    solver.set("rlimit", RLIMIT)
    solver.from_string(claim.text)
    return solver.check() == z3.unsat


def test_every_path_is_found_once() -> None:
    paths, _ = run_toy()
    assert [p.ending for p in paths].count("refused") == 3
    assert [p.ending for p in paths].count("returned") == 1


def test_a_refusal_changes_nothing() -> None:
    paths, _ = run_toy()
    assert all(p.post.unchanged(p.pre) for p in paths if p.ending == "refused")


def test_the_toy_keeps_its_invariant() -> None:
    _, claims = run_toy()
    assert claims
    assert all(holds(claim) for claim in claims)


def test_a_missing_check_is_seen() -> None:
    _, claims = run_toy(enough=False)
    assert {claim.name.split("/")[-1] for claim in claims if not holds(claim)} == {"conditions"}


def test_the_text_does_not_depend_on_the_run() -> None:
    assert [c.text for c in run_toy()[1]] == [c.text for c in run_toy()[1]]


def test_a_defect_is_a_path_with_a_failed_obligation() -> None:
    def code(run: Run) -> None:
        if run.storage.free[()] == 3:
            raise ValueError

    paths = explore(code, SHAPES, PathOracle([]))
    claims = [c for p in paths for c in path_claims("toy", p, [])]
    assert [c.name for c in claims] == ["toy/path-0/no-ValueError"]
    assert not holds(claims[0])


def deep(levels: int) -> Callable[[Run], None]:
    def code(run: Run) -> None:
        for i in range(levels):
            if run.storage.owner[i] == 0:
                run.storage.owner[i] = 1

    return code


def test_paths_multiply() -> None:
    assert len(explore(deep(4), SHAPES, PathOracle([]))) == 16


def merging(writes: bool) -> list[Path]:
    """A function of a machine that looks at a field, and perhaps writes another, with its branches made one."""

    def looks(machine: SimpleNamespace) -> bool:
        if machine.storage.owner[1] == 0:
            if writes:
                machine.storage.free[()] = 0
            return True
        return False

    def code(run: Run) -> object:
        return merged(looks)(SimpleNamespace(run=run, storage=run.storage))

    return explore(code, SHAPES, PathOracle([]))


def test_a_function_that_writes_nothing_is_merged() -> None:
    assert len(merging(writes=False)) == 1


def test_a_function_that_writes_is_not_merged() -> None:
    with pytest.raises(EngineError, match="looks does something beside returning a result"):
        merging(writes=True)


def test_a_function_that_raises_on_one_side_is_not_merged() -> None:
    def raises(machine: SimpleNamespace) -> bool:
        if machine.storage.owner[1] == 0:
            raise Refused
        return True

    def code(run: Run) -> object:
        return merged(raises)(SimpleNamespace(run=run, storage=run.storage))

    with pytest.raises(EngineError, match="raises is merged, so it must not raise Refused"):
        explore(code, SHAPES, PathOracle([]), (Refused,))


def promising(before: bool, *, apart: bool) -> list[Claim]:
    """A contract that demands a free frame, and promises that the frame was free; `before`: it promises first."""

    def code(run: Run) -> None:
        frame = unknown("frame", 8)
        free = condition(run.storage.owner[frame] == 0)
        promise = Rule("it was free", {run.pre.nodes["owner"].sources[0]: lambda keys: [keys]}, lambda _: free)
        if before:
            run.rules.append(promise)
        run.require(free, "the frame is free", apart)
        if not before:
            run.rules.append(promise)

    return [claim for path in explore(code, SHAPES, PathOracle([])) for claim in path_claims("toy", path, [])]


@pytest.mark.parametrize("apart", [False, True])
def test_what_a_contract_promises_does_not_prove_what_it_demands(apart: bool) -> None:
    (demanded,) = promising(before=False, apart=apart)
    assert not holds(demanded)
    (known,) = promising(before=True, apart=apart)
    assert holds(known)
