"""Turn a statement that was not proved into a counterexample that was re-executed, or say that none was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from model.language.concrete import World
from model.language.logic import Value
from model.language.specification import Specification
from model.language.terms import Sort
from proofs.countermodel import Model, search
from proofs.obligation import Explanation, Json
from proofs.reachability import Call, attack
from proofs.statements import Statement


@dataclass(frozen=True)
class Story:
    """A run from boot on concrete values, which a search for reachable attacks varies."""

    boot: Callable[[], World]
    calls: Sequence[Call]
    domains: Mapping[Sort, Sequence[Value]]


def explain(
    specification: Specification, statement: Statement, story: Story | None = None, *, minimise: bool = True
) -> Explanation:
    """Search the ladder of scopes, smallest first; what is found is run again on the concrete interpreter.

    With a story, the same violation is then looked for along its run from boot.  Without `minimise` the counterexample
    is as good, but more of its cells are beside the point.
    """
    candidates = 0
    for sizes in specification.scopes:
        model = search(specification, statement.assertions, sizes, minimise=minimise)
        if model is None:
            continue
        candidates += 1
        if statement.confirm is None or statement.confirm(model):
            how = "re-executed on the concrete interpreter" if statement.confirm else "found in a finite scope"
            reason = f"counterexample with {_size(sizes)}, {how}"
            return _refuted(specification, statement, reason, _values(model, statement), story)
    if candidates:
        return Explanation("UNKNOWN", "", "a candidate that the concrete interpreter did not confirm: a defect of ours")
    return Explanation("UNKNOWN", "", f"not proved, and no counterexample with up to {_size(specification.scopes[-1])}")


def _refuted(
    specification: Specification, statement: Statement, reason: str, values: Mapping[str, Json], story: Story | None
) -> Explanation:
    if story is None or statement.breaks is None:
        return Explanation("REFUTED", "induction", f"{reason}; reachability from boot was not searched", values)
    action = specification.actions[statement.action]
    run = attack(story.boot(), story.calls, story.domains, action, statement.breaks)
    if run is None:
        looked = f"not reached by any step of {action.name} along {len(story.calls)} steps from boot"
        return Explanation("REFUTED", "induction", f"{reason}; {looked}", values)
    last = {name: str(getattr(v, "name", v)) for name, v in run[-1][1].items()}
    trace = {"steps": [name for name, _ in run], "last step": last}
    return Explanation(
        "REFUTED", "reachable", f"{reason}; {len(run)} steps from boot lead there", {**values, "run": trace}
    )


def _size(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sizes.items() if name in ("Frame", "Enclave", "Page", "Cpu"))


def _values(model: Model, statement: Statement) -> Mapping[str, Json]:
    runs = ["s", "t"] if any(name.endswith("@t") for name, _ in model.table) else ["s"]
    arguments = {
        name: str(getattr(v, "name", v)) for name, v in ((n, model.argument(t)) for n, t in statement.witness.items())
    }
    return {"arguments": arguments, "state": model.listing(runs)}
