"""The machine of a symbolic run: the primitives of `impl.machine.primitives`, replaced by their contracts.

Untrusted memory answers every fetch with an arbitrary word.  A bulk primitive is one record in the log of a field.
Digests are uninterpreted functions of what is hashed; the measurement of an enclave is noted as events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from model.language.logic import And, Implies, Not, Or
from model.language.terms import FALSE, Function, Term, bits, bv, number, t_and, t_ite, t_not
from refinement.engine import words
from refinement.engine.instances import Rule
from refinement.engine.run import Run
from refinement.engine.storage import Access, Guard, Keys, View
from refinement.engine.values import (
    EngineError,
    Number,
    Truth,
    condition,
    number_of,
    truth,
    unknown,
    word_of,
)
from refinement.invariants.clause import Layout
from refinement.invariants.layout import in_pool, in_range, is_epc, is_normal

FRAME_WIDTH: Final = 40
OWNER_WIDTH: Final = 52
XSTATE_WORDS: Final = 72
ACTING: Final = unknown("cpu", 9)
"""The CPU on which the monitor runs."""
BUSY_CPU: Final = "busy_cpu"
"""Ghost field, frame -> CPU: who made a TCS busy.  The monitor can not read it; it witnesses who is inside."""
POOL_ROOM: Final = "pool_room"
"""Ghost field: how many frames of the pool have no owner.  It moves only as the primitives give and take frames."""
TABLE_RECORDS: Final = ("table_kind", "table_level", "table_prefix")


def symbolic_layout() -> Layout:
    """A layout of which nothing is known but the widths."""
    names = [name for name in Layout.__dataclass_fields__ if name != "cpus"]
    frames = {name: unknown(f"layout.{name}", FRAME_WIDTH) for name in names}
    return Layout(**frames, cpus=unknown("layout.cpus", 10))


class Loop(Protocol):
    """How a named loop is executed: by an invariant rule or by a contract."""

    def __call__(
        self, run: Run, machine: SymbolicMachine, first: Number, end: Number, body: Callable[[Number], None], /
    ) -> None:
        """Have the effect of the whole loop on the storage of the run, noting what has to be proved."""
        ...


def sha256(values: Sequence[Number], k: int) -> Number:
    """Word k of the digest of 64-bit words: an uninterpreted function of them."""
    digest = Function(f"sha256.{len(values)}", (*[bits(64)] * len(values), bits(2)), bits(64))
    return number_of(digest(*(word_of(v, 64, "a hashed word") for v in values), number(k, 2)))


class SymbolicMachine:
    """What the monitor's code gets as its machine in a symbolic run."""

    def __init__(
        self, run: Run, layout: Layout, nested_format: object, loops: Mapping[str, Loop] | None = None
    ) -> None:
        self.run = run
        self.storage = run.storage
        self.layout = layout
        self.nested_format = nested_format
        self.loops = dict(loops or {})
        self.invariant: Callable[[View], list[Rule]] = lambda _: []  # of a snapshot, as facts
        self.pending: list[Number] = []  # guest roots that the nested table does not map yet

    # --- memory -----------------------------------------------------------------------------------------------------

    def memory_zero(self, frame: Number) -> None:
        """Set the words of a trusted frame to 0."""
        place = self._trusted(frame, "memory_zero")
        self.storage.fill("memory", _first_is(place), lambda _: number(0, 64))

    def memory_copy(self, destination: Number, source: Number) -> None:
        """Copy the words of one trusted frame to a different one."""
        to, origin = self._trusted(destination, "memory_copy to"), self._trusted(source, "memory_copy from")
        self.run.require(t_not(words.same(to, origin)), "memory_copy is between different frames")
        before = self.storage.nodes["memory"]
        self.storage.fill("memory", _first_is(to), lambda keys: before.read((origin, keys[1])))

    def memory_is_zero(self, frame: Number, first: int, end: int) -> Truth:
        """Whether the words first..end-1 are 0: true says so of each word, false names a word that is not."""
        own = condition(frame == self.layout.staging_first + ACTING)
        self.run.require(own, "memory_is_zero: the CPU's staging frame")
        place = word_of(frame, FRAME_WIDTH, "memory_is_zero")
        before = self.storage.nodes["memory"]
        answer = self.run.fresh("all_zero", 1).term
        yes = words.same(answer, number(1, 1))
        witness = self.run.fresh("nonzero_word", 9)
        inside = condition(And(first <= witness, witness < end))
        nonzero = t_not(words.same(before.read((place, witness.term)), number(0, 64)))
        self.run.assume(condition(Implies(Not(truth(yes)), And(truth(inside), truth(nonzero)))), "memory_is_zero: no")
        self.run.facts_at(
            "memory_is_zero: yes",
            before,
            lambda keys: condition(
                Implies(
                    And(
                        truth(yes),
                        truth(words.same(keys[0], place)),
                        in_range(number_of(keys[1]), first, end),
                    ),
                    truth(words.same(before.read(keys), number(0, 64))),
                )
            ),
        )
        return truth(yes)

    def fetch_word(self, frame: Number, index: Number) -> Number:
        """An arbitrary word: untrusted memory may change between any two fetches."""
        place = self._normal(frame, "fetch_word")
        word = self.run.fresh("fetch", 64)
        self.run.event("fetch", place, word_of(index, 9, "index of fetch_word"), word.term)
        return word

    def store_word(self, frame: Number, index: Number, value: Number) -> None:
        """Store a word to normal memory, where others may see it before the next one takes its place."""
        place = (self._normal(frame, "store_word"), word_of(index, 9, "index of store_word"))
        stored = word_of(value, 64, "value of store_word")
        self.storage.put("memory", place, stored)
        self.run.event("store", *place, stored)

    def fetch_page(self, destination: Number, source: Number) -> None:
        """Fill a trusted frame with arbitrary words."""
        origin = self._normal(source, "fetch_page from")
        place = self._trusted(destination, "fetch_page to")
        self.storage.havoc("memory", self.run.fresh_name("fetched"), _first_is(place))
        self.run.event("fetch_page", place, origin, self.storage.nodes["memory"])

    # --- processor state --------------------------------------------------------------------------------------------

    def tlb_flush(self, cpu: Number) -> None:
        """Forget all translations of a CPU."""
        c = self._cpu(cpu)
        self.storage.fill("tlb_rights", _first_is(c), lambda _: number(0, 4))
        self.storage.fill("tlb_frame", _first_is(c), lambda _: number(0, FRAME_WIDTH))

    def xstate_save(self, cpu: Number, frame: Number) -> None:
        """Words 0..71 of the frame become the extended state."""
        place, c = self._trusted(frame, "xstate_save"), self._cpu(cpu)
        state = self.storage.nodes["xstate"]

        def match(keys: Keys) -> Term:
            return t_and([words.same(keys[0], place), words.less(keys[1], number(XSTATE_WORDS, 9))])

        self.storage.fill("memory", match, lambda keys: state.read((c, words.cut(keys[1], 6, 0))))

    def xstate_restore(self, cpu: Number, frame: Number) -> None:
        """The extended state becomes words 0..71 of the frame."""
        place, c = self._trusted(frame, "xstate_restore"), self._cpu(cpu)
        memory = self.storage.nodes["memory"]
        self.storage.fill("xstate", _xstate_of(c), lambda keys: memory.read((place, words.extend(keys[1], 9))))

    def xstate_reset(self, cpu: Number) -> None:
        """The extended state becomes the initial one (FCW 0x37f, MXCSR 0x1f80)."""

        def value(keys: Keys) -> Term:
            control = t_ite(words.same(keys[1], number(3, 7)), number(0x1F80, 64), number(0, 64))
            return t_ite(words.same(keys[1], number(0, 7)), number(0x37F, 64), control)

        self.storage.fill("xstate", _xstate_of(self._cpu(cpu)), value)

    # --- pool of table frames ---------------------------------------------------------------------------------------

    def pool_take(self, owner: Number) -> Number:
        """A frame of the pool that had no owner, which it now has."""
        free = self.storage.pool_free[()]
        self.run.require(condition(owner != 0), "pool_take for an owner")
        self.run.require(condition(free >= 1), "pool_take with a free frame")
        self.counts_the_pool("pool_take")
        frame = self.run.fresh("taken", FRAME_WIDTH)
        unowned = self.storage.pool_owner[frame] == 0
        self.run.assume(condition(And(in_pool(self.layout, frame), unowned)), "pool_take gives a free frame")
        self.storage.put("pool_owner", (frame.term,), word_of(owner, OWNER_WIDTH, "value of pool_owner"))
        self.storage.pool_free[()] = free - 1
        self.move_room(number((1 << FRAME_WIDTH) - 1, FRAME_WIDTH))
        self.run.event("pool_take", frame.term)
        return frame

    def pool_release(self, owner: Number) -> None:
        """All frames of an owner become free and zero, and the directory forgets them."""
        self.run.require(condition(owner != 0), "pool_release of an owner")
        whose = word_of(owner, OWNER_WIDTH, "owner of pool_release")
        owners = self.storage.nodes["pool_owner"]

        def released(keys: Keys) -> Term:
            return words.same(owners.read((keys[0],)), whose)

        for name in ("memory", *TABLE_RECORDS, "pool_owner"):
            zero = number(0, self.storage.nodes[name].shape.width)
            self.storage.fill(name, released, lambda _, zero=zero: zero)
        self.storage.fill("table_at", lambda keys: words.same(keys[1], whose), lambda _: number(0, FRAME_WIDTH))
        self._free_more()

    def _free_more(self) -> None:
        before, after = self.storage.pool_free[()], self.run.fresh("pool_free", FRAME_WIDTH)
        self.run.assume(condition(before <= after), "pool_release frees frames")
        self.leave_free(after)

    def leave_free(self, left: Number) -> None:
        """`left` frames are free from now on: by as many as it said before, frames were taken or given back."""
        before = self.storage.nodes["pool_free"].read(())
        self.storage.pool_free[()] = left
        after = self.storage.nodes["pool_free"].read(())
        self.move_room(bv("bvsub", after, before))

    def move_room(self, change: Term) -> None:
        """Of the pool frames without an owner there are `change` more from now on (modulo their width)."""
        room = self.storage.nodes[POOL_ROOM].read(())
        self.storage.put(POOL_ROOM, (), words.add(room, change))

    def counts_the_pool(self, name: str) -> None:
        """Note that here `pool_free` is what it has to be, so that a frame which it promises exists."""
        pre, now = self.run.pre, self.storage.snapshot()
        goal = Implies(pre.pool_free[()] == pre.pool_room[()], now.pool_free[()] == now.pool_room[()])
        self.run.establish(f"{self.run.fresh_name(name)}: POOL", condition(goal))

    # --- measurement ------------------------------------------------------------------------------------------------

    def measure_start(self, enclave: Number, ssa_frame_size: Number, size: Number) -> None:
        """Begin the records of an enclave."""
        self.run.event("measure_start", enclave, ssa_frame_size, size)

    def measure_add(self, enclave: Number, offset: Number, secinfo: Number) -> None:
        """Append an EADD record."""
        self.run.event("measure_add", enclave, offset, secinfo)

    def measure_extend(self, enclave: Number, offset: Number, frame: Number) -> None:
        """Append the records of the contents of a page."""
        self._trusted(frame, "measure_extend")
        self.run.event("measure_extend", enclave, offset, frame, self.storage.nodes["memory"])

    def measure_final(self, enclave: Number) -> tuple[Number, Number, Number, Number]:
        """The digest of the records as they were at the start of the run."""
        if any(str(event[0]).startswith("measure") for event in self.run.events):
            raise EngineError("a digest of records that this run itself changed")
        digest = Function("measured", (bits(OWNER_WIDTH), bits(2)), bits(64))
        key = word_of(enclave, OWNER_WIDTH, "enclave of measure_final")
        a, b, c, d = (number_of(digest(key, number(k, 2))) for k in range(4))
        return a, b, c, d

    def measure_drop(self, enclave: Number) -> None:
        """Forget the records of an enclave."""
        self.run.event("measure_drop", enclave)

    def digest_words(self, values: tuple[Number, ...]) -> tuple[Number, Number, Number, Number]:
        """SHA-256 as an uninterpreted function of the words."""
        a, b, c, d = (sha256(values, k) for k in range(4))
        return a, b, c, d

    # --- loops ------------------------------------------------------------------------------------------------------

    def each(self, name: str, first: Number, end: Number, body: Callable[[Number], None]) -> None:
        """Have the effect of a named loop by its rule; a loop without one can not be executed."""
        rule = self.loops.get(name)
        if rule is None:
            raise EngineError(f"no rule for the loop {name!r}")
        rule(self.run, self, first, end, body)

    # --- what callers of a primitive must ensure --------------------------------------------------------------------

    def _trusted(self, frame: Number, reason: str) -> Term:
        self.run.require(is_trusted(self, frame), f"{reason}: a trusted frame")
        return word_of(frame, FRAME_WIDTH, reason)

    def _normal(self, frame: Number, reason: str) -> Term:
        self.run.require(condition(is_normal(self.layout, frame)), f"{reason}: a normal frame")
        return word_of(frame, FRAME_WIDTH, reason)

    def _cpu(self, cpu: Number) -> Term:
        return word_of(cpu, 9, "cpu")


def is_trusted(machine: SymbolicMachine, frame: Number) -> Term:
    """The acting CPU's staging frame, an EPC frame, or (where tables are not used by contract) a frame of the pool."""
    y = machine.layout
    staging_or_epc = Or(frame == y.staging_first + ACTING, is_epc(y, frame))
    if "leaf" in machine.storage.nodes:
        return condition(staging_or_epc)
    return condition(Or(staging_or_epc, in_pool(y, frame)))


def monitor_guard(machine: SymbolicMachine) -> Guard:
    """The monitor's own code touches only trusted memory directly, and EPCM entries of EPC frames only.

    A TCS that becomes busy is noted as the acting CPU's (`busy_cpu`).  Who owns a pool frame is left to primitives.
    """

    def guard(access: Access, name: str, place: Keys) -> None:
        if name == "memory":
            machine.run.require(is_trusted(machine, number_of(place[0])), f"memory {access}: a trusted frame")
        elif name == "epcm":
            inside = condition(And(is_epc(machine.layout, number_of(place[0])), number_of(place[1]) < 3))
            machine.run.require(inside, f"epcm {access}: an EPC frame")
        elif name == "busy" and access == "write":
            machine.storage.put(BUSY_CPU, place, ACTING.term)
        elif name == "pool_owner" and access == "write":
            machine.run.require(FALSE, "pool_owner is written by pool_take and pool_release alone")

    return guard


def _first_is(place: Term) -> Callable[[Keys], Term]:
    return lambda keys: words.same(keys[0], place)


def _xstate_of(cpu: Term) -> Callable[[Keys], Term]:
    return lambda keys: t_and([words.same(keys[0], cpu), words.less(keys[1], number(XSTATE_WORDS, 7))])
