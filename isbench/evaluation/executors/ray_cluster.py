"""Runs jobs on a Ray cluster: many machines play, the calling machine records.

Every machine needs isbench, the data sets and the weights at the same paths; see docs/cluster.md.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.executors.processes import DEATHS, LostObject
from isbench.evaluation.job import Job
from isbench.extras import describe_installation
from isbench.types import Game

_TIMEOUT = 600  # seconds to wait for a first worker: machines may have to start


@dataclass(frozen=True)
class Ray:
    """A cluster; called like `processes.play_here`."""

    address: str = "auto"  # of the cluster; "local": a temporary one on this machine

    def __call__(
        self, job: Job, chunks: Iterable[Sequence[str]], workers: int | None
    ) -> Iterator[Game | LostObject]:
        """Assign chunks of keys to `workers` processes and yield games as they finish.

        None means as many workers as the cluster has room for. Objects of a lost machine or worker
        are reassigned; an object at which `DEATHS` workers died is yielded as LostObject.
        Exceptions of workers are re-raised.
        """
        ray = _connect(self.address)
        try:
            resources = _choose_resources(job)
            count = workers or _count_workers(ray, resources)
            waiting = deque(deque(chunk) for chunk in chunks)
            yield from _Workers(ray, resources, ray.put(job), waiting).games(count)
        finally:
            ray.shutdown()


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # disable usage statistics
    # otherwise a local cluster warns about GPUs that it does not use
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        message = f"executor ray is not installed: {describe_installation('ray')}"
        raise IsbenchError(message, setting="executor") from error
    extra: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        _check_address(address)
        ray.init(address, logging_level=logging.CRITICAL, log_to_driver=False, **extra)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise IsbenchError(
            f"no Ray cluster at {address} ({reason}); start one with `ray start --head`, or use "
            "the address local",
            setting="address",
        ) from error
    return ray


def _check_address(address: str) -> None:
    """Raise OSError if nothing listens at the address; Ray itself would wait for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


class _Resources(NamedTuple):
    """The resources of a worker."""

    cpus: int
    gpus: int


def _choose_resources(job: Job) -> _Resources:
    runtime = job.model.runtime
    return _Resources(1 if runtime is None else runtime.threads, int(job.on_gpu))


def _count_workers(ray: Any, worker: _Resources) -> int:
    available = ray.cluster_resources()
    if worker.gpus:
        return max(1, int(available.get("GPU", 0) // worker.gpus))
    return max(1, int(available.get("CPU", 1) // worker.cpus))


class _PlayerActor:
    """A worker: builds its predictor once, then plays one object per call."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def ready(self) -> None:
        """Build the predictor; unanswered while Ray has no room, so no objects are assigned."""
        self._predictor = self._job.build()

    def game(self, key: str) -> Game:
        """Play an object and return its game."""
        (game,) = self._job.play(self._predictor, [key])
        return game


@dataclass
class _Workers:
    """The workers and their chunks; keys are assigned one by one, a chunk to a single worker."""

    ray: Any
    worker: _Resources
    job: Any  # Ray's reference to the job
    waiting: deque[deque[str]]
    starting: dict[Any, Any] = field(default_factory=dict)  # reference of `ready` -> worker
    # reference of a game -> worker, chunk
    busy: dict[Any, tuple[Any, deque[str]]] = field(default_factory=dict)
    idle: list[Any] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    startup_deaths: int = 0  # workers that died before they were ready

    def games(self, workers: int) -> Iterator[Game | LostObject]:
        """Play all waiting chunks."""
        for _ in range(min(workers, len(self.waiting))):
            self._start_worker()
        while self.waiting or self.busy:
            (done, *_), _ = self._wait() or self._raise_no_room()
            try:
                game = self.ray.get(done)
            except self.ray.exceptions.RayActorError:  # the worker or its machine died
                yield from self._remove_dead_worker(done)
            except self.ray.exceptions.RayTaskError as error:
                raise error.cause from None
            else:
                if done in self.busy:
                    yield game
                self._assign(done)

    def _wait(self) -> Any:
        """Wait for a finished reference; returns None after a timeout without any worker."""
        timeout = None if self.busy else _TIMEOUT
        found = self.ray.wait([*self.starting, *self.busy], num_returns=1, timeout=timeout)
        return found if found[0] else None

    def _raise_no_room(self) -> NoReturn:
        resources = self.ray.cluster_resources()
        raise IsbenchError(
            f"the Ray cluster had no room for a worker with {self.worker.cpus} CPUs and "
            f"{self.worker.gpus} GPUs for {_TIMEOUT} s; it has {resources.get('CPU', 0):.0f} CPUs "
            f"and {resources.get('GPU', 0):.0f} GPUs: add machines, or use fewer threads",
            setting="threads",
        )

    def _start_worker(self) -> None:
        needs = {"num_cpus": self.worker.cpus, "num_gpus": self.worker.gpus}
        player = self.ray.remote(**needs)(_PlayerActor)
        worker = player.remote(self.job)
        self.starting[worker.ready.remote()] = worker

    def _assign(self, done: Any) -> None:
        """Assign the worker of a finished reference its next object, from its own chunk first."""
        if done in self.starting:
            worker, chunk = self.starting.pop(done), deque[str]()
        else:
            worker, chunk = self.busy.pop(done)
            chunk.popleft()
        self._assign_next(worker, chunk)

    def _assign_next(self, worker: Any, chunk: deque[str]) -> None:
        if not chunk and self.waiting:
            chunk = self.waiting.popleft()
        if chunk:
            self.busy[worker.game.remote(chunk[0])] = worker, chunk
        else:
            self.idle.append(worker)

    def _remove_dead_worker(self, done: Any) -> Iterator[LostObject]:
        """Requeue a dead worker's chunk, without an object that killed too many; start another."""
        self._start_worker()
        if self.starting.pop(done, None) is not None:
            self.startup_deaths += 1
            if self.startup_deaths == DEATHS:
                raise PredictorError(
                    f"{DEATHS} workers died before they could play: either building the model ends "
                    "the process, or the machines lack memory"
                )
            return
        _, chunk = self.busy.pop(done)
        self.deaths[chunk[0]] += 1
        if self.deaths[chunk[0]] == DEATHS:
            yield LostObject(chunk.popleft(), None)
        if chunk:
            self.waiting.appendleft(chunk)
            if self.idle:  # the new worker may never get resources
                self._assign_next(self.idle.pop(), deque())
