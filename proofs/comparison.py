"""What two runs are compared by: what an observer sees in both, and what crosses a boundary by name.

For what crosses also whether the flow policy permits it, in one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from model.language.logic import And, Implies, Value, as_term, eq
from model.language.specification import Observer, Specification, View
from model.language.symbolic import Named, closed, constants, variables
from model.language.terms import Term
from model.language.transition import Flow, State


def agree(view: View, s: State, t: State, domain: Term, over: Mapping[str, Term]) -> Term:
    """The observer sees the same thing at these keys in both states."""
    visible_s, value_s = view.formula(s, domain, **over)
    visible_t, value_t = view.formula(t, domain, **over)
    a, b = as_term(visible_s), as_term(visible_t)
    return as_term(And(eq(a, b), Implies(a, eq(value_s, value_t))))


def indistinguishable(observer: Observer, s: State, t: State, domain: Term, *, derived: bool = False) -> list[Named]:
    """The relation of the observer, as one quantified hypothesis for each view.

    derived: instead, what the relation implies between states that satisfy the invariants.
    """
    words, views = ("'s views determine", observer.derived) if derived else (" sees equal", observer.views)
    found: list[Named] = []
    for view in views:
        over = variables(view.over, view.name)
        same = agree(view, s, t, domain, over)
        found.append((f"{observer.name}{words} {view.name}", closed(tuple(over.values()), same, ())))
    return found


def still_agree(observer: Observer, s: State, t: State, domain: Term) -> Iterator[tuple[View, Term]]:
    """The same relation as goals, one for each view, at Skolem keys."""
    for view in observer.views:
        yield view, agree(view, s, t, domain, constants(view.over, "any"))


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
