"""`isbench export`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from isbench.cli.completion import complete_runs
from isbench.cli.options import data_option
from isbench.cli.paths import OUTPUT, OUTPUT_FILE, OUTPUT_FOLDER
from isbench.cli.progress import track
from isbench.cli.recorded_runs import dataset_option, find_datasets, runs_option, trust_option
from isbench.cli.streams import print_note
from isbench.cli.usage import is_given
from isbench.errors import IsbenchError, check_least
from isbench.exchange.bundle import write_bundle
from isbench.exchange.click_frame import format_clicks_csv, format_clicks_json
from isbench.exchange.coco_results import make_coco_files
from isbench.exchange.model_index import format_eval_results, format_model_index
from isbench.files.atomic import write_atomically
from isbench.metrics import list_metrics
from isbench.models.registry import Trusted, load_trusted_cards
from isbench.reporting.chosen_runs import choose_runs_on
from isbench.reporting.labels import format_count
from isbench.reporting.recorded_masks import recompute_masks
from isbench.reporting.run_datasets import load_dataset_of
from isbench.storage.store import SEALED, Run, locate_run

FORMATS = ("csv", "json", "hf-eval", "coco-results", "bundle")
_OWNERS = {  # the format to which an option belongs
    "number": "coco-results",
    "max_clicks": "hf-eval",
    "hub_dataset": "hf-eval",
    "source_url": "hf-eval",
}


@click.command(short_help="Write runs in the formats of other tools, or as a bundle.")
@click.argument("names", nargs=-1, metavar="[RUN]...", shell_complete=complete_runs)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    required=True,
    help="csv, json: one row per object and click. hf-eval: figures for a model card of Hugging "
    "Face. coco-results: masks after --click, with annotations. bundle: a zip that `isbench "
    "verify` checks.",
)
@click.option(
    "--out",
    type=OUTPUT,
    help="File to write; a folder for coco-results. [default: standard output for csv, json and "
    "hf-eval]",
)
@click.option(
    "--click",
    "number",
    type=int,
    default=20,
    show_default=True,
    help="Masks of coco-results are those after this click, or after the last one before it.",
)
@click.option(
    "--max-clicks",
    type=int,
    default=20,
    show_default=True,
    help="Figures of hf-eval count up to this click.",
)
@click.option(
    "--hub-dataset",
    metavar="OWNER/NAME",
    help="Benchmark on the Hub: hf-eval then writes entries for .eval_results instead of a "
    "model-index.",
)
@click.option("--source-url", help="Where readers of hf-eval find the runs, such as a bundle.")
@dataset_option
@data_option
@trust_option
@runs_option("Folder to look up runs in.")
def export(
    names: tuple[str, ...],
    form: str,
    out: Path | None,
    number: int,
    max_clicks: int,
    hub_dataset: str | None,
    source_url: str | None,
    datasets: tuple[str, ...],
    data: Path | None,
    trust_models: tuple[str, ...],
    runs: Path,
) -> None:
    """Write finished runs in a format that other tools read.

    RUN is a run file, a folder of runs, a model, a data set or the first digits of a run digest;
    without a RUN, use all runs. Masks that `run --save-masks` did not save are recomputed.

    \b
    Example:
      isbench export csfpn-lite --dataset davis --format csv --out davis.csv
      isbench export 3f2a --format hf-eval
      isbench export 3f2a --format coco-results --click 5 --out coco
      isbench export runs/davis --format bundle --out davis.zip
    """
    _refuse_others(form)
    check_least("click", number, 1)
    if out is None and form in ("coco-results", "bundle"):
        raise IsbenchError(f"format {form} writes files; name their place", setting="out")
    kind = OUTPUT_FOLDER if form == "coco-results" else OUTPUT_FILE
    if out is not None and (fault := kind.find_fault(out)):
        raise IsbenchError(f"cannot write {out}: {fault}", setting="out")
    known, place = find_datasets(datasets, names, runs, data)
    chosen, notes = choose_runs_on(known, names, runs)
    for note in notes:
        print_note(note)
    if form == "bundle" and out is not None:
        click.echo(str(write_bundle(out, chosen)))
    elif form == "coco-results" and out is not None:
        trusted = load_trusted_cards(trust_models)
        for run in chosen:
            _write_coco(run, out, number, data, place, trusted)
    else:
        text = _format(form, chosen, max_clicks, hub_dataset, source_url)
        _write({} if out is None else {out: text}, text)


def _refuse_others(form: str) -> None:
    """Raise IsbenchError for an option that was given, but belongs to another format."""
    for option in click.get_current_context().command.params:
        name = str(option.name)
        if _OWNERS.get(name, form) != form and is_given(name):
            raise IsbenchError(
                f"{option.opts[0]} was given with --format {form}, but belongs to "
                f"{_OWNERS[name]}; leave it out"
            )


def _format(
    form: str, runs: Sequence[Run], max_clicks: int, hub_dataset: str | None, source_url: str | None
) -> str:
    if form in ("csv", "json"):
        return {"csv": format_clicks_csv, "json": format_clicks_json}[form](runs)
    metrics = list_metrics()
    if hub_dataset is None:
        return format_model_index(runs, max_clicks, metrics, source_url)
    return format_eval_results(runs, hub_dataset, max_clicks, metrics, source_url)


def _write(files: Mapping[Path, str], text: str = "") -> None:
    """Write files and print their names; without a file, print the text."""
    if not files:
        click.echo(text, nl=False)
    for path, content in files.items():
        write_atomically(path, content.encode())
        click.echo(str(path))


def _write_coco(
    run: Run, out: Path, number: int, data: Path | None, place: str | None, trusted: Trusted
) -> None:
    dataset = load_dataset_of(run, data, place)
    clicks = min(number, run.spec.rules.max_clicks)
    games = track(
        recompute_masks(run, dataset, dataset.keys, clicks, trusted), len(dataset.keys), "masks"
    )
    found = make_coco_files(dataset, games, clicks)
    usual, limit = locate_run(Path(), run.spec), run.spec.limit  # the file may have another name
    stem = usual.name.removesuffix(SEALED)
    # a folder of this name elsewhere has other objects
    content = f"-{run.spec.fingerprint[:8]}" if ":" in run.spec.dataset else ""
    objects = f"{usual.parent}{content}{'' if limit is None else f'-first{limit}'}"
    _write(
        {
            out / f"{stem}-click{clicks}.json": json.dumps(found.results) + "\n",
            out / f"{objects}-annotations.json": json.dumps(found.annotations) + "\n",
        }
    )
    if found.inexact:
        count = format_count(found.inexact, "object")
        print_note(
            f"the recomputed masks of {count} are not exactly the recorded ones: their IoU differs "
            f"by up to {found.largest_change:.4f}"
        )
