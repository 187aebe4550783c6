"""The proof obligations about what observers can tell apart, whatever the actions.

* equivalence/o/.. what o sees as equal is an equivalence relation; of others than the protected domain also: states
                   that differ only in what is declared its secret look equal
* derived/o/d      d, which o does not see directly, is determined by what o sees
"""

from __future__ import annotations

from collections.abc import Iterator

from model.language.logic import And, Or, as_term, eq
from model.language.specification import Observer, Specification, View
from model.language.symbolic import Named, Run, closed, constants, variables
from model.language.terms import FALSE, Term, TermError
from model.language.transition import State
from proofs.comparison import agree, indistinguishable, still_agree
from proofs.statements import Decoded, Premises, Statement, protected


def equivalence_statements(specification: Specification, observer: Observer) -> Iterator[Statement]:
    """What an observer cannot tell apart is an equivalence relation."""
    theorem = "T3" if observer.own else "T2"
    s, t, u = (Run(specification, name).ghost for name in ("s", "t", "u"))
    domain = protected(specification)
    forms: dict[str, tuple[list[Named], State, State]] = {
        "reflexive": ([], s, s),
        "symmetric": (indistinguishable(observer, s, t, domain), t, s),
        "transitive": (
            [*indistinguishable(observer, s, t, domain), *indistinguishable(observer, t, u, domain)],
            s,
            u,
        ),
    }
    words = {form: f"what {observer.name} cannot tell apart is a {form} relation" for form in forms}
    if not observer.own:
        forms["secrets"] = (_differ_in_secrets(specification, s, t, domain), s, t)
        words["secrets"] = f"{observer.name} cannot tell states apart that differ in secrets of the enclave alone"
    for form, (hypotheses, a, b) in forms.items():
        goal = as_term(And(*(g for _, g in still_agree(observer, a, b, domain))))
        if form == "secrets" and not specification.secrets:
            goal = FALSE  # without a secret it would say no more than "reflexive"
        name = f"{theorem}/equivalence/{observer.name}/{form}"
        yield Statement(name, theorem, "", observer.name, words[form], tuple(hypotheses), goal)


def _differ_in_secrets(specification: Specification, s: State, t: State, domain: Term) -> list[Named]:
    """Every component is the same in both states, but where it is a secret of the domain in the first."""
    unknown = set(specification.secrets) - set(specification.components)
    if unknown:
        raise TermError(f"a secret is a component of the state, not {min(unknown)!r}")
    found: list[Named] = []
    for component in specification.components.values():
        names = {f"k{place}": sort for place, sort in enumerate(component.keys)}
        over = variables(names, component.name)
        keys = tuple(over.values())
        hidden = specification.secrets.get(component.name)
        same = eq(as_term(s.read(component.name, keys)), as_term(t.read(component.name, keys)))
        formula = as_term(same if hidden is None else Or(hidden(s, domain, *keys), same))
        found.append((f"equal or secret: {component.name}", closed(keys, formula, ())))
    return found


def derived_statements(specification: Specification, observer: Observer) -> Iterator[Statement]:
    """What an observer need not see, because its views determine it: from them, the invariants and what came before."""
    theorem = "T3" if observer.own else "T2"
    premises, domain = Premises(specification, ("s", "t")), protected(specification)
    s, t = (run.ghost for run in premises.runs)
    related = indistinguishable(observer, s, t, domain)
    earlier = indistinguishable(observer, s, t, domain, derived=True)
    for position, view in enumerate(observer.derived):
        hypotheses = (*premises.all(), *related, *earlier[:position])
        goal = agree(view, s, t, domain, constants(view.over, "any"))
        words = f"what {observer.name} sees determines: {view.words}"

        def confirm(model: Decoded, view: View = view) -> bool:
            runs, known = [model.world("s"), model.world("t")], model.argument(domain)
            sound = not any(world.violations(list(specification.invariants.values())) for world in runs)
            same, other = ([w.seen(views, known) for w in runs] for views in (observer.views, [view]))
            return sound and same[0] == same[1] and other[0] != other[1]

        name = f"{theorem}/derived/{observer.name}/{view.name}"
        yield Statement(name, theorem, "", observer.name, words, hypotheses, goal, {}, confirm)
