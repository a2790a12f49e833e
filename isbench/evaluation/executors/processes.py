"""Local worker processes; a worker that dies costs only its unfinished object.

Not here: what is played (`job`) and where it is recorded (`runner`).
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import perf_counter
from traceback import format_exc
from typing import NamedTuple, TypeAlias

from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.job import Job
from isbench.types import Game

# (job, chunks of keys, workers) -> games; None workers: as many as finish soonest
Executor: TypeAlias = Callable[
    [Job, Iterable[Sequence[str]], int | None], Iterator["Game | LostObject"]
]

_READY = "ready"
_MOST = 8  # most processes by default; each holds a model
_START = 1.5  # estimated seconds that a process takes to import its modules
# workers that may die at an object before it is skipped, and in one place before they are ready
DEATHS = 3
_RAISED = 1  # exit code of a process that an exception has ended


class WorkerFault(Exception):
    """An internal error in a worker, with its traceback."""


class LostObject(NamedTuple):
    """An object at which `DEATHS` workers died."""

    key: str
    exit_code: int | None


@dataclass
class _Worker:
    number: int  # from 0, unique among running workers; that of a dead one is given again
    process: BaseProcess
    pipe: Connection
    keys: deque[str] = field(default_factory=deque)  # assigned and not yet returned
    ready: bool = False  # the worker has built its predictor


def play_here(
    job: Job, chunks: Iterable[Sequence[str]], workers: int | None
) -> Iterator[Game | LostObject]:
    """Play chunks of keys on this machine in `workers` processes and yield games as they finish.

    The job must be picklable for workers; every process builds its predictor once. One worker plays
    the objects of a chunk in order. A worker that dies is replaced and the rest of its chunk is
    reassigned; an object at which `DEATHS` workers died is yielded as LostObject. Exceptions of
    workers are re-raised. Raises PredictorError if no worker can start: for an exception before it
    is ready, and where `DEATHS` workers in a row died before that.

    With None there is one process per GPU. Without a GPU, playing starts in this process, and one
    process per further core joins it at the click at which that is estimated to finish sooner.
    """
    predictor, pace = None, None
    if begins_here(job, workers):
        most = 0 if workers == 1 or job.on_gpu else min(_MOST, count_cores()) - 1
        started = perf_counter()
        predictor = job.build()
        seconds = job.built.seconds if job.built else perf_counter() - started
        pace = _Pace(_START + seconds, most + 1)
    else:
        most = workers or _count_gpus(job)
    pool = _Pool(job, most, deque(tuple(chunk) for chunk in chunks), pace)
    try:
        while pool.is_busy():
            chunk = pool.take_safe_chunk() if predictor is not None else None
            if predictor is None or pace is None or chunk is None:
                pool.assign_chunks()
                pool.attend(None)
            else:
                for game in job.play(predictor, chunk, pool.attend_now):
                    pace.finished += 1
                    yield game
                    yield from pool.take_finished()
            yield from pool.take_finished()
    finally:
        pool.close()


@dataclass
class _Pace:
    """How fast this process plays alone, which decides whether others are started."""

    start_seconds: float  # that a worker takes until it can play
    workers: int  # with this process
    finished: int = 0
    began: float | None = None  # after the first click, which costs more than others

    def are_worth(self, left: int) -> bool:
        """Return whether workers would finish sooner with `left` objects; asked after a click."""
        now = perf_counter()
        if self.began is None:
            self.began = now
        elapsed = now - self.began
        return saves_time(left, elapsed, self.finished, self.workers, self.start_seconds)


def saves_time(
    left: int, elapsed: float, finished: int, workers: int, start_seconds: float
) -> bool:
    """Return whether sharing `left` objects among `workers` processes outweighs their start.

    `finished` objects and a part of another took `elapsed` seconds. The estimate counts that part
    as a whole, so that a long first game tells something before it ends.
    """
    alone = left * elapsed / (finished + 1)
    return alone - alone / workers > start_seconds


def begins_here(job: Job, workers: int | None) -> bool:
    """Return whether `play_here` begins to play in the calling process."""
    if workers is None:
        return not job.on_gpu or _count_gpus(job) == 1
    return workers == 1


def _count_gpus(job: Job) -> int:
    from isbench.nn.runtime.compute import count_devices  # imports torch, so only for networks

    assert job.model.runtime is not None
    return count_devices(job.model.runtime.device)


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class _Pool:
    """The worker processes, what waits for them, and what came from them."""

    job: Job
    most: int  # processes
    waiting: deque[tuple[str, ...]]
    pace: _Pace | None  # of the calling process if it plays too
    begun: bool = False  # workers may be started
    left: int = field(init=False)  # objects waiting until then, asked for after every click
    running: list[_Worker] = field(default_factory=list)
    finished: deque[Game | LostObject | Exception] = field(default_factory=deque)
    deaths: Counter[str] = field(default_factory=Counter)
    # by number, since a worker of that number was ready
    early_deaths: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.left = sum(map(len, self.waiting))

    def is_busy(self) -> bool:
        """Return whether objects are waiting or being played by workers."""
        return bool(self.waiting) or any(worker.keys for worker in self.running)

    def take_finished(self) -> Iterator[Game | LostObject]:
        """Yield what came from workers since the last call; raises an exception among it."""
        while self.finished:
            result = self.finished.popleft()
            if isinstance(result, Exception):
                raise result
            yield result

    def take_safe_chunk(self) -> tuple[str, ...] | None:
        """Return the next chunk in which no worker died, None if there is none."""
        for k, chunk in enumerate(self.waiting):
            if not any(key in self.deaths for key in chunk):
                del self.waiting[k]
                self.left -= len(chunk)
                return chunk
        return None

    def attend_now(self) -> None:
        """Receive what workers have sent, and assign chunks, without waiting."""
        if self.running:
            self.attend(0.0)
        self.assign_chunks()

    def attend(self, timeout: float | None) -> None:
        """Receive what workers send within `timeout` seconds, None until there is something."""
        ready = wait([worker.pipe for worker in self.running if worker.keys], timeout)
        for worker in [worker for worker in self.running if worker.pipe in ready]:
            message = _receive(worker)
            if isinstance(message, Game):
                worker.keys.popleft()
                self.finished.append(message)
            elif isinstance(message, Exception):
                self.finished.append(message)
            elif message == _READY:
                worker.ready = True
                del self.early_deaths[worker.number]
            else:
                self._remove_dead(worker)

    def assign_chunks(self) -> None:
        """Start workers while there are chunks for them, and assign a chunk to each idle one."""
        if not self.begun:
            if not self.most or (self.pace is not None and not self.pace.are_worth(self.left)):
                return
            _check_sendable(self.job)
            self.begun = True
        idle = sum(not worker.keys for worker in self.running)
        for _ in range(min(self.most - len(self.running), len(self.waiting) - idle)):
            number = next(n for n in count() if n not in {one.number for one in self.running})
            self.running.append(_start_worker(self.job, number))
        for worker in self.running:
            if self.waiting and not worker.keys:
                worker.keys.extend(self.waiting.popleft())
                with suppress(OSError):  # it died while idle; the next read of its pipe reveals it
                    worker.pipe.send(tuple(worker.keys))

    def _remove_dead(self, worker: _Worker) -> None:
        """Requeue a dead worker's chunk, without an object at which too many workers died."""
        self.running.remove(worker)
        worker.process.join()
        worker.pipe.close()
        if worker.ready:
            self.deaths[worker.keys[0]] += 1
            if self.deaths[worker.keys[0]] == DEATHS:
                self.finished.append(LostObject(worker.keys.popleft(), worker.process.exitcode))
        else:
            self._count_early_death(worker)
        if worker.keys:
            self.waiting.appendleft(tuple(worker.keys))

    def _count_early_death(self, worker: _Worker) -> None:
        """Report a worker that died before it was ready, if it will not start again either.

        A process that was killed, or lacked memory for a moment, is worth another try.
        """
        self.early_deaths[worker.number] += 1
        exit_code = worker.process.exitcode
        if exit_code == _RAISED or self.early_deaths[worker.number] == DEATHS:
            error = PredictorError(
                f"a worker died before it could play (exit code {exit_code}): either building the "
                "model ends the process, or the machine lacks memory, or a script that calls "
                'isbench.run lacks `if __name__ == "__main__":`; with one worker no process is '
                "started"
            )
            self.finished.append(error)

    def close(self) -> None:
        """End the workers."""
        for worker in self.running:
            worker.pipe.close()
            worker.process.terminate()
            worker.process.join()


def _start_worker(job: Job, number: int) -> _Worker:
    context = multiprocessing.get_context("spawn")  # forking is unsafe with threads
    try:
        parent_end, child_end = context.Pipe()
        process = context.Process(target=_work, args=(child_end, job, number), daemon=True)
        process.start()
    except OSError as error:
        raise IsbenchError(
            f"cannot start worker {number + 1}: {error.strerror or error}; use fewer workers",
            setting="workers",
        ) from error
    child_end.close()  # so that the worker's death closes the pipe
    return _Worker(number, process, parent_end)


def _receive(worker: _Worker) -> Game | Exception | str | None:
    """Return the worker's next game, its exception, the ready message, or None if it died."""
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    assert isinstance(message, (Game, Exception, str))
    return message


def _check_sendable(job: Job) -> None:
    try:
        pickle.dumps(job)
    except Exception as error:  # pickle raises many kinds of errors
        raise IsbenchError(
            f"the model or data set cannot be pickled for worker processes ({error}); define it at "
            "the top level of a module, or use one worker"
        ) from error


def _work(pipe: Connection, job: Job, number: int) -> None:
    """Play chunks until the parent closes the pipe or exits."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            predictor = job.build(number)
        except IsbenchError as error:
            pipe.send(error)
            return
        pipe.send(_READY)
        while True:
            chunk = pipe.recv()
            try:
                for game in job.play(predictor, chunk):
                    pipe.send(game)
            except IsbenchError as error:
                pipe.send(error)
            except Exception as error:  # an internal bug: show its traceback in the parent
                pipe.send(WorkerFault(f"{error}\n\nin a worker:\n{format_exc()}"))
