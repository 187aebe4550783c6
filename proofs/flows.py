"""What crosses the boundary of the protected enclave by name: equal in both runs, and permitted by the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model.language.logic import And, Implies, Value, as_term, eq
from model.language.specification import Specification
from model.language.symbolic import Named
from model.language.transition import Flow, State


def crossing(before: Sequence[Flow], other: Sequence[Flow], relevant: Value, *, shows: bool) -> list[Named]:
    """Released (or endorsed) values are the same in both runs, wherever the step is one of the protected domain.

    shows: that something crosses is seen too (a release), so it must do so in both runs or in neither.
    """
    found: list[Named] = []
    for a, b in zip(before, other, strict=True):
        same = And(*(eq(x, y) for x, y in zip(a.values, b.values, strict=True)))
        together = eq(as_term(a.active), as_term(b.active)) if shows else True
        equal = And(together, Implies(And(a.active, b.active), same))
        found.append((f"equal: {a.name}", as_term(Implies(relevant, equal))))
    return found


def permitted(
    specification: Specification, flows: Sequence[Flow], state: State, arguments: Mapping[str, Value]
) -> Value:
    """Every release or endorsement that is active in this state is permitted, with the values that it carries.

    It is where the permission of its name holds and names these values; what the policy does not name never is.
    """
    return And(*(Implies(flow.active, _allowed(specification, flow, state, arguments)) for flow in flows))


def _allowed(specification: Specification, flow: Flow, state: State, arguments: Mapping[str, Value]) -> Value:
    permission = specification.permissions.get(flow.name)
    if permission is None or not set(permission.over) <= set(arguments):
        return False
    when, values = permission.formula(state, **{name: arguments[name] for name in permission.over})
    if len(values) != len(flow.values):
        return False
    return And(when, *(eq(value, allowed) for value, allowed in zip(flow.values, values, strict=True)))
