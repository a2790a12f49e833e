"""`isbench train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from isbench.cli.options import complete_models
from isbench.errors import IsbenchError
from isbench.models.registry import load_model, model_names, with_options
from isbench.training.recipe import Recipe
from isbench.training.settings import with_settings
from isbench.types import Model

if TYPE_CHECKING:  # torch is imported once a training begins
    from isbench.training.loop import Outcome, Report, Verdict
    from isbench.training.training_run import TrainingRun

_EVERY = 10.0  # seconds between two lines in a pipe
_SMOOTHED = 0.95  # weight of what was shown before
_STOPPED = 130  # exit code, as after Ctrl-C
_NAMED = 20  # images that the end names


@click.command(short_help="Train a model's network by its recipe.")
@click.argument("recipe", shell_complete=complete_models)
@click.option(
    "--data",
    required=True,
    help="pack:PATH or its path, sbd, coco:IMAGES_DIR,INSTANCES.json[,LVIS.json], folder:PATH.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Value of the recipe, or option of the model. Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the training; else runs/training/RECIPE.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
def train(
    recipe: str, data: str, settings: tuple[str, ...], out: Path | None, resume: bool
) -> None:
    """Train the network of a model by its recipe.

    RECIPE is the name of a model that has one. One image of 20 is held out by its name, never
    trained on, and played now and then to validate. Ctrl-C or SIGTERM ends after the step with a
    checkpoint, and the same command with --resume goes on as if nothing had been.

    \b
    Example:
      isbench train ritm-mini --data pack:data/train --set steps=20000 --set batch=16
      torchrun --nproc-per-node 4 -m isbench train ritm-hrnet18 --data sbd
    """
    with _said_once():
        _trained(*_chosen(recipe, settings), data, out, resume)


def _trained(model: Model, chosen: Recipe, data: str, out: Path | None, resume: bool) -> None:
    """Train, saying how it goes from the first of the processes."""
    folder = out or Path("runs") / "training" / model.name
    from isbench.training.loop import Verdict, events, summarize
    from isbench.training.training_run import open_training

    with open_training(model, chosen, data, folder, resume) as session:
        if not session.ranks.leads:
            for _ in events(session):
                pass
            return
        for line in _opening(session):
            click.echo(line)
        with _Shown(session) as shown:
            for event in events(session):
                if isinstance(event, Verdict):
                    shown.validated(event)
                else:
                    shown.stepped(event)
        ended = summarize(session)
    for line in _closing(folder, ended, session.total):
        click.echo(line)
    if not ended.complete:
        sys.exit(_STOPPED)


@contextmanager
def _said_once() -> Iterator[None]:
    """Let the first process of a training say what went wrong; the others know it too, and end."""
    try:
        yield
    except IsbenchError as error:
        if os.environ.get("RANK", "0") != "0":
            sys.exit(error.exit_code)
        raise


def _chosen(name: str, settings: tuple[str, ...]) -> tuple[Model, Recipe]:
    """Return the model of a recipe and the recipe with its settings."""
    model = load_model(name)
    if not isinstance(model.recipe, Recipe):
        raise IsbenchError(f"model {name} has no recipe; {_having_recipes()}")
    texts: dict[str, str] = {}
    options: dict[str, str] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise IsbenchError(f"--set {setting}: wanted KEY=VALUE")
        (options if key in model.options else texts)[key] = text
    chosen = with_settings(model.recipe, texts)
    return replace(with_options(model, options), recipe=chosen), chosen


def _having_recipes() -> str:
    names = []
    for name in model_names():
        try:
            names += [name] if isinstance(load_model(name).recipe, Recipe) else []
        except IsbenchError:
            continue  # its package is broken: `isbench doctor` says how
    return f"there {'is one' if len(names) == 1 else 'are'}: {', '.join(names) or 'none'}"


def _opening(session: TrainingRun) -> list[str]:
    """Return what is about to be done, a line each."""
    recipe, corpus, device = session.recipe, session.corpus, session.ranks.device
    counts = corpus.counts()
    images, objects = (sum(pair[k] for pair in counts.values()) for k in (0, 1))
    shares = {one.name: one.factor for one in recipe.augmentation.shares}
    lines = [
        f"{session.model.name}: {session.parameters:,} parameters, on {session.ranks.world} "
        f"{device.type} process{'es' if session.ranks.world > 1 else ''}, {recipe.precision}",
        f"data {corpus.name}: {images:,} images, {objects:,} objects; "
        f"{session.held_out:,} images held out",
        *(
            f"  {source}: {i:,} images, {o:,} objects"
            + (f", share {shares[source]:g}" if source in shares else "")
            for source, (i, o) in counts.items()
        ),
        *(
            f"  no source {name}: its share counts for nothing"
            for name in sorted(shares.keys() - counts)
        ),
        *(f"  {note}" for note in corpus.notes),
    ]
    if session.started_from is not None:
        taken, new, left = session.started_from
        lines.append(
            f"starts from {recipe.init}: {taken} tensors taken, {len(new)} new, {len(left)} left"
        )
    begin = f"goes on after step {session.step:,}" if session.step else "begins"
    lines.append(f"{begin}: {session.total:,} steps of {recipe.batch} samples, into {session.out}")
    return lines


def _closing(out: Path, ended: Outcome, total: int) -> list[str]:
    lines = [f"{len(ended.faults)} images could not be used"] if ended.faults else []
    lines += [f"  {name}: {fault}" for name, fault in sorted(ended.faults.items())[:_NAMED]]
    if len(ended.faults) > _NAMED:
        lines.append(f"  and {len(ended.faults) - _NAMED} more")
    if ended.complete:
        return [*lines, f"done: weights are in {out / 'weights.safetensors'}"]
    return [*lines, f"stopped after step {ended.step:,} of {total:,}; --resume goes on from there"]


class _Shown:
    """How a training goes, on a terminal as a bar, in a pipe as a line now and then."""

    def __init__(self, session: TrainingRun) -> None:
        self._total, self._begun, self._first = session.total, monotonic(), session.step
        self._batch, self._said = session.recipe.batch, monotonic()
        self._figures: dict[str, float] = {}
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False, markup=False, emoji=False),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(
            session.model.name, total=session.total, completed=session.step, figures=""
        )

    def __enter__(self) -> _Shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stepped(self, report: Report) -> None:
        """Show a step."""
        now = {"loss": report.loss, "IoU": report.iou, "images/s": self._batch / report.seconds}
        self._figures = {
            name: value + _SMOOTHED * (self._figures.get(name, value) - value)
            for name, value in now.items()
        }
        figures = ", ".join(f"{name} {value:.3g}" for name, value in self._figures.items())
        self._bar.update(self._task, completed=report.step, figures=figures)
        old = monotonic() - self._said > _EVERY
        if self._bar.disable and (old or report.step in (self._first + 1, self._total)):
            self._said = monotonic()
            taken = monotonic() - self._begun
            left = taken / (report.step - self._first) * (self._total - report.step)
            click.echo(
                f"step {report.step:,}/{self._total:,}: {figures}, "
                f"rate {report.learning_rate:.2g}, {_duration(left)} left",
                err=True,
            )

    def validated(self, verdict: Verdict) -> None:
        """Show a validation."""
        scores = verdict.scores
        nocs = "/".join(f"{noc:.2f}" for noc in scores.noc)
        ious = "/".join(f"{iou:.3f}" for iou in scores.iou)
        text = (
            f"step {verdict.step:,}: NoC@80/85/90 {nocs}, IoU@1/2/3/5/10/20 {ious} on "
            f"{scores.objects} held-out objects, {scores.seconds:.0f} s"
            f"{', the best so far' if verdict.best else ''}"
        )
        if self._bar.disable:
            click.echo(text, err=True)
        else:
            self._bar.console.print(text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
