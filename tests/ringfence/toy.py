"""A tiny workbench: units whose rows are known, to test how runs behave.

Environment: TOY_LOG names a file to which every call of a unit is appended; TOY_SLOW makes units wait; TOY_EDIT is
what somebody writes into `playground/switch.py` during the run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from proofs.obligation import Answer, BadInputError, Call, Explanation, Finding, Obligation, Unit
from ringfence.wiring import Wiring

HERE = "tests.ringfence.toy"
HOLDS = "(declare-fun x () (_ BitVec 8))\n(assert (bvult x x))\n"
FAILS = "(declare-fun x () (_ BitVec 8))\n(assert (bvult x #x05))\n"
CANDIDATE = "(declare-sort E 0)\n(declare-fun f (E) Bool)\n(assert (forall ((e E)) (! (f e) :pattern ((f e)))))\n"
HARD = (
    "(declare-fun x () (_ BitVec 64))\n(declare-fun y () (_ BitVec 64))\n"
    "(assert (and (bvugt x #x0000000000000001) (bvugt y #x0000000000000001) (bvugt #x0000000100000000 x)"
    "(bvugt #x0000000100000000 y) (= (bvmul x y) #x3fffffea00000015)))\n"
)


def log(line: str) -> None:
    if path := os.environ.get("TOY_LOG"):
        with Path(path).open("a", encoding="utf-8") as file:
            print(line, file=file)


def obligation(name: str, text: str, kind: str = "obligation", expect: str = "unsat", **more: object) -> Obligation:
    parts = name.split("/")
    theorem = parts[0] if kind == "obligation" else ""
    return Obligation(name, kind, theorem, parts[1], "", f"words of {name}", text, expect, **more)  # type: ignore[arg-type]


def toy_unit(name: str, function: str, /, **arguments: object) -> Unit:
    return Unit(name, ("T1", "T2"), Call(f"{HERE}:{function}", arguments), name)  # type: ignore[arg-type]


def good(action: str, number: int = 2) -> Iterator[Obligation]:
    log(f"make {action}")
    time.sleep(float(os.environ.get("TOY_SLOW", "0")))
    for i in range(number):
        yield obligation(f"T1/{action}/{i}", f"; {action} {i}\n{HOLDS}")
    yield obligation(f"T2/{action}/0", f"; two {action}\n{HOLDS}")


def good_units() -> list[Unit]:
    log("list good")
    return [toy_unit("add", "good", action="add"), toy_unit("drop", "good", action="drop", number=3)]


def announced_units() -> list[Unit]:
    """Each unit says which ids it makes."""
    return [replace(unit, yields=(f"T?/{unit.id}/*",)) for unit in good_units()]


def lying_units() -> list[Unit]:
    """The unit makes what it does not announce."""
    return [replace(unit, yields=("T1/*",)) for unit in good_units()]


def misplaced_units() -> list[Unit]:
    """The unit makes obligations of a theorem that it does not announce."""
    return [replace(unit, theorems=("T1",)) for unit in good_units()]


def focused_units() -> list[Unit]:
    """Each unit depends on every file but that of the other."""
    pairs = (("add", "drop"), ("drop", "add"))
    units = [(toy_unit(own, "good", action=own), other) for own, other in pairs]
    return [replace(unit, ignores=(f"playground/{other}.py",)) for unit, other in units]


def ordered_units() -> list[Unit]:
    """The second wants to run first, and both name the rows that they make."""
    pairs = (("add", False), ("drop", True))
    return [replace(toy_unit(own, "good", action=own), first=first, yields=(f"T?/{own}/*",)) for own, first in pairs]


def refuted() -> Iterator[Obligation]:
    yield obligation("T1/bad/model", FAILS)
    yield obligation("T1/bad/explained", CANDIDATE, explain=Call(f"{HERE}:explain", {"n": 7}))
    yield obligation("T1/bad/fine", HOLDS)


def explain(obligation: Obligation, answer: Answer, n: int) -> Explanation:
    log(f"explain {obligation.id} {answer.status}")
    return Explanation("REFUTED", "reachable", "found by search", {"n": n})


def refuted_units() -> list[Unit]:
    return [toy_unit("bad", "refuted")]


def alike(name: str) -> Iterator[Obligation]:
    """Texts that another unit makes too: one that takes a while, one that is refuted and explained, one that holds."""
    yield obligation(f"T1/{name}/slow", HARD, rlimit=2_000_000)
    yield obligation(f"T1/{name}/explained", CANDIDATE, explain=Call(f"{HERE}:explain", {"n": 7}))
    yield obligation(f"T1/{name}/after", f"; after\n{HOLDS}")


def alike_units() -> list[Unit]:
    return [toy_unit("left", "alike", name="left"), toy_unit("right", "alike", name="right")]


def unknown() -> Iterator[Obligation]:
    yield obligation("T1/dim/candidate", CANDIDATE)
    yield obligation("T1/dim/limit", HARD, rlimit=20_000)


def unknown_units() -> list[Unit]:
    return [toy_unit("dim", "unknown")]


def battery(hole: bool = False) -> Iterator[Obligation]:
    yield obligation("vacuity/add/enabled", FAILS, "vacuity", "sat")
    if hole:
        yield obligation("vacuity/add/hole", HOLDS, "vacuity", "sat")


def battery_units() -> list[Unit]:
    return [Unit("battery", (), Call(f"{HERE}:battery"))]


def hole_units() -> list[Unit]:
    return [Unit("battery", (), Call(f"{HERE}:battery", {"hole": True}))]


def crash() -> Iterator[Obligation]:
    raise RuntimeError("the toy is broken")


def crash_units() -> list[Unit]:
    return [*good_units(), Unit("crash", ("T1",), Call(f"{HERE}:crash"))]


def deadly() -> Iterator[Obligation]:
    """The second obligation takes the process down while it is explained, as a solver out of memory would."""
    yield obligation("T1/deadly/before", HOLDS)
    yield obligation("T1/deadly/killer", CANDIDATE, explain=Call(f"{HERE}:die"))
    yield obligation("T1/deadly/after", f"; after\n{HOLDS}")


def die(obligation: Obligation, answer: Answer) -> Explanation:
    os.kill(os.getpid(), 9)
    raise AssertionError(obligation, answer)


def deadly_units() -> list[Unit]:
    return [toy_unit("deadly", "deadly")]


def lethal() -> Iterator[Obligation]:
    """The process dies while nothing is being solved."""
    die(obligation("T1/lethal/x", HOLDS), Answer("unknown", ""))
    yield obligation("T1/lethal/x", HOLDS)


def lethal_units() -> list[Unit]:
    return [toy_unit("lethal", "lethal")]


def malformed() -> Iterator[Obligation]:
    yield obligation("T1/malformed/x", "(assert (= a b))")


def malformed_units() -> list[Unit]:
    return [toy_unit("malformed", "malformed")]


def twice_units() -> list[Unit]:
    return [toy_unit("one", "good", action="same"), toy_unit("two", "good", action="same")]


def empty_units() -> list[Unit]:
    return []


def replays(verdict: str = "TESTED") -> Iterator[Finding]:
    log("replay")
    yield Finding("replay/seed 1", "replay", "", "", "", "traces agree", verdict, "100 steps, seed 1")


def replay_units() -> list[Unit]:
    return [Unit("replay", (), Call(f"{HERE}:replays"))]


def replay_file(path: str) -> Iterator[Finding]:
    text = Path(path).read_text("utf-8")
    if "steps" not in text:
        raise BadInputError(f"The trace {path} has no field steps.")
    verdict = "REFUTED" if "evil" in text else "TESTED"
    yield Finding(f"replay/{Path(path).name}", "replay", "", "", "", "the trace agrees", verdict)


def damaged_sources() -> Iterator[Obligation]:
    """What it makes depends on a file that a weakening may edit."""
    from playground.switch import SAFE  # type: ignore[import-not-found]

    yield obligation("T1/switch/safe", HOLDS if SAFE else FAILS)


def switch_units() -> list[Unit]:
    return [toy_unit("switch", "damaged_sources")]


def edit() -> None:
    """Somebody edits a source."""
    text, found = os.environ.get("TOY_EDIT"), find_spec("playground.switch")
    if text is not None and found is not None and found.origin is not None:
        Path(found.origin).write_text(text, "utf-8")


def edited_sources() -> Iterator[Obligation]:
    """The file is edited after the run began and before it is imported."""
    edit()
    yield from damaged_sources()


def edited_units() -> list[Unit]:
    return [toy_unit("switch", "edited_sources")]


def edited_listing_units() -> list[Unit]:
    edit()
    return good_units()


def explained_edited() -> Iterator[Obligation]:
    yield obligation("T1/bad/explained", CANDIDATE, explain=Call(f"{HERE}:explain_edited", {"n": 7}))


def explain_edited(obligation: Obligation, answer: Answer, n: int) -> Explanation:
    edit()
    return explain(obligation, answer, n)


def explained_edited_units() -> list[Unit]:
    return [toy_unit("bad", "explained_edited")]


def catalogue() -> dict[str, list[dict[str, object]]]:
    log("catalogue")
    return {
        "theorems": [
            {"id": "T1", "words": "one", "claimed": True, "reason": ""},
            {"id": "T7", "words": "seven", "claimed": False, "reason": "later"},
        ],
        "actions": [{"id": "add", "by": "me", "words": "adds"}],
        "observers": [{"id": "others", "words": "everyone else"}],
        "assumptions": [],
        "invariants": [{"id": "I1", "claimed": False}],
    }


def wiring(root: Path, *providers: str, replay: tuple[str, ...] = ()) -> Wiring:
    """A workbench whose rooms are the folder `playground` below `root`."""
    return Wiring(
        root=root,
        rooms=("playground",),
        weakenings=root / "weakenings",
        prove=tuple(f"{HERE}:{name}" for name in providers),
        refine=(),
        replay=tuple(f"{HERE}:{name}" for name in replay),
        catalogue=f"{HERE}:catalogue",
        replay_file=f"{HERE}:replay_file",
    )
