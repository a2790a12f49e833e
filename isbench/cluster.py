"""Objects dealt to a Ray cluster: many machines play, the one that asks records.

Every machine needs isbench, the data sets and the weights at the same places; see docs/cluster.md.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from isbench.errors import IsbenchError, PredictorError
from isbench.pool import DEATHS, Lost, Play
from isbench.types import Game


@dataclass(frozen=True)
class Ray:
    """How to reach a cluster and what a worker of it takes; called as `pool.play_in_processes`."""

    address: str = "auto"  # of the cluster; "local": one of this machine alone, for the run
    gpus: float = 0  # of each worker

    def __call__(
        self, make_play: Callable[[], Play], hands: Iterable[Sequence[str]], workers: int | None
    ) -> Iterator[Game | Lost]:
        """Deal hands of keys to `workers` processes and yield games as they come in.

        None is as many as the cluster has room for. Whatever a lost machine or worker was playing
        is dealt again; an object at which `DEATHS` workers died is yielded as Lost. Raises what a
        worker raised.
        """
        ray = _connected(self.address)
        try:
            count = workers or _room(ray, self.gpus)
            waiting = deque(deque(hand) for hand in hands)
            yield from _Crew(ray, ray.put(make_play), self.gpus, waiting).games(count)
        finally:
            ray.shutdown()


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise IsbenchError("executor ray is not installed: pip install 'isbench[ray]'") from error
    local = address == "local"
    try:
        ray.init(address=None if local else address, logging_level="error", log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise IsbenchError(
            f"no Ray cluster at {address} ({error}); start one by `ray start --head`, or play with "
            "--address local"
        ) from error
    return ray


def _room(ray: Any, gpus: float) -> int:
    there = ray.cluster_resources()
    return max(1, int(there.get("GPU", 0) / gpus if gpus else there.get("CPU", 1)))


class _Player:
    """A worker: it builds what it plays with once, then plays object after object."""

    def __init__(self, make_play: Callable[[], Play]) -> None:
        self._play = make_play()

    def ready(self) -> None:
        """Answer once the worker is built, so that nothing is dealt to one that waits for room."""

    def game(self, key: str) -> Game:
        """Return the object's game."""
        (game,) = self._play([key])
        return game


@dataclass
class _Crew:
    """Who plays, and what; keys are dealt one by one, those of a hand to one worker."""

    ray: Any
    table: Any  # what every worker builds what it plays with from
    gpus: float
    waiting: deque[deque[str]]
    hired: dict[Any, Any] = field(default_factory=dict)  # what says it is ready -> a worker
    busy: dict[Any, tuple[Any, deque[str]]] = field(default_factory=dict)  # game -> worker, hand
    idle: list[Any] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    unborn: int = 0  # workers that died before they were ready

    def games(self, workers: int) -> Iterator[Game | Lost]:
        """Play all that waits."""
        for _ in range(min(workers, len(self.waiting))):
            self._hire()
        while self.waiting or self.busy:
            (done,), _ = self.ray.wait([*self.hired, *self.busy], num_returns=1)
            try:
                game = self.ray.get(done)
            except self.ray.exceptions.RayActorError:  # dead, perhaps with its machine
                yield from self._buried(done)
            except self.ray.exceptions.RayTaskError as error:
                raise error.cause from None
            else:
                if done in self.busy:
                    yield game
                self._deal(done)

    def _hire(self) -> None:
        player = self.ray.remote(num_cpus=1, num_gpus=self.gpus)(_Player)
        worker = player.remote(self.table)
        self.hired[worker.ready.remote()] = worker

    def _deal(self, done: Any) -> None:
        """Give whoever has done this the next object, of its own hand if there is one."""
        if done in self.hired:
            worker, hand = self.hired.pop(done), deque[str]()
        else:
            worker, hand = self.busy.pop(done)
            hand.popleft()
        self._seat(worker, hand)

    def _seat(self, worker: Any, hand: deque[str]) -> None:
        if not hand and self.waiting:
            hand = self.waiting.popleft()
        if hand:
            self.busy[worker.game.remote(hand[0])] = worker, hand
        else:
            self.idle.append(worker)

    def _buried(self, done: Any) -> Iterator[Lost]:
        """Put a dead worker's hand back, less the object that killed too many, and hire another."""
        self._hire()
        if self.hired.pop(done, None) is not None:
            self.unborn += 1
            if self.unborn == DEATHS:
                raise PredictorError(
                    f"{DEATHS} workers died before they could play: the model ends its process "
                    "when it is built, or the machines lack memory"
                )
            return
        _, hand = self.busy.pop(done)
        self.deaths[hand[0]] += 1
        if self.deaths[hand[0]] == DEATHS:
            yield Lost(hand.popleft(), None)
        if hand:
            self.waiting.appendleft(hand)
            if self.idle:  # the new worker may wait for room for ever
                self._seat(self.idle.pop(), deque())
