"""One process of a training, or several that torchrun started: who am I, and what do all say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import distributed

from isbench.errors import IsbenchError


class Ranks(NamedTuple):
    """The place of this process among those of the training."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, step: int, batch: int) -> range:
        """Return the numbers of the samples that this process makes a step of."""
        share = batch // self.world
        first = step * batch + self.rank * share
        return range(first, first + share)

    def mean(self, values: list[float]) -> list[float]:
        """Return the mean of each value over all processes."""
        if self.world == 1:
            return values
        told = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(told)
        found: list[float] = (told / self.world).tolist()
        return found


@contextmanager
def joined(batch: int) -> Iterator[Ranks]:
    """Join the processes that torchrun started, over gloo on CPUs and nccl on GPUs.

    Raises IsbenchError for a batch that does not divide among them.
    """
    rank, world, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    if batch % world:
        raise IsbenchError(f"batch is {batch} and there are {world} processes; wanted a multiple")
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Ranks(0, 1, device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(rank, world, device)
    finally:
        distributed.destroy_process_group()
