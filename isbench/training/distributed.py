"""One process of a training, or several that torchrun started: who am I, and what do all say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import distributed

from isbench.errors import IsbenchError

_PATIENCE = timedelta(hours=12)  # for one another: one process validates, the others wait


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
    def together(self) -> Iterator[None]:
        """Do inside what may fail in one process alone: all raise the error of the first that did.

        They learn of it here since they would wait for it in the next step for ever.
        """
        fault: IsbenchError | None = None
        try:
            yield
        except IsbenchError as error:
            if self.world == 1:
                raise
            fault = error
        if any(self.mean([float(fault is not None)])):
            told: list[IsbenchError | None] = [None] * self.world
            distributed.all_gather_object(told, fault)
            raise next(one for one in told if one is not None) from fault


@contextmanager
def join_processes(batch: int) -> Iterator[Ranks]:
    """Join the processes that torchrun started, over gloo on CPUs and nccl on GPUs.

    Raises IsbenchError for a batch that does not divide among them, and for too few GPUs.
    """
    rank, local = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    world, here = (int(os.environ.get(f"{name}WORLD_SIZE", "1")) for name in ("", "LOCAL_"))
    if batch % world:
        raise IsbenchError(f"batch is {batch} and there are {world} processes; wanted a multiple")
    if torch.cuda.is_available() and here > torch.cuda.device_count():
        raise IsbenchError(
            f"there are {here} processes on this machine and {torch.cuda.device_count()} GPUs; "
            "wanted a GPU each: lower --nproc-per-node"
        )
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Ranks(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Ranks(rank, world, device)
    except IsbenchError:  # which all have; after any other the others may be gone, or still wait
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()
