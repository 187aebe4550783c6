"""Run jobs on worker processes that may die: the longest first, each piece handed over as it arrives."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, Protocol, TypeVar

from proofs.messages import Done, Failed, Found, Job, Made, Outcome, Question, Reply
from proofs.obligation import Finding, Header

Start = Callable[[Connection], None]
T = TypeVar("T")

MAX_DEATHS: Final = 3  # of workers on one job without a new obligation in between; then the job has failed


class Desk(Protocol):
    """Who decides about obligations and takes results; called in the parent, one call at a time."""

    def made(self, job: Job, header: Header) -> Reply:
        """An obligation was made; what is to be done with it?"""
        ...

    def answered(self, header: Header, outcome: Outcome) -> None:
        """It was done."""
        ...

    def found(self, job: Job, finding: Finding) -> None:
        """A ready result."""
        ...

    def finished(self, job: Job, cpu_seconds: float) -> None:
        """Everything of the job was handed over."""
        ...

    def failed(self, job: Job, failure: Failed) -> None:
        """An exception ended the job."""
        ...

    def died(self, job: Job, header: Header | None) -> None:
        """The worker died over this obligation (or between two); the job starts over in a new one."""
        ...


class QuestionError(Exception):
    """The function that a question named raised an exception, or its worker died."""

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.traceback = traceback


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Job | Question | None = None
    header: Header | None = None


@dataclass
class Pool:
    """At most `size` workers, started when needed.  `start` is what each runs; it must be importable by name."""

    start: Start
    size: int
    _workers: list[_Worker] = field(default_factory=list[_Worker])
    _deaths: dict[str, int] = field(default_factory=dict[str, int])

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all workers, in the middle of what they do if need be."""
        for worker in self._workers:
            worker.connection.close()
            if worker.job is not None:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()

    def ask(self, target: str, kind: type[T]) -> T:
        """Call a function without arguments in a worker."""
        worker = self._idle()
        worker.job = Question(target)
        worker.connection.send(worker.job)
        try:
            message = worker.connection.recv()
        except EOFError:
            raise QuestionError(f"the worker died in {target}", "") from None
        worker.job = None
        if isinstance(message, Failed):
            raise QuestionError(message.message, message.traceback)
        if not isinstance(message, Done) or not isinstance(message.value, kind):
            raise QuestionError(f"{target} returned something else than {kind.__name__}", "")
        return message.value

    def run(self, jobs: Sequence[Job], desk: Desk, cost: Callable[[Job], float] = lambda _: 0.0) -> None:
        """Run all jobs, those that want to be first, then the most expensive (ties keep their order)."""
        waiting = sorted(jobs, key=lambda job: (not job.unit.first, -cost(job)))
        while waiting or any(worker.job for worker in self._workers):
            while waiting and (len(self._workers) < self.size or any(w.job is None for w in self._workers)):
                worker = self._idle()
                worker.job = waiting.pop(0)
                worker.connection.send(worker.job)
            busy = [worker for worker in self._workers if worker.job is not None]
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                again = self._listen(worker, desk)
                if again is not None:
                    waiting.insert(0, again)

    def _idle(self) -> _Worker:
        for worker in self._workers:
            if worker.job is None:
                return worker
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=self.start, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _listen(self, worker: _Worker, desk: Desk) -> Job | None:
        """Take one message of a busy worker; a job that must be started again, if its worker died."""
        job = worker.job
        if not isinstance(job, Job):
            raise TypeError("only workers with a job are listened to")
        try:
            message = worker.connection.recv()
            self._handle(worker, job, message, desk)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return self._bury(worker, job, desk)
        return None

    def _handle(self, worker: _Worker, job: Job, message: object, desk: Desk) -> None:
        match message:
            case Made(header):
                reply = desk.made(job, header)
                worker.header = header if reply.do != "skip" or reply.want_text else None
                worker.connection.send(reply)
            case Outcome():
                header, worker.header = worker.header, None
                if header is None:
                    raise TypeError("an outcome of no obligation")
                desk.answered(header, message)
            case Found(finding):
                desk.found(job, finding)
            case Done(cpu_seconds):
                worker.job = None
                desk.finished(job, cpu_seconds)
            case Failed():
                worker.job = worker.header = None
                desk.failed(job, message)
            case _:
                raise TypeError(f"a worker sent {message!r}")

    def _bury(self, worker: _Worker, job: Job, desk: Desk) -> Job | None:
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        if worker.header is not None:
            desk.died(job, worker.header)
            return job
        deaths = self._deaths[job.unit.id] = self._deaths.get(job.unit.id, 0) + 1
        if deaths >= MAX_DEATHS:
            code = worker.process.exitcode
            text = f"the worker of {job.unit.id} died {deaths} times outside the solver (code {code})"
            desk.failed(job, Failed(text, ""))
            return None
        desk.died(job, None)
        return job
