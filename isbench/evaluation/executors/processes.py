"""Worker processes that may die: each costs its unfinished object only.

Not here: what is played and where it goes (`runner`).
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
from isbench.types import Game

# Plays objects by key and yields their games in the same order; built once in each worker.
Play: TypeAlias = Callable[[Sequence[str]], Iterator[Game]]

# Plays chunks of keys by what the first makes, in so many processes at most; None: as many as fit
Executor: TypeAlias = Callable[
    [Callable[[], Play], Iterable[Sequence[str]], int | None], Iterator["Game | Lost"]
]

_READY = "ready"
_MOST = 8  # processes by default; each holds a model
_START = 3.0  # seconds that a process may take to import what it plays with
DEATHS = 3  # of workers at the same object before it is given up


class WorkerFault(Exception):
    """An internal fault in a worker, with the traceback it had there."""


class Lost(NamedTuple):
    """An object at which worker after worker died."""

    key: str
    exit_code: int | None


@dataclass
class _Worker:
    number: int  # from 0 on, no two alike at a time
    process: BaseProcess
    pipe: Connection
    keys: deque[str] = field(default_factory=deque)  # assigned and not yet returned
    ready: bool = False  # it has built what it plays with


def play_here(
    make_play: Callable[[], Play], chunks: Iterable[Sequence[str]], workers: int | None
) -> Iterator[Game | Lost]:
    """Play chunks of keys on this machine, in so many processes, and yield games as they come in.

    None begins in this one, and goes on in one a core once that is sure to end sooner.
    """
    if workers is not None and workers > 1:
        yield from play_in_processes(make_play, chunks, workers)
        return
    most = 1 if workers == 1 else min(_MOST, count_cores())
    started = perf_counter()
    play, left = make_play(), deque(chunks)
    start = _START + perf_counter() - started
    done, started = 0, perf_counter()
    while left:
        for game in play(left.popleft()):
            done += 1
            yield game
        ahead = sum(map(len, left)) * (perf_counter() - started) / max(done, 1)
        if ahead * (1 - 1 / most) > 2 * start:
            yield from play_in_processes(make_play, left, most)
            return


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def play_in_processes(
    make_play: Callable[[], Play], chunks: Iterable[Sequence[str]], workers: int
) -> Iterator[Game | Lost]:
    """Assign chunks of keys to `workers` processes and yield games as they come in.

    `make_play` must be picklable; every process calls it once. The objects of a chunk are played in
    order by one worker. A worker that dies is replaced and the rest of its chunk assigned again; an
    object at which `DEATHS` workers died is yielded as Lost. Raises what a worker raised.
    """
    _check_sendable(make_play)
    waiting = deque(tuple(chunk) for chunk in chunks)
    deaths: Counter[str] = Counter()
    running: list[_Worker] = []
    try:
        while waiting or any(worker.keys for worker in running):
            _assign_chunks(waiting, running, workers, make_play)
            ready = wait([worker.pipe for worker in running if worker.keys])
            for worker in [worker for worker in running if worker.pipe in ready]:
                message = _receive(worker)
                if isinstance(message, Game):
                    worker.keys.popleft()
                    yield message
                elif message == _READY:
                    worker.ready = True
                else:
                    running.remove(worker)
                    yield from _remove_dead_worker(worker, waiting, deaths)
    finally:
        for worker in running:
            worker.pipe.close()
            worker.process.terminate()
            worker.process.join()


def _assign_chunks(
    waiting: deque[tuple[str, ...]],
    running: list[_Worker],
    workers: int,
    make_play: Callable[[], Play],
) -> None:
    """Start as many workers as there is work for, and give a chunk to each that has none."""
    idle = sum(not worker.keys for worker in running)
    for _ in range(min(workers - len(running), len(waiting) - idle)):
        free = next(n for n in count() if n not in {worker.number for worker in running})
        running.append(_start_worker(make_play, free))
    for worker in running:
        if waiting and not worker.keys:
            worker.keys.extend(waiting.popleft())
            with suppress(OSError):  # it died idle: its pipe says so at the next look
                worker.pipe.send(tuple(worker.keys))


def _remove_dead_worker(
    worker: _Worker, waiting: deque[tuple[str, ...]], deaths: Counter[str]
) -> Iterator[Lost]:
    """Put a dead worker's chunk back, less the object that killed too many."""
    worker.process.join()
    worker.pipe.close()
    if not worker.ready:
        raise PredictorError(
            f"a worker died before it could play (exit code {worker.process.exitcode}): the model "
            "ends its process when it is built, or a script that calls isbench.run lacks "
            '`if __name__ == "__main__":`; one worker plays in the same process'
        )
    deaths[worker.keys[0]] += 1
    if deaths[worker.keys[0]] == DEATHS:
        yield Lost(worker.keys.popleft(), worker.process.exitcode)
    if worker.keys:
        waiting.appendleft(tuple(worker.keys))


def _start_worker(make_play: Callable[[], Play], number: int) -> _Worker:
    context = multiprocessing.get_context("spawn")  # threads and fork do not mix
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, make_play, number), daemon=True)
    process.start()
    theirs.close()  # so that the worker's death is the end of the file here
    return _Worker(number, process, ours)


def _receive(worker: _Worker) -> Game | str | None:
    """Return the worker's next game, that it is ready, or None if it died."""
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    if isinstance(message, Exception):
        raise message
    assert isinstance(message, (Game, str))
    return message


def _check_sendable(make_play: Callable[[], Play]) -> None:
    try:
        pickle.dumps(make_play)
    except Exception as error:  # pickle raises many kinds
        raise IsbenchError(
            f"the model or data set cannot be sent to worker processes ({error}); define it at the "
            "top of a module, or use one worker"
        ) from error


def worker_number() -> int:
    """Return which of the workers this process is, from 0 on; 0 where there are none."""
    return _number


_number = 0  # set once, by the worker itself


def _work(pipe: Connection, make_play: Callable[[], Play], number: int) -> None:
    """Play chunks until the parent closes the pipe or is gone."""
    global _number
    _number = number
    with suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            play = make_play()
        except IsbenchError as error:
            pipe.send(error)
            return
        pipe.send(_READY)
        while True:
            chunk = pipe.recv()
            try:
                for game in play(chunk):
                    pipe.send(game)
            except IsbenchError as error:
                pipe.send(error)
            except Exception as error:  # a bug of ours: its traceback must reach the terminal
                pipe.send(WorkerFault(f"{error}\n\nin a worker:\n{format_exc()}"))
