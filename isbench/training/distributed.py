"""One training process or several started by torchrun: ranks, means and shared errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import distributed

from isbench.errors import IsbenchError

_TIMEOUT = timedelta(hours=12)  # long: one process validates while the others wait


class Ranks(NamedTuple):
    """The rank of this process among the processes of the training."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Return whether this is the leading process, which writes the files."""
        return self.rank == 0

    def part(self, step: int, batch: int) -> range:
        """Return the numbers of this process's samples of a step."""
        share = batch // self.world
        first = step * batch + self.rank * share
        return range(first, first + share)

    def mean(self, values: list[float]) -> list[float]:
        """Return the mean of each value over all processes."""
        if self.world == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        means: list[float] = (total / self.world).tolist()
        return means

    @contextmanager
    def together(self) -> Iterator[None]:
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
        if any(self.mean([float(own is not None)])):
            errors: list[IsbenchError | None] = [None] * self.world
            distributed.all_gather_object(errors, own)
            raise next(one for one in errors if one is not None) from own


@contextmanager
def join_processes(batch: int) -> Iterator[Ranks]:
    """Join the processes that torchrun started, with gloo on CPUs and nccl on GPUs.

    Raises IsbenchError if the batch is not a multiple of the number of processes, or if there are
    too few GPUs.
    """
    rank, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    world, local_world = (int(os.environ.get(f"{name}WORLD_SIZE", "1")) for name in ("", "LOCAL_"))
    if batch % world:
        raise IsbenchError(f"batch is {batch} and there are {world} processes; wanted a multiple")
    if torch.cuda.is_available() and local_world > torch.cuda.device_count():
        raise IsbenchError(
            f"there are {local_world} processes on this machine and {torch.cuda.device_count()} "
            "GPUs; wanted one GPU per process: start fewer processes"
        )
    device = torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Ranks(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_TIMEOUT)
    try:
        yield Ranks(rank, world, device)
    except IsbenchError:
        # raised by all processes; after any other error some may be gone or still waiting
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()
