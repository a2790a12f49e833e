"""The processes of a training, one or several started by torchrun: means and shared errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from isbench.errors import IsbenchError

_TIMEOUT = timedelta(hours=12)  # long: one process validates while the others wait
_LEAVE_TIMEOUT = timedelta(minutes=1)  # with processes that leave later


class Processes(NamedTuple):
    """All processes of a training, as one of them sees them."""

    rank: int  # of this process
    world: int  # number of processes
    device: torch.device

    @property
    def is_leader(self) -> bool:
        """Return whether this is the leading process, which writes the files."""
        return self.rank == 0

    def split_step(self, step: int, batch: int) -> range:
        """Return the numbers of this process's samples of a step."""
        share = batch // self.world
        first = step * batch + self.rank * share
        return range(first, first + share)

    def average(self, values: list[float]) -> list[float]:
        """Return the mean of each value over all processes."""
        if self.world == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        means: list[float] = (total / self.world).tolist()
        return means

    @contextmanager
    def share_errors(self) -> Iterator[None]:
        """Share an IsbenchError raised in the `with` block by any process: all raise the first one.

        Without this the other processes would wait for the failed one forever.
        """
        own: IsbenchError | None = None
        try:
            yield
        except IsbenchError as error:
            if self.world == 1:
                raise
            own = error
        if any(self.average([float(own is not None)])):
            errors: list[IsbenchError | None] = [None] * self.world
            distributed.all_gather_object(errors, own)
            raise next(one for one in errors if one is not None) from own


@contextmanager
def join_processes(batch: int) -> Iterator[Processes]:
    """Join the processes that torchrun started, with gloo on CPUs and nccl on GPUs.

    Raises IsbenchError if the batch is not a multiple of the number of processes, or if there are
    too few GPUs.
    """
    rank, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    world, local_world = int(os.environ.get("WORLD_SIZE", "1")), count_local_processes()
    if batch % world:
        raise IsbenchError(
            f"batch is {batch} and there are {world} processes; wanted a multiple of {world}",
            setting="settings",
        )
    if torch.cuda.is_available() and local_world > torch.cuda.device_count():
        raise IsbenchError(
            f"there are {local_world} processes on this machine and {torch.cuda.device_count()} "
            "GPUs; wanted one GPU per process: start fewer processes"
        )
    device = torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Processes(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    store, _, _ = next(rendezvous("env://", timeout=_TIMEOUT))
    distributed.init_process_group(
        backend, store=store, rank=rank, world_size=world, timeout=_TIMEOUT
    )
    try:
        yield Processes(rank, world, device)
    except IsbenchError:
        # raised by all processes; after any other error some may be gone or still waiting
        _leave_together(store, world)
        raise
    _leave_together(store, world)


def count_local_processes() -> int:
    """Return how many processes torchrun started on this machine; 1 without torchrun."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _leave_together(store: Any, world: int) -> None:
    """Close the connections once all processes are ready to: a closed one fails a collective."""
    if store.add("ready to leave", 1) == world:
        store.set("all ready to leave", "")
    with suppress(RuntimeError):  # if the store is in the first process, it may already be gone
        store.wait(["all ready to leave"], _LEAVE_TIMEOUT)
    distributed.destroy_process_group()
