"""The state of a training run, checked and opened before its first or next step.

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

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from isbench.errors import IsbenchError, Remedy, make_unknown_error
from isbench.evaluation.executors.processes import count_cores
from isbench.evaluation.job import opencv_threads
from isbench.files.digests import digest_file
from isbench.files.home import expand_home
from isbench.models.registry import list_model_names, load_card
from isbench.models.weights import load_weights
from isbench.nn.network import Networks
from isbench.nn.runtime.compute import exact_convolutions
from isbench.training import checkpoints
from isbench.training.checkpoints import Checkpoint
from isbench.training.corpus import Corpus, pick_objects, split_held_out
from isbench.training.distributed import Processes, count_local_processes, join_processes
from isbench.training.optimiser import draw_weights, freeze_weights, make_optimiser
from isbench.training.pretrained import IMAGENET, load_imagenet
from isbench.training.recipe import Recipe, check_recipe
from isbench.training.samples import Sampler, make_sampler
from isbench.training.sources import read
from isbench.training.training_log import LOG, RunningMeans, TrainingLog
from isbench.training.validation import check_playable, is_wanted
from isbench.training.weight_card import read_origin
from isbench.training.weights import StartingWeights, copy_matching, start_from
from isbench.types import Dataset, LoadedModel, ModelCard, Scalar

_MOST_THREADS = 8


class TrainingForward(nn.Module):
    """Calls `forward_with_aux` as `forward`, which is where DistributedDataParallel hooks in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor, clicks: torch.Tensor, *further: torch.Tensor) -> Any:
        """Return the network's outputs; see `isbench.training.step` for the `further` inputs."""
        return self.network.forward_with_aux(inputs, clicks, *further)  # type: ignore[operator]


@dataclass
class TrainingRun:
    """The state of a training; `step`, `best` and the weights change as it proceeds."""

    model: LoadedModel
    recipe: Recipe
    corpus: Corpus  # the training images
    validation_objects: Dataset  # from some of the held-out images
    held_out_images: int  # number of all held-out images
    out: Path
    processes: Processes
    sampler: Sampler
    network: nn.Module
    training_forward: nn.Module  # calls the network in training, on all processes
    mean: nn.Module  # the running mean of the weights (EMA), in eval mode
    optimiser: Optimizer
    scaler: torch.amp.GradScaler
    about: str  # everything that decides the training, as JSON
    log: TrainingLog | None = None  # only on the leading process
    started_from: StartingWeights | None = None
    origin: str = ""  # initial weights: file, digest, and their own origin
    means: RunningMeans = field(default_factory=RunningMeans)
    step: int = 0  # steps done
    best: float = math.inf
    validation_due: bool = False  # the validation after this step is not finished

    @property
    def total(self) -> int:
        """Return the number of steps of the whole training."""
        return self.recipe.count_steps(len(self.corpus.entries))

    @property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(one.numel() for one in self.network.parameters())

    @property
    def trained_parameters(self) -> int:
        """Return the number of parameters that are not frozen."""
        return sum(one.numel() for one in self.network.parameters() if one.requires_grad)

    def checkpoint(self) -> None:
        """Write a checkpoint; only the leading process writes."""
        if self.processes.is_leader:
            checkpoint = Checkpoint(
                self.about, self.step, self.network.state_dict(), self.mean.state_dict(),
                self.optimiser.state_dict(), self.scaler.state_dict(), self.best, self.means.sums,
                self.origin, self.validation_due,
            )  # fmt: skip
            checkpoints.save(self.out / checkpoints.FILE, checkpoint)


@contextmanager
def open_training(
    model: LoadedModel | ModelCard, recipe: Recipe, data: str, out: Path, resume: bool = False
) -> Iterator[TrainingRun]:
    """Check everything, build the network, and load the checkpoint if `resume` is set.

    Raises IsbenchError for a model without a network, an invalid recipe, unreadable data, and an
    output folder that is not writable or already holds a training that is not being resumed.
    """
    check_recipe(recipe)
    if isinstance(model, ModelCard):
        model = LoadedModel(model, model.options)
    if model.card.networks is None:
        raise IsbenchError(f"model {model.name} has no network to train")
    with join_processes(recipe.batch) as processes:
        with processes.share_errors():
            named = recipe.init not in ("", IMAGENET) and not resume
            start = find_start(recipe.init) if named else None  # before the data, which take long
            parts = split_held_out(read(data))
            _prepare_folder(out, resume, processes)
            run = _make_run(model, recipe, parts, out, processes)
            if resume:
                _restore(run)
            elif recipe.init == IMAGENET:
                run.origin = load_imagenet(run.network)
                run.mean.load_state_dict(run.network.state_dict())
            elif start is not None:
                _start_from_weights(run, start)
            if is_wanted(run):
                _check_validation(run)
        run.training_forward = _distribute(run.training_forward, processes)
        if processes.is_leader:
            run.log = TrainingLog(out, run.step, run.validation_due)
        # samples are already made by several threads
        with opencv_threads(1), exact_convolutions(recipe.precision), run.log or nullcontext():
            yield run


def _make_run(
    model: LoadedModel, recipe: Recipe, data: tuple[Corpus, Corpus], out: Path, processes: Processes
) -> TrainingRun:
    """Return this process's training before the first step, not yet distributed."""
    corpus, held_out = data
    network = _draw_network(model, recipe.seed, model.options)
    draw_weights(network, recipe.initial, recipe.seed)
    freeze_weights(network, recipe)
    network = network.to(processes.device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainingRun(
        model, recipe, corpus, pick_objects(held_out, recipe.checks.objects),
        len(held_out.entries), out, processes, make_sampler(corpus, recipe), network,
        _make_forward(network, recipe),
        copy.deepcopy(network).eval().requires_grad_(False), make_optimiser(network, recipe),
        torch.amp.GradScaler(processes.device.type, enabled=recipe.precision == "fp16"),
        _format_identity(model, recipe, corpus),
    )  # fmt: skip


def _check_validation(run: TrainingRun) -> None:
    """Raise IsbenchError if a validation could not be played."""
    if not run.validation_objects.keys:
        raise IsbenchError(
            f"none of the {run.held_out_images} held-out images has an object to validate on; set "
            "checks.validation=0, or train on more images",
            setting="settings",
        )
    if run.processes.is_leader:
        check_playable(run)


def _draw_network(model: LoadedModel, seed: int, options: Mapping[str, Scalar]) -> nn.Module:
    """Return a model's first network with these options, initialised from the seed."""
    assert model.card.networks is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks: Networks = model.card.networks(**options)
    return next(iter(networks.values()))


def count_threads() -> int:
    """Return the number of sample threads: this process's share of the cores, less one."""
    return max(1, min(_MOST_THREADS, count_cores() // count_local_processes() - 1))


def _make_forward(network: nn.Module, recipe: Recipe) -> nn.Module:
    training_forward: nn.Module = TrainingForward(network)
    if recipe.compiled:
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(compiler) is None:
            raise IsbenchError(
                f"compiled=on needs a C++ compiler, but {compiler} is not installed; install it, "
                "set CXX to another, or set compiled=off",
                setting="settings",
            )
        training_forward.compile()
    return training_forward


def _distribute(training_forward: nn.Module, processes: Processes) -> nn.Module:
    """Return the network with gradients averaged over all processes."""
    if processes.world == 1:
        return training_forward
    # official networks have parts without effect on the output, which get no gradient
    return DistributedDataParallel(training_forward, find_unused_parameters=True)


def _restore(run: TrainingRun) -> None:
    """Restore a run from its checkpoint."""
    make_network = partial(_draw_network, run.model, run.recipe.seed)
    path = run.out / checkpoints.FILE
    saved = checkpoints.load(path, run.about, make_network)
    checkpoints.restore(saved, path, run.total, run.network, run.mean, run.optimiser, run.scaler)
    run.step, run.best, run.means = saved.step, saved.best, RunningMeans(list(saved.sums))
    run.origin, run.validation_due = saved.origin, saved.validation_due


def find_start(init: str) -> Path:
    """Return the weight file that `init` names: a path, or MODEL or MODEL:WEIGHTS.

    A name stands for weights that come with a model or were published for it; the first of them if
    only the model is named. Raises IsbenchError if there are none.
    """
    path = expand_home(init, "settings")
    model, _, weights = init.partition(":")
    if path.exists():
        return path
    if model not in list_model_names():
        if path.suffix or path.parent != Path():
            raise IsbenchError(
                f"cannot start from {init}: there is no such file", setting="settings"
            )
        raise make_unknown_error(
            "weights to start from", init, [IMAGENET, *list_model_names()], "settings"
        )
    card = load_card(model)
    if card.networks is None:
        raise IsbenchError(
            f"cannot start from {model}: it has no network; wanted weights of another model",
            setting="settings",
        )
    files = load_weights(card, weights or None).weights
    if len(files) != 1:
        raise IsbenchError(
            f"init={init} names {len(files)} weight files; wanted one", setting="settings"
        )
    return files[0]


def _start_from_weights(run: TrainingRun, path: Path) -> None:
    """Initialise a run from a weight file, or from the running mean of another training."""
    if path.suffix == Path(checkpoints.FILE).suffix:
        saved = checkpoints.read(path, Remedy("start from another file", "settings"))
        previous = saved.origin
        run.started_from = copy_matching(run.network, saved.mean, path)
    else:
        run.started_from = start_from(run.network, path)
        previous = read_origin(path)
    run.mean.load_state_dict(run.network.state_dict())
    run.origin = f"{path.name} {digest_file(path)}" + (f", from {previous}" if previous else "")


def _format_identity(model: LoadedModel, recipe: Recipe, corpus: Corpus) -> str:
    about = {
        "model": model.name,
        "options": dict(model.options),
        "recipe": recipe.list_deciding_settings(),
        "data": f"{corpus.name} {corpus.digest}",
    }
    return json.dumps(about, sort_keys=True)


def _prepare_folder(out: Path, resume: bool, processes: Processes) -> None:
    """Create the folder; raises IsbenchError if it is not writable or holds a training."""
    if not resume and (out / checkpoints.FILE).exists():
        raise IsbenchError(
            f"{out} already holds a training; resume it, or choose another folder",
            setting="resume",
        )
    if not resume and (out / LOG).exists():
        raise IsbenchError(
            f"{out} has the log of a training without a checkpoint; delete {LOG}, or choose "
            "another folder",
            setting="out",
        )
    if not processes.is_leader or (resume and not out.exists()):  # `_restore` raises for the latter
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise IsbenchError(
            f"cannot write into {out}: {error.strerror}; choose another folder", setting="out"
        ) from error
