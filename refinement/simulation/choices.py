"""What the monitor decides is a function of public state: codes, ENOMEM and choices of frames carry no secrets.

Replace every word of every REG page of an enclave, and the registers and TLB of every CPU that runs one, by arbitrary
other values: the same path is taken.  Where the acting CPU's enclave itself makes a call, those of its registers stay
by which it says what it does; which operation it chooses is for the flow policy to release.  Which pool frame is taken
depends on `pool_owner` alone, by the contract of `pool_take`, and no secret is in there.  The one primitive that
answers a question about memory, `memory_is_zero`, demands the CPU's staging frame.  When the monitor answers ENOMEM is
a claim of its own (``choice``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from model.language.logic import And, Not, Or
from model.language.terms import Function, Term, t_and, t_ite
from model.language.traversal import rebuild, subterms
from refinement import bits
from refinement.contracts.setting import Setting
from refinement.engine.explorer import Path
from refinement.engine.run import Kind
from refinement.engine.values import condition, ghost, number_of
from refinement.invariants.layout import is_epc

INSIDE: Final = 3
OTHER: Final = "other."
DECISIONS: Final = (Kind.DECISION, Kind.FORCED)


def same_path(path: Path, setting: Setting, operands: Collection[int] = ()) -> Term:
    """The decisions of the path, with secrets replaced by other values.

    operands: registers of the acting CPU that are no secret here, because they name what its enclave does.
    """
    decisions = t_and(entry.term for entry in path.entries if entry.kind in DECISIONS)
    s = setting.state(setting.before)

    def secret(function: Function, arguments: Sequence[Term]) -> Term | None:
        field = function.name.rpartition(".")[2]  # of the state before, or of what a primitive or loop left
        if field == "memory":
            f = number_of(arguments[0])
            word = s.epcm[f, 0]
            regular = And(bits.is_valid(word), bits.page_type(word) == bits.REG)
            return condition(And(is_epc(setting.layout, f), regular))
        if field in ("tlb_rights", "tlb_frame"):
            return condition(s.cpu_mode[number_of(arguments[0])] == INSIDE)
        if field in ("register", "xstate"):
            cpu, index = (number_of(argument) for argument in arguments)
            known = field == "register" and Or(*(index == operand for operand in operands))
            return condition(And(s.cpu_mode[cpu] == INSIDE, Not(And(cpu == setting.cpu, known))))
        return None

    def replaced(node: Term) -> Term | None:
        function = node.payload
        if node.operator != "apply" or not isinstance(function, Function) or not node.arguments:
            return None
        hidden = secret(function, node.arguments)
        if hidden is None:
            return None
        other = Function(OTHER + function.name, function.arguments, function.result)
        return t_ite(hidden, other(*node.arguments), node)

    done: dict[Term, Term] = {}
    with ghost():
        for node in subterms([decisions]):  # arguments come before what they are arguments of
            arguments = tuple(done[a] for a in node.arguments)
            same = all(x is y for x, y in zip(arguments, node.arguments, strict=True))
            again = node if same else rebuild(node, arguments)
            other = replaced(again)
            done[node] = again if other is None else other
    return done[decisions]
