"""A training that can go on: all that is checked and opened before its next step.

Not here: the steps (`loop`).
"""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from isbench.datasets.fingerprints import digest_file
from isbench.errors import IsbenchError
from isbench.training import checkpoints
from isbench.training.checkpoints import Checkpoint
from isbench.training.corpus import Corpus, pick_objects, split_held_out
from isbench.training.distributed import Ranks, join_processes
from isbench.training.optimiser import draw_weights, make_optimiser
from isbench.training.pretrained import IMAGENET, load_imagenet
from isbench.training.recipe import Recipe, check_recipe
from isbench.training.samples import Sampler, make_sampler
from isbench.training.sources import read
from isbench.training.training_log import LOG, Logbook, Tally
from isbench.training.validation import check_playable, is_wanted
from isbench.training.weights import Loaded, origin_of, start_from
from isbench.types import Dataset, Model, Scalar

_MOST_THREADS = 8


class Answering(nn.Module):
    """Both answers of a network as a call, which is what DistributedDataParallel hooks into."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor, clicks: torch.Tensor) -> Any:
        """Return the network's Logits."""
        return self.network.forward_with_aux(inputs, clicks)  # type: ignore[operator]


@dataclass
class TrainingRun:
    """What a training holds; `step` and `best` and the weights change as it goes on."""

    model: Model
    recipe: Recipe
    corpus: Corpus  # what is trained on
    held: Dataset  # what is validated on, some of the images that are held out
    held_out: int  # all of these
    out: Path
    ranks: Ranks
    sampler: Sampler
    network: nn.Module
    answering: nn.Module  # the network as it is called for gradients
    mean: nn.Module  # the running mean, in eval mode
    optimiser: Optimizer
    scaler: torch.amp.GradScaler
    about: str  # what decides the training, as JSON
    logbook: Logbook | None = None  # of the process that writes
    started_from: Loaded | None = None
    origin: str = ""  # the weights that it started from, their digest, and where those began
    tally: Tally = field(default_factory=Tally)
    step: int = 0  # steps that are done
    best: float = math.inf

    @property
    def total(self) -> int:
        """Return the steps of the whole training."""
        return self.recipe.total(len(self.corpus.entries))

    @property
    def parameters(self) -> int:
        """Return the numbers that are learned."""
        return sum(one.numel() for one in self.network.parameters())

    def checkpoint(self) -> None:
        """Write the checkpoint, from the process that writes."""
        if self.ranks.leads:
            kept = Checkpoint(
                self.about, self.step, self.network.state_dict(), self.mean.state_dict(),
                self.optimiser.state_dict(), self.scaler.state_dict(), self.best, self.tally.sums,
                self.origin,
            )  # fmt: skip
            checkpoints.save(self.out / checkpoints.FILE, kept)


@contextmanager
def open_training(
    model: Model, recipe: Recipe, data: str, out: Path, resume: bool = False
) -> Iterator[TrainingRun]:
    """Check everything, build the network, and go on from the checkpoint if asked to.

    Raises IsbenchError for a model without network, a recipe that cannot be followed, data that
    cannot be read, a folder that cannot be written or holds a training that is not resumed.
    """
    check_recipe(recipe)
    if model.network is None:
        raise IsbenchError(f"model {model.name} has no network to train")
    with join_processes(recipe.batch) as ranks:
        with ranks.together():
            parts = split_held_out(read(data))
            _claim(out, resume, ranks)
            session = _fresh(model, recipe, parts, out, ranks)
            if resume:
                _restore(session)
            elif recipe.init == IMAGENET:
                session.origin = load_imagenet(session.network)
                session.mean.load_state_dict(session.network.state_dict())
            elif recipe.init:
                _warm(session, Path(recipe.init))
            if ranks.leads and is_wanted(session):
                check_playable(session)
        session.answering = _share(session.answering, ranks)
        if ranks.leads:
            session.logbook = Logbook(out, session.step)
        with _one_opencv_thread(), session.logbook or nullcontext():
            yield session


def _fresh(
    model: Model, recipe: Recipe, data: tuple[Corpus, Corpus], out: Path, ranks: Ranks
) -> TrainingRun:
    """Return the session of this process before the first step, not yet tied to the others'."""
    corpus, held = data
    network = _draw_network(model, recipe.seed, model.options)
    draw_weights(network, recipe.initial, recipe.seed)
    network = network.to(ranks.device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainingRun(
        model, recipe, corpus, pick_objects(held, recipe.checks.objects), len(held.entries), out,
        ranks, make_sampler(corpus, recipe), network, _answering(network, recipe),
        copy.deepcopy(network).eval().requires_grad_(False), make_optimiser(network, recipe),
        torch.amp.GradScaler(ranks.device.type, enabled=recipe.precision == "fp16"),
        _about(model, recipe, corpus),
    )  # fmt: skip


def _draw_network(model: Model, seed: int, options: Mapping[str, Scalar]) -> nn.Module:
    """Return a model's network under some options, its first values decided by the seed."""
    assert model.network is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = model.network(**options)
    return network


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV from threads of its own: samples are made in several of ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def count_threads(ranks: Ranks) -> int:
    """Return how many threads make samples: one a core and process, the network's own left out."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(_MOST_THREADS, cores // ranks.world - 1))


def _answering(network: nn.Module, recipe: Recipe) -> nn.Module:
    answering: nn.Module = Answering(network)
    if recipe.compiled:
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(compiler) is None:
            raise IsbenchError(
                f"compiled=on needs a C++ compiler and there is no {compiler}; install it, name "
                "another by CXX, or leave compiled off"
            )
        answering.compile()
    return answering


def _share(answering: nn.Module, ranks: Ranks) -> nn.Module:
    """Return the network as all processes call it, its gradients the mean of theirs."""
    if ranks.world == 1:
        return answering
    # official networks hold parts that decide nothing, and so get no gradient
    return DistributedDataParallel(answering, find_unused_parameters=True)


def _restore(session: TrainingRun) -> None:
    """Set a session to where its checkpoint is."""
    drawn = partial(_draw_network, session.model, session.recipe.seed)
    kept = checkpoints.load(session.out / checkpoints.FILE, session.about, drawn)
    session.network.load_state_dict(kept.network)
    session.mean.load_state_dict(kept.mean)
    session.optimiser.load_state_dict(dict(kept.optimiser))
    session.scaler.load_state_dict(dict(kept.scaler))
    session.step, session.best, session.tally = kept.step, kept.best, Tally(list(kept.sums))
    session.origin = kept.origin


def _warm(session: TrainingRun, path: Path) -> None:
    """Start a session from weights."""
    session.started_from = start_from(session.network, path)
    session.mean.load_state_dict(session.network.state_dict())
    before = origin_of(path)
    session.origin = f"{path.name} {digest_file(path)}" + (f", from {before}" if before else "")


def _about(model: Model, recipe: Recipe, corpus: Corpus) -> str:
    about = {
        "model": model.name,
        "options": dict(model.options),
        "recipe": recipe.deciding(),
        "data": f"{corpus.name} {corpus.digest}",
    }
    return json.dumps(about, sort_keys=True)


def _claim(out: Path, resume: bool, ranks: Ranks) -> None:
    """Make the folder; raises IsbenchError if it cannot be written or holds a training."""
    if not resume and any((out / name).exists() for name in (checkpoints.FILE, LOG)):
        raise IsbenchError(
            f"{out} holds a training; add --resume to go on, or choose another --out"
        )
    if not ranks.leads:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial = out / ".writable"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise IsbenchError(
            f"cannot write into {out}: {error.strerror}; choose another --out"
        ) from error
