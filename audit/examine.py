"""One audit from beginning to end: roots, policy, walks, rulings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from audit.decide import Decision, decide
from audit.formats import options_of
from audit.party import walk_all
from audit.photograph import BadInputError, Photograph, Root
from audit.policy import Policy, defaults
from audit.policy_file import read_policy
from audit.reach import Reach
from audit.roots import find_roots
from audit.walk import reach

Say = Callable[[str], None]
"""Told what is being done now, in words."""


def examine(photograph: Photograph, policy_file: Path | None, named: Sequence[Root], say: Say) -> Decision:
    """Decide the policy in a file, or the defaults, on a photograph.

    named: roots beside those of the photograph, or in their place if it names none.  Raises BadInputError.
    """
    file = read_policy(policy_file) if policy_file else None
    machine = file.machine(photograph.machine) if file else photograph.machine
    say("finding roots")
    alone = bool(named) or (file is not None and file.stands_alone)
    roots = (*named, *(machine.roots if alone else find_roots(photograph, machine)))
    policy = file.policy(roots) if file else defaults(roots)
    roots = (*roots, *policy.roots)
    _check(photograph, roots)
    options = options_of(machine)

    def walk(root: Root, nested: Reach | None) -> Reach:
        say(f"walking {root.name}")
        return reach(photograph, root, options, nested)

    parties = walk_all(photograph, policy, roots, walk)
    say("deciding")
    return _with_notes(decide(policy, parties), policy, roots, () if machine.roots else roots)


def _check(photograph: Photograph, roots: Sequence[Root]) -> None:
    if not roots:
        raise BadInputError(
            f"{photograph.name}: no page table was found in it; name a root in a policy or with --root, such as"
            " --root vm0=npt:4:0x2ac3000."
        )
    names = [root.name for root in roots]
    for root in roots:
        if names.count(root.name) > 1:
            raise BadInputError(
                f"{photograph.name}: two roots are called {root.name!r}; names that differ were expected."
            )
        if root.inside and root.inside not in names:
            raise BadInputError(
                f"{photograph.name}: the root {root.name!r} lies inside {root.inside!r}, which is not a root; one of"
                f" {', '.join(names)} was expected."
            )


def _with_notes(decision: Decision, policy: Policy, roots: Sequence[Root], found: Sequence[Root]) -> Decision:
    """Notes on roots that had to be found, and on those that no domain has."""
    used = {name for domain in policy.domains for name in domain.roots}
    left = [root.name for root in roots if root.name not in used]
    notes = [f"{root.name}: {root.why}" for root in found if root.why]
    if left:
        notes.append(f"roots in no domain, so nothing is demanded of them: {', '.join(left)}")
    return replace(decision, notes=(*decision.notes, *notes))
