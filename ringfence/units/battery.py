"""The battery over the HyperEnclave specification: why its theorems say something, and what each must catch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from model.hyperenclave.scenario import ARGUMENTS, boot, life_cycle
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.witness import CLAIM, CROWD, MUTANTS, SCOPE, Mutant, crowded, secrets_differ
from model.language.symbolic import Run, constants
from proofs import adequacy
from proofs.dropping import catch
from proofs.mutation import Part, parts
from proofs.obligation import Call, Finding, Obligation, Unit
from proofs.reachability import explore
from proofs.solver import Z3Solver
from ringfence.units.theorems import IGNORES, statements

HERE: Final = "ringfence.units.battery"
PARTS: Final = ("initial", "lemma", "equivalence", "derived")


def units() -> list[Unit]:
    """Every row of the battery."""
    actions = list(HYPERENCLAVE.actions)
    return [
        *(_unit(f"witness/{name}", "witnesses", name, action=name) for name in actions),
        *(_unit(f"catches/{m.theorem}/{m.name}", "catches", m.action, number=i) for i, m in enumerate(MUTANTS)),
        *(_unit(f"dropped/{p.where}/{p.name}", "dropped", _action(p), number=i) for i, p in enumerate(_droppable())),
        _unit("meaningful", "meaningful", ""),
        _unit("needed", "needed", ""),
        _unit("reachable", "reachable", ""),
        _unit("product", "product", ""),
    ]


def _droppable() -> list[Part]:
    return list(parts(HYPERENCLAVE, ("view", "release", "endorsement")))


def _action(part: Part) -> str:
    return part.where if part.where in HYPERENCLAVE.actions else ""


def _unit(name: str, function: str, about: str, **arguments: str | int) -> Unit:
    found = (f"battery/fires/{about}", f"battery/secrets/{about}/*") if function == "witnesses" else ()
    yields = found or (f"battery/{name}", f"battery/{name}/*")
    return Unit(f"battery/{name}", (), Call(f"{HERE}:{function}", dict(arguments)), about, (), IGNORES, yields)


def witnesses(action: str) -> Iterator[Obligation]:
    """The hypotheses about an action are satisfiable, in company, and secrets differ in the two-run states."""
    declared = HYPERENCLAVE.actions[action]
    found = [adequacy.fires(HYPERENCLAVE, declared, SCOPE, CROWD, crowded)]
    found += adequacy.secret_pair(HYPERENCLAVE, declared, SCOPE, secrets_differ)
    for witness in found:
        yield Obligation(
            id=f"battery/{witness.name}",
            kind=adequacy.KIND,
            theorem="",
            action=action,
            observer="",
            words=witness.words,
            text=witness.text,
            expect="sat",
            scope=SCOPE,
        )


def meaningful() -> Iterator[Finding]:
    """No property is true of everything."""
    for name, can_fail in adequacy.meaningful(HYPERENCLAVE, Z3Solver(), SCOPE):
        trouble = "" if can_fail else "no state was found that violates it, whatever the monitor does"
        yield adequacy.row(f"meaningful/{name}", f"{name} is not true of everything", trouble)


def catches(number: int) -> Iterator[Finding]:
    """A theorem catches the mutant that it is there for."""
    mutant = MUTANTS[number]
    action = HYPERENCLAVE.actions[mutant.action]
    try:
        caught, how = adequacy.catches(
            HYPERENCLAVE, action, mutant.kind, mutant.target, mutant.theorem, mutant.condition
        )
    except LookupError as error:
        caught, how = "", str(error)
    trouble = "" if caught else f"{mutant.theorem} does not notice: {mutant.name} ({how or _hole(mutant)})"
    words = f"{mutant.theorem} refutes: {mutant.name}"
    yield adequacy.row(f"catches/{mutant.theorem}/{mutant.name}", words, trouble, {"caught by": caught, "how": how})


def dropped(number: int) -> Iterator[Finding]:
    """Every part of a view, every release and every endorsement is needed: without it some obligation fails."""
    part = _droppable()[number]
    found = catch(HYPERENCLAVE, part)
    if found is None:
        by, trouble, values = "no obligation fails", f"nothing notices that the {part.kind} is gone", {}
    else:
        by, values = f"caught by {found.obligation}", {"caught by": found.obligation, "how": found.how}
        trouble = "" if found.confirmed else f"undecided whether something notices: {found.obligation}, {found.how}"
    words = f"{part.where} without the {part.kind} {part.name!r}: {by}"
    yield adequacy.row(f"dropped/{part.where}/{part.name}", words, trouble, values, vacuous=True)


def _hole(mutant: Mutant) -> str:
    return f"{mutant.action} without its {mutant.kind} {mutant.target!r}"


def needed() -> Iterator[Finding]:
    """Every hypothesis is used by some proof, or reported as unused."""
    parts = [(part, "") for part in PARTS]
    parts += [(part, name) for name in HYPERENCLAVE.actions for part in ("step", "unwinding")]
    used = adequacy.needed(s for part, name in parts for s in statements(part, name))
    stated = [f"{name} of s" for name in HYPERENCLAVE.invariants] + list(HYPERENCLAVE.axioms)
    for observer in HYPERENCLAVE.observers.values():
        stated += [f"{observer.name} sees equal {view.name}" for view in observer.views]
        stated += [f"{observer.name}'s views determine {view.name}" for view in observer.derived]
    unused = [name for name in stated if not used[name]]
    words = f"{len(stated) - len(unused)} of {len(stated)} hypotheses are used by some proof"
    words += f"; reported as unused: {', '.join(unused)}" if unused else ""
    yield adequacy.row("needed", words, "", {name: used[name] for name in stated})


def reachable() -> Iterator[Finding]:
    """Every action and every refusal row happens on a run from boot, and every invariant holds along it."""
    reached = explore(boot(), life_cycle(), ARGUMENTS)
    for action in HYPERENCLAVE.actions.values():
        step, _ = Run(HYPERENCLAVE, "s").step(action, constants(action.parameters, "arg"))
        unseen = reached.missing(action, step)
        missing = [f"never seen on the run from boot: {name}" for name in unseen if name not in action.later]
        missing += [f"listed for a later version, but seen or not there: {n}" for n in action.later if n not in unseen]
        words = f"{action.name} succeeds in a reachable state, and each of its {len(step.rows)} refusal rows decides"
        words += f", but for {', '.join(sorted(action.later))}" if action.later else ""
        yield adequacy.row(f"reachable/{action.name}", words, "; ".join(missing))
    words = "the initial clauses and all invariants hold in every state of the concrete run from boot"
    yield adequacy.row("reachable/run", words, "; ".join(reached.trouble))


def product() -> Iterator[Finding]:
    """As many obligations are made as the full product has, and as the claim says."""
    for part, expected in adequacy.product(HYPERENCLAVE).items():
        names = [""] if part in PARTS else list(HYPERENCLAVE.actions)
        made = sum(1 for name in names for _ in statements(part, name))
        numbers = f"{made} obligations are made; the product has {expected}, the claim says {CLAIM[part]}"
        trouble = "" if made == expected == CLAIM[part] else numbers
        yield adequacy.row(f"product/{part}", numbers, trouble)
