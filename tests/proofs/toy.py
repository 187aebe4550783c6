"""A whole specification on one page: tenants keep data in lockers, and a clerk hands lockers out and takes them back.

docs/tutorial.md reads it line by line; test_toy.py proves it and breaks it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from model.language.logic import And, Implies, Not, eq
from model.language.specification import ENCLAVE, OS, Specification, view
from model.language.terms import BOOL, index, opaque


class Code(Enum):
    """Outcomes of a step."""

    OK = 0
    TAKEN = 1


Locker, Tenant, Data = index("Locker"), index("Tenant"), opaque("Data")

LOCKERS = Specification("lockers", Tenant, outcome=Code, success=Code.OK)
LOCKERS.component("used", (Locker,), BOOL, "somebody rents the locker")
LOCKERS.component("owner", (Locker,), Tenant, "who rents it")
LOCKERS.component("contents", (Locker,), Data, "what is in it")
LOCKERS.symbol("nothing", (), Data, "an empty locker", lambda: "nothing")
LOCKERS.symbol("changed", (Data,), Data, "what its tenant makes of it", lambda d: ("changed", d))
LOCKERS.scopes += [{"Locker": n, "Tenant": n} for n in (1, 2, 3)]


def rents(s: Any, t: Any, locker: Any) -> Any:
    """Tenant t rents the locker."""
    return And(s.used[locker], eq(s.owner[locker], t))


@LOCKERS.action(OS, names=lambda _s, me, t, **_: eq(t, me), locker=Locker, t=Tenant)
def hand_out(s: Any, locker: Any, t: Any) -> None:
    """The clerk gives a free locker to tenant t."""
    s.refuse(Code.TAKEN, s.used[locker], "two tenants share a locker")
    s.used[locker] = True
    s.owner[locker] = t


@LOCKERS.action(ENCLAVE, names=lambda s, me, locker: rents(s, me, locker), locker=Locker)
def put(s: Any, locker: Any) -> None:
    """The tenant of a locker changes what is in it."""
    s.require(s.used[locker])
    s.contents[locker] = s.K.changed(s.contents[locker])


@LOCKERS.action(OS, names=lambda s, me, locker: rents(s, me, locker), locker=Locker)
def take_back(s: Any, locker: Any) -> None:
    """The clerk empties a locker and takes it back."""
    s.require(s.used[locker])
    s.used[locker] = False
    s.contents[locker] = s.K.nothing()


def may_concern(s: Any, me: Any, locker: Any, t: Any = None) -> Any:
    """Whoever gets the locker, or rents it."""
    return rents(s, me, locker) if t is None else eq(t, me)


LOCKERS.runs = lambda s, locker, me: rents(s, me, locker)
LOCKERS.runs_over = {"locker": Locker}
LOCKERS.may_concern = may_concern
LOCKERS.secrets["contents"] = lambda s, me, locker: rents(s, me, locker)


@LOCKERS.initially(locker=Locker)
def opening_time(s: Any, locker: Any) -> Any:
    """At first every locker is free and empty."""
    return And(Not(s.used[locker]), eq(s.contents[locker], s.K.nothing()))


@LOCKERS.invariant("T1", locker=Locker)
def free_is_empty(s: Any, locker: Any) -> Any:
    """A free locker is empty."""
    return Implies(Not(s.used[locker]), eq(s.contents[locker], s.K.nothing()))


@view("which lockers are rented", locker=Locker)
def used(s: Any, _me: Any, locker: Any) -> Any:
    """Use."""
    return True, s.used[locker]


@view("by whom", locker=Locker)
def owner(s: Any, _me: Any, locker: Any) -> Any:
    """Owner; of a free locker it means nothing."""
    return s.used[locker], s.owner[locker]


@view("what is in the lockers of others", locker=Locker)
def contents(s: Any, me: Any, locker: Any) -> Any:
    """Contents."""
    return Not(rents(s, me, locker)), s.contents[locker]


@view("what is in my lockers", locker=Locker)
def own_contents(s: Any, me: Any, locker: Any) -> Any:
    """Own contents."""
    return rents(s, me, locker), s.contents[locker]


LOCKERS.observer("others", own=False, words="the clerk and every other tenant together", views=(used, owner, contents))
LOCKERS.observer("tenant", own=True, words="one tenant", views=(own_contents,))
