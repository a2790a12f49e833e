"""The training loop: steps, logging, validation, checkpoints, and stopping on a signal.

A plain generator, driven by the code that displays the progress.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from math import isfinite, isnan
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from isbench.training import prefetch, schedule
from isbench.training.optimiser import set_rate, update_mean
from isbench.training.prefetch import Batch
from isbench.training.recipe import Recipe
from isbench.training.settings import choose_recipe
from isbench.training.step import make_divergence_error, take_step
from isbench.training.training_log import LOG, VALIDATION
from isbench.training.training_run import TrainingRun, count_threads, open_training
from isbench.training.validation import Scores, is_wanted, play_games, score_games
from isbench.training.weights import save_weights
from isbench.types import LoadedModel, ModelCard, Scalar, Trajectory

WEIGHTS, BEST = "weights.safetensors", "best.safetensors"


class Report(NamedTuple):
    """The figures of a step, averaged over all processes."""

    step: int  # steps done so far
    loss: float
    iou: float  # of the predictions with their targets
    learning_rate: float
    seconds: float  # of the step
    network_seconds: float  # part of `seconds` in forward and backward passes
    waited_seconds: float  # part of `seconds` waiting for samples


class ValidationProgress(NamedTuple):
    """How many games of the validation after a step are finished."""

    step: int
    games: int
    total: int


class Verdict(NamedTuple):
    """The result of a validation after a step."""

    step: int
    scores: Scores
    best: bool


class Outcome(NamedTuple):
    """How a training ended."""

    step: int
    complete: bool  # False: stopped by a signal; the same call with `resume` continues
    faults: dict[str, str]  # images that could not be used, with the reason


Event: TypeAlias = Report | ValidationProgress | Verdict


def train(
    model: LoadedModel | ModelCard | str,
    data: str,
    out: Path | str | None = None,
    *,
    recipe: Recipe | None = None,
    settings: Mapping[str, Scalar] = MappingProxyType({}),
    resume: bool = False,
) -> Outcome:
    """Train a model's network with a recipe into a folder, or resume from its checkpoint.

    Parameters
    ----------
    model : LoadedModel, ModelCard or str
        A model with a network, a card or the name of one.
    data : str
        Training data: `pack:PATH` or its path, `sbd`, `coco:IMAGES_DIR,INSTANCES.json[,LVIS.json]`
        or `folder:PATH`.
    out : Path, str or None
        Receives `training.pt`, `weights.safetensors` with the running mean, `best.safetensors` of
        the best validation, `log.csv` and `validation.csv`. None: runs/training/MODEL.
    recipe : Recipe or None
        How to train; None: as the model's card says.
    settings : mapping
        Settings of the recipe and options of the model by name, as values or text.
    resume : bool
        Continue bit-exactly from the checkpoint in `out`.

    Returns
    -------
    Outcome
        Not complete if a signal stopped the training.

    Raises
    ------
    IsbenchError
        For anything that prevents the training from finishing, before the first step if possible.
    """
    chosen = choose_recipe(model, recipe, settings)
    folder = choose_folder(chosen) if out is None else Path(out)
    with open_training(chosen, chosen.card.recipe, data, folder, resume) as run:
        for _ in take_steps(run):
            pass
        return summarize(run)


def choose_folder(model: LoadedModel) -> Path:
    """Return the default folder of a model's training."""
    return Path("runs") / "training" / model.name


def summarize(run: TrainingRun) -> Outcome:
    """Return the outcome of a training so far."""
    done = run.step >= run.total and not run.validation_due
    notes = dict(note.split(": ", 1) for note in run.validation_objects.notes)
    return Outcome(run.step, done, notes | run.sampler.gallery.faults)


def take_steps(run: TrainingRun) -> Iterator[Event]:
    """Take the remaining steps; yield a Report for each, and the events of each validation.

    SIGTERM or Ctrl-C stops after the current step, or the current game of a validation, with a
    checkpoint; a second signal stops immediately. A validation that was stopped is repeated when
    the training resumes.
    """
    steps = range(run.step, run.total)
    batches = prefetch.prefetch(partial(_make_batch, run), steps, count_threads())
    with _catch_stop_signals() as stopping, closing(batches):
        if run.validation_due:
            yield from _validate(run, stopping)
            if _is_stopped(run, stopping):
                return
        started = perf_counter()
        for _ in steps:
            with run.processes.share_errors():
                batch = next(batches)
            waited = perf_counter() - started
            report, stop = _step(run, batch, stopping)
            report = report._replace(seconds=perf_counter() - started, waited_seconds=waited)
            run.means.add(report.loss, report.iou, report.seconds)
            with run.processes.share_errors():
                _log_and_save(run, batch, report, stop)
            yield report
            if run.validation_due and not stop:
                yield from _validate(run, stopping)
                stop = _is_stopped(run, stopping)
            if stop:
                return
            started = perf_counter()


def _is_stopped(run: TrainingRun, stopping: threading.Event) -> bool:
    """Whether any process was asked to stop."""
    return run.processes.average([float(stopping.is_set())])[0] > 0


def _make_batch(run: TrainingRun, step: int) -> Batch:
    recipe = run.recipe
    size = schedule.choose_crop_size(recipe, step, len(run.corpus.entries))
    return prefetch.make_batch(run.sampler, run.processes.split_step(step, recipe.batch), size)


def _step(run: TrainingRun, batch: Batch, stopping: threading.Event) -> tuple[Report, bool]:
    """Take a step; also return whether any process was asked to stop."""
    factor = schedule.compute_rate_factor(run.recipe, run.step, len(run.corpus.entries))
    learning_rate = run.recipe.learning_rate * factor
    set_rate(run.optimiser, learning_rate)
    result = take_step(run, batch)
    loss, iou, stop = run.processes.average([result.loss, result.iou, float(stopping.is_set())])
    if not isfinite(loss):
        raise make_divergence_error(f"the loss is {loss} at", run.step + 1, run)
    run.step += 1
    update_mean(run.mean, run.network, run.recipe.ema, run.step)
    return Report(run.step, loss, iou, learning_rate, 0, result.network_seconds, 0), stop > 0


def _log_and_save(run: TrainingRun, batch: Batch, report: Report, stop: bool) -> None:
    """Log and write a checkpoint if they are due after a step.

    A validation is preceded by a checkpoint: it may take long, and its end is not certain.
    """
    checks, step, end = run.recipe.checks, run.step, run.step == run.total
    if run.log is not None and (step % checks.log == 0 or end):
        _write_log_row(run, report)
        if run.log.has_board:
            run.log.add_image(step, _draw_sample(batch))
    run.validation_due = end or bool(checks.validation and step % checks.validation == 0)
    if stop or run.validation_due or step % checks.checkpoint == 0:
        _check_weights(run)
        run.checkpoint()


def _check_weights(run: TrainingRun) -> None:
    """Raise IsbenchError if the last step has left weights that are not finite."""
    states = (run.network.state_dict(), run.mean.state_dict())
    if not all(bool(one.isfinite().all()) for state in states for one in state.values()):
        raise make_divergence_error("the weights are not finite after", run.step, run)


def _write_log_row(run: TrainingRun, report: Report) -> None:
    assert run.log is not None
    loss, iou, seconds = run.means.pop_means()
    figures = {
        "loss": loss,
        "iou": iou,
        "learning_rate": report.learning_rate,
        "images_per_second": run.recipe.batch / seconds,
    }
    run.log.add_row(LOG, run.step, figures)


def _draw_sample(batch: Batch) -> Any:
    """Return the first sample as a (3, H, W) image with its object highlighted."""
    image, target = batch.images[0] / 255, batch.targets[0]
    return (image * (0.4 + 0.6 * (target == 1))[:, :, None]).transpose(2, 0, 1)


def _validate(run: TrainingRun, stopping: threading.Event) -> Iterator[Event]:
    """Validate the running mean and write its weights, on the leading process; yield the progress.

    If it is asked to stop between two games, nothing is written and the validation remains due.
    """
    finished = True
    with run.processes.share_errors():
        if run.log is not None:
            finished = yield from _play_validation(run, stopping)
    run.validation_due = run.processes.average([float(not finished)])[0] > 0
    if not run.validation_due:
        with run.processes.share_errors():
            run.checkpoint()


def _play_validation(run: TrainingRun, stopping: threading.Event) -> Generator[Event, None, bool]:
    """Yield the events of a validation; return whether it was finished."""
    if not is_wanted(run):
        save_weights(run.mean, run.out / WEIGHTS, make_card(run, {}))
        return True
    started, total = perf_counter(), len(run.validation_objects.keys)
    games: list[Trajectory] = []
    yield ValidationProgress(run.step, 0, total)
    with closing(play_games(run)) as playing:
        while not stopping.is_set() and (game := next(playing, None)) is not None:
            games.append(game)
            yield ValidationProgress(run.step, len(games), total)
    if len(games) < total:
        return False
    yield _save_validation(run, score_games(run, games, perf_counter() - started))
    return True


def _save_validation(run: TrainingRun, scores: Scores) -> Verdict:
    """Log the scores of a validation and write the weights."""
    assert run.log is not None
    figures = scores.figures()
    best = scores.noc[-1] < run.best
    run.log.add_row(VALIDATION, run.step, figures)
    run.best = min(run.best, scores.noc[-1])
    card = make_card(run, {name: one for name, one in figures.items() if not isnan(one)})
    save_weights(run.mean, run.out / WEIGHTS, card)
    if best:
        save_weights(run.mean, run.out / BEST, card)
    return Verdict(run.step, scores, best)


def make_card(run: TrainingRun, figures: dict[str, float]) -> dict[str, str]:
    """Return the card of a training's weights, texts by name."""
    corpus = run.corpus
    counts = {key: f"{i} images, {o} objects" for key, (i, o) in corpus.count_sources().items()}
    return {
        "model": run.model.name,
        "options": json.dumps(dict(run.model.options), sort_keys=True),
        # without the folder of the initial weights, which means nothing elsewhere
        "recipe": replace(run.recipe, init=Path(run.recipe.init).name).format_json(),
        "steps": f"{run.step} of {run.total}",
        "samples": str(run.step * run.recipe.batch),
        "origin": run.origin,
        "data": f"{corpus.name} {corpus.digest}, held-out images left out",
        "sources": json.dumps(counts),
        "licence": corpus.licence,
        "validation": json.dumps(figures, sort_keys=True),
        "objects": str(len(run.validation_objects.keys)),
        "isbench": version("isbench"),
    }


@contextmanager
def _catch_stop_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM or SIGINT sets; never set outside the main thread.

    The first of them restores the handlers of both, so that the second one, whichever it is, ends
    the process.
    """
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    previous = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for one, handler in previous.items():  # None if it was not installed from Python
            signal.signal(one, signal.SIG_DFL if handler is None else handler)

    def stop(*_: object) -> None:
        stopping.set()
        restore()

    try:
        for one in previous:
            signal.signal(one, stop)
        yield stopping
    finally:
        restore()
