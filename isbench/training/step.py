"""One training step: clicks on the network's own errors, then the loss and the update.

Sources: RITM (arXiv:2102.06583) for iterative clicks and losses. GPU work is asynchronous, so the
times measured here are how long this process waits for it, not how long the GPU works.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from isbench.errors import IsbenchError
from isbench.nn.losses import binary_cross_entropy, normalised_focal_loss
from isbench.nn.runtime.compute import PRECISIONS
from isbench.training import checkpoints, seed_tags
from isbench.training.clicks import Points, draw_next_click, trim_points, with_click
from isbench.training.optimiser import list_norms
from isbench.training.prefetch import Batch
from isbench.training.recipe import Recipe
from isbench.training.training_run import TrainingRun


class StepFigures(NamedTuple):
    """The figures of a step, computed before the weights change."""

    loss: float  # mean over this process's samples
    iou: float  # mean over this process's samples, at probability 1/2
    network_seconds: float  # in forward and backward passes


class Stopwatch:
    """Accumulates the seconds spent inside `measure`."""

    def __init__(self) -> None:
        """Start at 0."""
        self.seconds = 0.0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the duration of the `with` block."""
        started = perf_counter()
        yield
        self.seconds += perf_counter() - started


def take_step(run: TrainingRun, batch: Batch) -> StepFigures:
    """Update the weights with one batch; torch's generator is seeded by the step.

    Raises IsbenchError, leaving the weights unchanged, if the loss or the gradient is not finite.
    """
    device, seed = run.processes.device, run.recipe.seed
    sequence = np.random.SeedSequence([seed, run.step, seed_tags.STEP, run.processes.rank])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(sequence.generate_state(1)[0]))
        return _step(run, batch)


def _step(run: TrainingRun, batch: Batch) -> StepFigures:
    recipe, device, watch = run.recipe, run.processes.device, Stopwatch()
    images = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float() / 255
    target = torch.from_numpy(batch.targets).to(device)[:, None].float()
    previous, points = iterate_clicks(run, images, batch, watch)
    _set_train_mode(run.network, recipe)
    further = draw_further_inputs(run, batch)
    with watch.measure():
        inputs = torch.cat([images, previous], dim=1)
        # a compiled network is recompiled for every number of places, so they are not trimmed
        clicks = torch.from_numpy(points if recipe.compiled else trim_points(points)).to(device)
        with autocast(recipe, device):
            outputs = run.training_forward(inputs, clicks, *further)
        loss = compute_loss(run.network, outputs, target, recipe)
        run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    value = float(loss.detach())
    _update_weights(run, value)
    return StepFigures(value, compute_mean_iou(outputs.main.detach(), target), watch.seconds)


def compute_loss(network: nn.Module, outputs: Any, target: Tensor, recipe: Recipe) -> Tensor:
    """Return the loss of what a network's `forward_with_aux` returned, a mean over samples.

    `outputs` has `main` and `aux` logits. A network with further outputs to train has a method
    `extra_loss(outputs, target, mask_loss)` that returns their loss, (B,), to which `mask_loss` is
    the recipe's loss of logits and target, (B, 1, H, W) each.
    """
    mask_loss = partial(normalised_focal_loss, alpha=recipe.nfl_alpha, gamma=recipe.nfl_gamma)
    loss = mask_loss(outputs.main, target).mean()
    if outputs.aux is not None:
        loss = loss + recipe.aux_weight * binary_cross_entropy(outputs.aux, target).mean()
    extra_loss: Any = getattr(network, "extra_loss", None)
    if extra_loss is not None:
        loss = loss + extra_loss(outputs, target, mask_loss).mean()
    return loss


def draw_further_inputs(run: TrainingRun, batch: Batch) -> tuple[Tensor, ...]:
    """Return what a network's `forward_with_aux` gets after the clicks in a training pass.

    A network with such inputs has a method `draw_training_inputs(targets, generators)`, which draws
    them from the targets, (B, H, W) int8, with one generator for each sample. They decide what the
    pass computes for the loss, never `main`: the passes for iterative clicks go without them.
    """
    draw: Any = getattr(run.network, "draw_training_inputs", None)
    if draw is None:
        return ()
    further: tuple[Tensor, ...] = draw(
        batch.targets, list(_make_generators(run.recipe, batch, seed_tags.INPUTS))
    )
    return further


def iterate_clicks(
    run: TrainingRun, images: Tensor, batch: Batch, watch: Stopwatch
) -> tuple[Tensor, Points]:
    """Return the previous masks (B, 1, H, W) and the points after 0 to `iterative` rounds.

    The number of rounds is drawn once per step, the same for all processes; the first round's
    previous mask is blank. Focus views take part in no round: they keep their mask and their click.
    """
    if not batch.focus.any():
        return _iterate(run, images, batch, watch)
    previous, points = torch.from_numpy(batch.previous)[:, None].to(images), batch.points.copy()
    others = np.flatnonzero(~batch.focus).tolist()
    if others:
        found = _iterate(run, images[others], batch.select(others), watch)
        previous[others], points[others] = found
    return previous, points


def _iterate(
    run: TrainingRun, images: Tensor, batch: Batch, watch: Stopwatch
) -> tuple[Tensor, Points]:
    recipe, network = run.recipe, run.network
    rng = np.random.default_rng([recipe.seed, run.step, seed_tags.STEP])
    count = int(rng.integers(recipe.click_sampling.iterative + 1))
    previous, points = torch.zeros_like(images[:, :1]), batch.points
    network.eval()
    for number in range(1, count + 1):
        with watch.measure(), torch.no_grad(), autocast(recipe, images.device):
            clicks = torch.from_numpy(trim_points(points)).to(images.device)
            logits = network.forward_with_aux(torch.cat([images, previous], dim=1), clicks).main  # type: ignore[operator]
            previous = torch.sigmoid(logits.float())
            if recipe.click_sampling.binary_mask:
                previous = (previous > recipe.click_sampling.threshold).float()
        points = _add_clicks(recipe, batch, points, previous[:, 0].cpu().numpy(), number)
    return previous, points


def make_divergence_error(what: str, step: int, run: TrainingRun) -> IsbenchError:
    """Return the error for a step whose loss, gradient or weights are not finite."""
    saved = (run.out / checkpoints.FILE).exists()
    kept = "the last checkpoint is kept" if saved else "there is no checkpoint"
    return IsbenchError(
        f"{what} step {step}; {kept}: start again with a lower learning_rate or weight_decay, or "
        "set gradient_clip"
    )


def compute_mean_iou(logits: Tensor, target: Tensor) -> float:
    """Return the mean IoU over samples of (B, 1, H, W) logits above 0, without ignored pixels."""
    answered, truth = (logits > 0) & (target >= 0), target > 0.5
    both = (answered & truth).sum(dim=(1, 2, 3))
    either = (answered | truth).sum(dim=(1, 2, 3))
    return float((both / either.clamp(min=1)).mean())


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Return autocast to the recipe's precision, disabled for fp32."""
    kind = PRECISIONS[recipe.precision]
    return torch.autocast(device.type, kind, enabled=kind != torch.float32)


def _add_clicks(
    recipe: Recipe, batch: Batch, points: Points, probabilities: np.ndarray, number: int
) -> Points:
    updated = [
        with_click(one, draw_next_click(probability, target, recipe.click_sampling, rng), number)
        for one, probability, target, rng in zip(
            points,
            probabilities,
            batch.targets,
            _make_generators(recipe, batch, seed_tags.CLICK, number),
            strict=True,
        )
    ]
    return np.stack(updated)


def _make_generators(recipe: Recipe, batch: Batch, *tags: int) -> Iterator[np.random.Generator]:
    for sample in batch.numbers:
        yield np.random.default_rng([recipe.seed, sample, *tags])


def _set_train_mode(network: nn.Module, recipe: Recipe) -> None:
    network.train()
    frozen = "" if recipe.freeze_norm else recipe.frozen_norms or None
    if frozen is not None:
        for name, module in list_norms(network).items():
            if name.startswith(frozen):
                module.eval()


def _update_weights(run: TrainingRun, loss: float) -> None:
    recipe, scaler = run.recipe, run.scaler
    scaler.unscale_(run.optimiser)
    longest = recipe.gradient_clip or math.inf
    norm = float(nn.utils.clip_grad_norm_(run.network.parameters(), longest))
    # an fp16 overflow is handled by the scaler: it skips the step and lowers its scale
    if not math.isfinite(norm) and not scaler.is_enabled():
        what = f"the loss is {loss} and the norm of its gradient {norm} at"
        raise make_divergence_error(what, run.step + 1, run)
    scaler.step(run.optimiser)
    scaler.update()
    run.optimiser.zero_grad(set_to_none=True)
