"""`isbench train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import click

from isbench.cli.completion import complete_models
from isbench.cli.options import parse_settings
from isbench.cli.paths import OUTPUT_FOLDER
from isbench.cli.progress import make_figures_bar
from isbench.cli.usage import suggest_repetition
from isbench.errors import IsbenchError
from isbench.reporting.labels import format_count
from isbench.training.settings import choose_recipe
from isbench.types import LoadedModel

if TYPE_CHECKING:  # torch is imported when training starts
    from isbench.training.loop import Event, Outcome, Report, ValidationProgress, Verdict
    from isbench.training.training_run import TrainingRun

_INTERVAL = 10.0  # seconds between two lines in a pipe
_SMOOTHING = 0.95  # weight of the previous value in the figures shown
_STOPPED = 130  # exit code, as after Ctrl-C
_EXIT_TIMEOUT = 60.0  # seconds that the other processes wait for the end of the first one
_MOST_LISTED = 20  # unusable images that the summary lists


@click.command(short_help="Train a model's network with its recipe.")
@click.argument("model", shell_complete=complete_models)
@click.option(
    "--data",
    required=True,
    help="Training data: pack:PATH or its path, sbd, coco:IMAGES_DIR,INSTANCES.json[,LVIS.json], "
    "folder:PATH.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Recipe setting or model option. Repeatable.",
)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    help="Output folder. [default: runs/training/MODEL]",
)
@click.option("--resume", is_flag=True, help="Resume from the checkpoint in --out.")
def train(model: str, data: str, settings: tuple[str, ...], out: Path | None, resume: bool) -> None:
    """Train a model's network with its recipe.

    MODEL is the name of a model that has a recipe. One image in 20, chosen by its name, is held
    out: it is used for validation at intervals, never for training. Ctrl-C or SIGTERM stops after
    the current step, or game of a validation, with a checkpoint; the same command with --resume
    continues bit-exactly.

    \b
    Example:
      isbench train ritm-mini --data pack:data/train --set steps=20000 --set batch=16
      torchrun --nproc-per-node 4 -m isbench train ritm-hrnet18 --data sbd
    """
    with _report_errors_once():
        with suggest_repetition(settings):
            chosen = choose_recipe(model, settings=parse_settings(settings))
        _train(chosen, data, out, resume)


def _train(model: LoadedModel, data: str, out: Path | None, resume: bool) -> None:
    """Train; the first process reports the progress."""
    from isbench.training.loop import choose_folder, summarize, take_steps
    from isbench.training.training_run import open_training

    folder = out or choose_folder(model)
    with open_training(model, model.card.recipe, data, folder, resume) as session:
        if not session.processes.is_leader:
            for _ in take_steps(session):
                pass
            return
        for line in _describe_start(session):
            click.echo(line)
        with _Progress(session) as progress:
            for event in take_steps(session):
                progress.show(event)
        outcome = summarize(session)
    for line in _describe_end(folder, outcome, session.total):
        click.echo(line)
    if not outcome.complete:
        sys.exit(_STOPPED)


@contextmanager
def _report_errors_once() -> Iterator[None]:
    """Let the first process report an error; the other processes have the same one and exit."""
    try:
        yield
    except IsbenchError as error:
        if os.environ.get("RANK", "0") != "0":
            # torchrun ends all processes as soon as one has ended: the first one must report before
            sleep(_EXIT_TIMEOUT)
            sys.exit(error.exit_code)
        raise


def _describe_start(session: TrainingRun) -> list[str]:
    """Return the lines that describe the training before it starts."""
    recipe, corpus, device = session.recipe, session.corpus, session.processes.device
    counts = corpus.count_sources()
    images, objects = (sum(pair[k] for pair in counts.values()) for k in (0, 1))
    shares = {one.name: one.factor for one in recipe.augmentation.shares}
    frozen = session.parameters - session.trained_parameters
    trained = f"{session.parameters:,} parameters" + (
        f", {frozen:,} of them frozen" if frozen else ""
    )
    missing = ", ".join(sorted(shares.keys() - counts))
    lines = [
        f"{session.model.name}: {trained}, on {session.processes.world} "
        f"{device.type} process{'es' if session.processes.world > 1 else ''}, {recipe.precision}",
        f"data {corpus.name}: {images:,} images, {objects:,} objects; "
        f"{session.held_out_images:,} images held out",
        *(
            f"  {source}: {i:,} images, {o:,} objects"
            + (f", share {shares[source]:g}" if source in shares else "")
            for source, (i, o) in counts.items()
        ),
        *(
            [f"  shares without effect, since these sources are not there: {missing}"]
            if missing
            else []
        ),
        *(f"  {note}" for note in corpus.notes),
    ]
    if session.started_from is not None:
        taken, new, left = session.started_from
        lines.append(
            f"initialised from {recipe.init}: {taken} tensors loaded, {len(new)} new, "
            f"{len(left)} unused"
        )
    start = f"resumes after step {session.step:,}" if session.step else "starts"
    steps = format_count(session.total, "step")
    lines.append(f"{start}: {steps} of {recipe.batch} samples, into {session.out}")
    return lines


def _describe_end(out: Path, outcome: Outcome, total: int) -> list[str]:
    faults = outcome.faults
    lines = [f"{len(faults)} images could not be used"] if faults else []
    lines += [f"  {name}: {fault}" for name, fault in sorted(faults.items())[:_MOST_LISTED]]
    if len(faults) > _MOST_LISTED:
        lines.append(f"  and {len(faults) - _MOST_LISTED} more")
    if outcome.complete:
        return [*lines, f"done: weights are in {out / 'weights.safetensors'}"]
    return [*lines, f"stopped after step {outcome.step:,} of {total:,}; resume with --resume"]


class _Progress:
    """The progress of a training: a bar on a terminal, lines at intervals in a pipe."""

    def __init__(self, session: TrainingRun) -> None:
        self._total, self._started, self._first = session.total, monotonic(), session.step
        self._batch, self._printed = session.recipe.batch, monotonic()
        self._figures: dict[str, float] = {}
        self._bar = make_figures_bar()
        self._task = self._bar.add_task(
            session.model.name, total=session.total, completed=session.step, figures=""
        )

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show an event of the training."""
        from isbench.training.loop import Report, Verdict

        if isinstance(event, Report):
            self.show_step(event)
        elif isinstance(event, Verdict):
            self.show_validation(event)
        else:
            self.show_game(event)

    def show_step(self, report: Report) -> None:
        """Show a step."""
        now = {"loss": report.loss, "IoU": report.iou, "images/s": self._batch / report.seconds}
        self._figures = {
            name: value + _SMOOTHING * (self._figures.get(name, value) - value)
            for name, value in now.items()
        }
        figures = ", ".join(f"{name} {value:.3g}" for name, value in self._figures.items())
        self._bar.update(self._task, completed=report.step, figures=figures)
        due = monotonic() - self._printed > _INTERVAL
        if self._bar.disable and (due or report.step in (self._first + 1, self._total)):
            self._printed = monotonic()
            elapsed = monotonic() - self._started
            left = elapsed / (report.step - self._first) * (self._total - report.step)
            click.echo(
                f"step {report.step:,}/{self._total:,}: {figures}, "
                f"learning rate {report.learning_rate:.2g}, {_format_duration(left)} left",
                err=True,
            )

    def show_game(self, done: ValidationProgress) -> None:
        """Show how far a validation is."""
        games = f"{done.games} of {done.total} games"
        self._bar.update(self._task, figures=f"validation: {games}")
        if self._bar.disable and (done.games == 0 or monotonic() - self._printed > _INTERVAL):
            self._printed = monotonic()
            click.echo(f"step {done.step:,}: validation, {games}", err=True)

    def show_validation(self, verdict: Verdict) -> None:
        """Show a validation."""
        from isbench.training.validation import SHOWN  # not at the top: it imports torch

        scores = verdict.scores
        nocs = "/".join(f"{noc:.2f}" for noc in scores.noc)
        played = [(k, iou) for k, iou in zip(SHOWN, scores.iou, strict=True) if not isnan(iou)]
        clicks = "/".join(str(k) for k, _ in played)
        ious = "/".join(f"{iou:.3f}" for _, iou in played)
        text = (
            f"step {verdict.step:,}: NoC@80/85/90 {nocs}, IoU@{clicks} {ious} on "
            f"{format_count(scores.objects, 'held-out object')}, {scores.seconds:.0f} s"
            f"{', best so far' if verdict.best else ''}"
        )
        if self._bar.disable:
            click.echo(text, err=True)
        else:
            self._bar.console.print(text)


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
