"""What measuring each row of a paper's tables on each data set requires: command, files, time.

Not here: playing (`reproduction`), and texts (`requirement_formats`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from isbench.datasets import find_folder
from isbench.datasets.registry import load_dataset_card, suggest_installation
from isbench.evaluation.runner import Silent, Watch
from isbench.metrics import find_image
from isbench.models.registry import describe_missing_library
from isbench.options import format_option
from isbench.papers.all_tables import collect_records
from isbench.papers.candidates import Candidate, explain_no_model
from isbench.papers.cells import Records
from isbench.papers.paper import Paper
from isbench.papers.register import read_register
from isbench.papers.registry import load_paper
from isbench.papers.reproduction import load_runs
from isbench.papers.rows import Question, Row
from isbench.papers.run_selection import select_run
from isbench.papers.timing import Timing, find_timing, measure_timing
from isbench.storage import store
from isbench.types import Rules, Scalar

_USUAL = Rules()  # of `isbench run`
FILE = "FILE"  # in a command: weights that isbench cannot find by name


class Missing(NamedTuple):
    """Something that a run needs and that is not here."""

    kind: str  # model, library, weights or data
    text: str  # what exactly, and how to get it


class Requirement(NamedTuple):
    """What the cells of a row on one data set require; one run answers all of them."""

    table: str
    row: Row
    questions: tuple[Question, ...]  # on one data set
    rules: Rules
    runs: tuple[str, ...]  # digests of recorded runs: one measures the cells, several conflict
    arguments: tuple[tuple[str, str], ...]  # of `isbench run`: option and value; () without a model
    missing: tuple[Missing, ...]
    images: int | None
    objects: int | None
    timing: Timing | None = None

    @property
    def command(self) -> str:
        """Return the command that measures the cells, "" without a model."""
        return format_command(self.arguments)

    @property
    def dataset(self) -> str:
        """Return the name of the data set."""
        return self.questions[0].dataset

    @property
    def state(self) -> str:
        """Return "measured", "conflicting", "missing" or "ready"."""
        if self.runs:
            return "measured" if len(self.runs) == 1 else "conflicting"
        return "missing" if self.missing else "ready"

    @property
    def clicks(self) -> int | None:
        """Return the clicks of the run, at most those if its games may end at an IoU."""
        return None if self.objects is None else self.objects * self.rules.max_clicks

    @property
    def seconds(self) -> float | None:
        """Return the seconds of the run in one process, None if its parts are not known.

        Without the encoding of images if that was not timed.
        """
        if self.timing is None or self.clicks is None or self.images is None:
            return None
        return self.clicks * self.timing.click + self.images * (self.timing.image or 0.0)


def list_requirements(
    paper: Paper | str | None = None,
    tables: Sequence[str] = (),
    *,
    results: Path | str = "results",
    data: Path | str | None = None,
    measure: bool = False,
    watch: Watch = Silent(),
) -> list[Requirement]:
    """Return what each row of a paper's tables requires on each data set, row by row.

    Parameters
    ----------
    paper : Paper, str or None
        A paper or its name; None: the one that comes with isbench.
    tables : sequence of str
        The tables; empty: all.
    results : Path or str
        The folder of recorded runs.
    data : Path, str or None
        The folder of the data sets, as for `load_dataset`.
    measure : bool
        Play two clicks with each model that is not measured on some data set, to know its time. The
        time is otherwise that of recorded runs of this machine, if there are any.
    watch : Watch
        Its notes tell the progress.

    Returns
    -------
    list of Requirement
        Without playing a run, and without downloading anything.

    Raises
    ------
    IsbenchError
        For an unknown paper or table.
    """
    paper = paper if isinstance(paper, Paper) else load_paper(paper)
    chosen = [paper.find_table(one) for one in dict.fromkeys(tables)] or paper.tables
    results, data = Path(results), None if data is None else Path(data)
    runs, _ = load_runs(results)
    register = read_register(results, runs)
    every = [collect_records(table, runs, register) for table in chosen]
    found = [one for records in every for one in _list_of_table(records, results, data)]
    candidates = {row: one for records in every for row, one in records.candidates.items()}
    timings = _Timings(runs, candidates)
    if measure:
        timings.measure([one.row for one in found if not one.runs], watch)
    return [one._replace(timing=timings.find(one)) for one in found]


def _list_of_table(records: Records, results: Path, data: Path | None) -> Iterator[Requirement]:
    questions: dict[str, tuple[Question, ...]] = {}
    for question in records.table.questions:
        questions[question.dataset] = (*questions.get(question.dataset, ()), question)
    for row, candidate in records.candidates.items():
        for dataset, asked in questions.items():
            images, objects = _count(dataset, records)
            yield Requirement(
                table=records.table.name,
                row=row,
                questions=asked,
                rules=records.table.rules,
                runs=_find_runs(records, candidate, asked),
                arguments=tuple(_list_arguments(records, row, dataset, results, data)),
                missing=tuple(_list_missing(records, row, dataset, data)),
                images=images,
                objects=objects,
            )


def _find_runs(
    records: Records, candidate: Candidate | None, questions: Sequence[Question]
) -> tuple[str, ...]:
    """Return the digest of the run that answers all questions, or of those that conflict."""
    if candidate is None:
        return ()
    found = [select_run(records.runs, candidate, question) for question in questions]
    colliding = {run.path: run for one in found for run in one.colliding}
    chosen = {one.run.path: one.run for one in found if one.run is not None}
    if colliding:
        chosen = colliding
    elif any(one.run is None for one in found):
        return ()
    # of runs that differ in length only, the longest answers what the others do
    longest = max(chosen.values(), key=lambda run: run.spec.rules.max_clicks)
    runs = chosen.values() if colliding else [longest]
    return tuple(store.parse_digest(run.path) for run in runs)


def _count(dataset: str, records: Records) -> tuple[int | None, int | None]:
    """Return the known numbers of images and objects of a data set."""
    card = load_dataset_card(dataset)
    if card.objects is not None:
        return card.images, card.objects
    whole = (run for run in records.runs if (run.spec.dataset, run.spec.limit) == (dataset, None))
    run = next(whole, None)
    if run is None:
        return None, None
    return len({find_image(game.key) for game in run.trajectories}), run.spec.objects


def _list_missing(records: Records, row: Row, dataset: str, data: Path | None) -> Iterator[Missing]:
    candidate = records.candidates[row]
    if candidate is None:
        yield Missing("model", records.faults.get(row, explain_no_model(row)))
    elif candidate.why_not:
        library = describe_missing_library(candidate.card)
        yield Missing("library" if library else "weights", candidate.why_not)
    if find_folder(dataset, data) is None:
        card = load_dataset_card(dataset)
        get = f"`isbench data get {dataset}`"
        yield Missing("data", get if card.archive else suggest_installation(dataset, card))


def format_command(arguments: Sequence[tuple[str, str]]) -> str:
    """Return a command of options and values, "" without any."""
    if not arguments:
        return ""
    words = (word for name, value in arguments for word in (f"--{name}", value))
    return shlex.join(["isbench", "run", *words])


def _list_arguments(
    records: Records, row: Row, dataset: str, results: Path, data: Path | None
) -> Iterator[tuple[str, str]]:
    """Yield the options of the command that measures a row on a data set, none without a model."""
    candidate, rules = records.candidates[row], records.table.rules
    if candidate is None:
        return
    yield "model", candidate.card.name
    for name, value in _list_changes(candidate).items():
        yield "set", f"{name}={format_option(value)}"
    if weights := _choose_weights(row, candidate):
        yield "weights", weights
    yield "dataset", dataset
    if rules.max_clicks != _USUAL.max_clicks:
        yield "max-clicks", str(rules.max_clicks)
    if rules.stop_iou != _USUAL.stop_iou:
        yield "stop-iou", f"{rules.stop_iou:g}"
    if candidate.card.networks is not None:
        yield "backend", "eager"  # which the records agree on
    yield "out", str(results)
    if data is not None:
        yield "data", str(data)


def _list_changes(candidate: Candidate) -> Mapping[str, Scalar]:
    defaults = candidate.card.options
    return {name: value for name, value in candidate.options.items() if value != defaults[name]}


def _choose_weights(row: Row, candidate: Candidate) -> str:
    """Return the weights of a row, FILE for those that isbench cannot find, "" for the default."""
    card = candidate.card
    if card.networks is None or (card.bundled and not row.weights):
        return ""
    return row.weights if row.weights in {*card.weights, *card.bundled} else FILE


class _Timings:
    """The times of the models of tables: those measured now, else those of recorded runs."""

    def __init__(
        self, runs: Sequence[store.Run], candidates: Mapping[Row, Candidate | None]
    ) -> None:
        self._runs, self._candidates = runs, candidates
        self._measured: dict[tuple[object, ...], Timing | None] = {}

    def measure(self, rows: Sequence[Row], watch: Watch) -> None:
        """Measure the models of these rows, each once."""
        models = {_identify(one): one for row in rows if (one := self._candidates[row])}
        for number, (key, candidate) in enumerate(models.items(), start=1):
            watch.note(f"measuring {candidate.card.name} ({number} of {len(models)})")
            self._measured[key] = measure_timing(candidate, watch.note)

    def find(self, requirement: Requirement) -> Timing | None:
        """Return the time of a click, None if the model was not measured."""
        candidate = self._candidates[requirement.row]
        if candidate is None:
            return None
        measured = self._measured.get(_identify(candidate))
        return measured or find_timing(self._runs, candidate, requirement.dataset)


def _identify(candidate: Candidate) -> tuple[object, ...]:
    return candidate.card.name, tuple(sorted(candidate.options.items()))
