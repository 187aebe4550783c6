"""Turn a statement that was not proved into a counterexample that was re-executed, or say that none was found."""

from __future__ import annotations

from collections.abc import Mapping

from model.language.specification import Specification
from proofs.countermodel import Model, search
from proofs.obligation import Explanation, Json
from proofs.statements import Statement


def explain(specification: Specification, statement: Statement) -> Explanation:
    """Search the ladder of scopes, smallest first; what is found is run again on the concrete interpreter."""
    candidates = 0
    for sizes in specification.scopes:
        model = search(specification, statement.assertions, sizes)
        if model is None:
            continue
        candidates += 1
        if statement.confirm is None or statement.confirm(model):
            how = "re-executed on the concrete interpreter" if statement.confirm else "found in a finite scope"
            reason = f"counterexample with {_size(sizes)}, {how}; reachability from boot was not searched"
            return Explanation("REFUTED", "induction", reason, _values(model, statement))
    if candidates:
        return Explanation("UNKNOWN", "", "a candidate that the concrete interpreter did not confirm: a defect of ours")
    return Explanation("UNKNOWN", "", f"not proved, and no counterexample with up to {_size(specification.scopes[-1])}")


def _size(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sizes.items() if name in ("Frame", "Enclave", "Page", "Cpu"))


def _values(model: Model, statement: Statement) -> Mapping[str, Json]:
    runs = ["s", "t"] if any(name.endswith("@t") for name, _ in model.table) else ["s"]
    arguments = {
        name: str(getattr(v, "name", v)) for name, v in ((n, model.argument(t)) for n, t in statement.witness.items())
    }
    return {"arguments": arguments, "state": model.listing(runs)}
