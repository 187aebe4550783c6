"""The inside of a worker process: run units, solve what they make, report each piece as it arrives."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from types import TracebackType

from proofs.ledger import pack
from proofs.messages import Done, Failed, Found, Job, Made, Outcome, Question, Reply
from proofs.obligation import Answer, BadInputError, Call, Explanation, Finding, Obligation
from proofs.solver import Solver

Resolve = Callable[[str], Callable[..., object]]


def serve(connection: Connection, resolve: Resolve, solver: Solver) -> None:
    """Do jobs until the other side closes the pipe.  resolve turns `module:function` into the function."""
    desk = _Desk(connection, resolve, solver)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        started, value = time.process_time(), None
        with _Reporting(connection) as reporting:
            value = desk.run(job) if isinstance(job, Job) else desk.ask(job)
        if not reporting.failed:
            connection.send(Done(time.process_time() - started, value))


class _Reporting:
    """Sends an exception to the other side instead of ending the worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.failed = False

    def __enter__(self) -> _Reporting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # A broken pipe means that nobody listens any more: the worker ends.
        if not isinstance(error, Exception) or isinstance(error, BrokenPipeError | EOFError):
            return False
        text = "".join(traceback.format_exception(kind, error, trace))
        bad_input = isinstance(error, BadInputError)
        message = str(error) if bad_input else f"{type(error).__name__}: {error}"
        self._connection.send(Failed(message, text, bad_input))
        self.failed = True
        return True


class _Desk:
    def __init__(self, connection: Connection, resolve: Resolve, solver: Solver) -> None:
        self._connection = connection
        self._resolve = resolve
        self._solver = solver

    def ask(self, question: Question) -> object:
        return self._resolve(question.target)()

    def run(self, job: Job) -> None:
        for item in self._items(job.unit.make) if job.stored is None else job.stored:
            if isinstance(item, Finding):
                self._connection.send(Found(item))
            elif isinstance(item, Obligation):
                self._obligation(item)
            else:
                raise TypeError(f"{job.unit.make.target} made {item!r}, expected an Obligation or a Finding")

    def _items(self, make: Call) -> Iterable[object]:
        items = self._resolve(make.target)(**make.arguments)
        if not isinstance(items, Iterable):
            raise TypeError(f"{make.target} returned {items!r}, expected something to iterate over")
        return items

    def _obligation(self, obligation: Obligation) -> None:
        self._connection.send(Made(obligation.header()))
        reply: Reply = self._connection.recv()
        if reply.do == "skip" and not reply.want_text:
            return
        answer, explanation = reply.answer, None
        if reply.do == "solve":
            answer = self._solver.solve(obligation.text, obligation.rlimit)
        if answer is not None and answer.status != obligation.expect:
            explanation = self._explain(obligation, answer)
        packed = pack(obligation.text) if reply.want_text else None
        self._connection.send(Outcome(answer, explanation, packed))

    def _explain(self, obligation: Obligation, answer: Answer) -> Explanation | None:
        call = obligation.explain
        if call is None:
            return None
        found = self._resolve(call.target)(obligation, answer, **call.arguments)
        if not isinstance(found, Explanation):
            raise TypeError(f"{call.target} returned {found!r}, expected an Explanation")
        return found
