"""Objects assigned to a Ray cluster: many machines play, the one that asks records.

Every machine needs isbench, the data sets and the weights at the same places; see docs/cluster.md.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.executors.processes import DEATHS, Lost, Play
from isbench.types import Game

_PATIENCE = 600  # seconds without any worker: machines may have to be started first


@dataclass(frozen=True)
class Ray:
    """How to reach a cluster and what a worker of it takes; called as `pool.play_in_processes`."""

    address: str = "auto"  # of the cluster; "local": one of this machine alone, for the run
    cpus: int = 1  # of each worker
    gpus: int = 0

    def __call__(
        self, make_play: Callable[[], Play], chunks: Iterable[Sequence[str]], workers: int | None
    ) -> Iterator[Game | Lost]:
        """Assign chunks of keys to `workers` processes and yield games as they come in.

        None is as many as the cluster has room for. Whatever a lost machine or worker was playing
        is assigned again; an object at which `DEATHS` workers died is yielded as Lost. Raises what
        a worker raised.
        """
        ray = _connect(self.address)
        try:
            count = workers or _room(ray, self)
            waiting = deque(deque(chunk) for chunk in chunks)
            yield from _Workers(ray, self, ray.put(make_play), waiting).games(count)
        finally:
            ray.shutdown()


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported unasked
    # a local cluster would warn of GPUs it leaves alone
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise IsbenchError("executor ray is not installed: pip install 'isbench[ray]'") from error
    more: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        _probe(address)
        ray.init(address, logging_level=logging.CRITICAL, log_to_driver=False, **more)
    except (OSError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())
        raise IsbenchError(
            f"no Ray cluster at {address} ({told}); start one by `ray start --head`, or play with "
            "--address local"
        ) from error
    return ray


def _probe(address: str) -> None:
    """Raise OSError where nobody listens: Ray would wait for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _room(ray: Any, worker: Ray) -> int:
    there = ray.cluster_resources()
    if worker.gpus:
        return max(1, int(there.get("GPU", 0) // worker.gpus))
    return max(1, int(there.get("CPU", 1) // worker.cpus))


class _Player:
    """A worker: it builds what it plays with once, then plays object after object."""

    def __init__(self, make_play: Callable[[], Play]) -> None:
        self._make_play = make_play

    def ready(self) -> None:
        """Build; whoever waits for room does not answer, and nothing is assigned to it."""
        self._play = self._make_play()

    def game(self, key: str) -> Game:
        """Return the object's game."""
        (game,) = self._play([key])
        return game


@dataclass
class _Workers:
    """Who plays, and what; keys are assigned one by one, those of a chunk to one worker."""

    ray: Any
    worker: Ray
    table: Any  # what every worker builds what it plays with from
    waiting: deque[deque[str]]
    hired: dict[Any, Any] = field(default_factory=dict)  # what says it is ready -> a worker
    busy: dict[Any, tuple[Any, deque[str]]] = field(default_factory=dict)  # game -> worker, chunk
    idle: list[Any] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    unborn: int = 0  # workers that died before they were ready

    def games(self, workers: int) -> Iterator[Game | Lost]:
        """Play all that waits."""
        for _ in range(min(workers, len(self.waiting))):
            self._start_worker()
        while self.waiting or self.busy:
            (done, *_), _ = self._waited() or self._roomless()
            try:
                game = self.ray.get(done)
            except self.ray.exceptions.RayActorError:  # dead, perhaps with its machine
                yield from self._remove_dead_worker(done)
            except self.ray.exceptions.RayTaskError as error:
                raise error.cause from None
            else:
                if done in self.busy:
                    yield game
                self._assign(done)

    def _waited(self) -> Any:
        """Return what is done and what is not, None where nothing is or will be."""
        limit = None if self.busy else _PATIENCE
        found = self.ray.wait([*self.hired, *self.busy], num_returns=1, timeout=limit)
        return found if found[0] else None

    def _roomless(self) -> NoReturn:
        there = self.ray.cluster_resources()
        raise IsbenchError(
            f"the Ray cluster has had no room for a worker of {self.worker.cpus} CPUs and "
            f"{self.worker.gpus} GPUs for {_PATIENCE} s; it has {there.get('CPU', 0):.0f} CPUs and "
            f"{there.get('GPU', 0):.0f} GPUs: add machines, or lower --threads"
        )

    def _start_worker(self) -> None:
        wants = {"num_cpus": self.worker.cpus, "num_gpus": self.worker.gpus}
        player = self.ray.remote(**wants)(_Player)
        worker = player.remote(self.table)
        self.hired[worker.ready.remote()] = worker

    def _assign(self, done: Any) -> None:
        """Give whoever has done this the next object, of its own chunk if there is one."""
        if done in self.hired:
            worker, chunk = self.hired.pop(done), deque[str]()
        else:
            worker, chunk = self.busy.pop(done)
            chunk.popleft()
        self._place(worker, chunk)

    def _place(self, worker: Any, chunk: deque[str]) -> None:
        if not chunk and self.waiting:
            chunk = self.waiting.popleft()
        if chunk:
            self.busy[worker.game.remote(chunk[0])] = worker, chunk
        else:
            self.idle.append(worker)

    def _remove_dead_worker(self, done: Any) -> Iterator[Lost]:
        """Put a dead worker's chunk back, less the object that killed too many; start another."""
        self._start_worker()
        if self.hired.pop(done, None) is not None:
            self.unborn += 1
            if self.unborn == DEATHS:
                raise PredictorError(
                    f"{DEATHS} workers died before they could play: the model ends its process "
                    "when it is built, or the machines lack memory"
                )
            return
        _, chunk = self.busy.pop(done)
        self.deaths[chunk[0]] += 1
        if self.deaths[chunk[0]] == DEATHS:
            yield Lost(chunk.popleft(), None)
        if chunk:
            self.waiting.appendleft(chunk)
            if self.idle:  # the new worker may wait for room for ever
                self._place(self.idle.pop(), deque())
