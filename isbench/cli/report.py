"""`isbench report`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from isbench.cli.completion import complete_plots, complete_published, complete_runs
from isbench.cli.import_results import read_imported_figures
from isbench.cli.options import data_option
from isbench.cli.paths import OUTPUT, OUTPUT_FILE
from isbench.cli.progress import track
from isbench.cli.recorded_runs import (
    dataset_option,
    find_datasets,
    label_option,
    parse_labels,
    runs_option,
    trust_option,
)
from isbench.cli.report_plots import ReportOptions, choose_drawn, draw_plot
from isbench.cli.streams import print_note
from isbench.cli.tables import print_table
from isbench.cli.usage import note_unused, refuse_lists
from isbench.datasets import is_known
from isbench.errors import IsbenchError, check_least, make_unknown_error
from isbench.metrics import Floats, Metric, list_metrics
from isbench.models.registry import load_trusted_cards
from isbench.papers import PaperTable, all_tables
from isbench.papers.cells import format_cells
from isbench.papers.register import read_register
from isbench.papers.registry import find_table, list_paper_names, list_tables
from isbench.protocol import has_full_games
from isbench.reporting import boundary_tables, study_tables, tables
from isbench.reporting import checklist as checklists
from isbench.reporting.chosen_runs import choose_runs_on
from isbench.reporting.literature import PublishedFigure, list_published
from isbench.reporting.markdown_summary import make_markdown_summary
from isbench.reporting.plot_files import BOUNDARIES, PICTURES, find_files, find_plot
from isbench.reporting.published_tables import add_published
from isbench.reporting.studies import find_baseline, group_runs
from isbench.reporting.text_table import FORMATS
from isbench.storage.store import Run

LAYOUTS = ("runs", "paper")
EVERY = "all"  # a value of --published
BOUNDARY = "biou"  # needs the masks, saved or recomputed


@click.command(short_help="Print tables and draw plots of runs.")
@click.argument("names", nargs=-1, metavar="[RUN]...", shell_complete=complete_runs)
@click.option(
    "--table",
    "view",
    help=f"Table to print: {', '.join((*tables.list_views(), BOUNDARY, study_tables.VIEW))}, "
    f"NUMBER or PAPER:NUMBER of a paper ({', '.join(list_paper_names())}), or a table of an "
    "installed metric. [default: noc]",
)
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    help=f"Format of the table: {', '.join(FORMATS)}; csv has every figure.",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="runs: one row per run; paper: one row per model, one column per data set and figure. "
    "[default: paper for markdown and latex over several data sets, else runs]",
)
@click.option(
    "--plot",
    "plots",
    shell_complete=complete_plots,
    multiple=True,
    callback=refuse_lists,
    help="Plot to draw: iou_k, biou_k, noc_hist, critical_difference (mean ranks of models), or "
    "pictures (of two runs). Repeatable.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Plot every run. [default: the newest full run of each model, and runs named by file or "
    "digest]",
)
@click.option(
    "--checklist",
    is_flag=True,
    help="Print a checklist of what a paper should report about each run.",
)
@click.option(
    "--markdown-summary",
    "summary",
    is_flag=True,
    help="Print a summary in Markdown, for the job summary of continuous integration.",
)
@click.option(
    "--html",
    "page",
    type=OUTPUT_FILE,
    help="Write an HTML page with tables, plots, objects and masks.",
)
@click.option(
    "--pictures",
    type=int,
    default=200,
    show_default=True,
    help="Number of objects with pictures on the page, worst first, up to 25 MB; 0: none.",
)
@click.option(
    "--max-clicks", type=int, default=20, show_default=True, help="Ignore clicks after this one."
)
@click.option(
    "--out",
    type=OUTPUT,
    help="Folder of the plots, or the file of one plot: .png, .svg or .pdf. [default: plots in the "
    "folder of --runs]",
)
@click.option(
    "--objects",
    "count",
    type=int,
    default=6,
    show_default=True,
    help="Number of objects that --plot pictures shows.",
)
@click.option(
    "--published",
    "systems",
    metavar="[SYSTEM]",
    multiple=True,
    is_flag=False,
    flag_value=EVERY,
    callback=refuse_lists,
    shell_complete=complete_published("system"),
    help="Add published figures of a system to the tables of runs and the page, in italics and "
    "with their sources; see `isbench published`. Repeatable. Without a SYSTEM: of all.",
)
@click.option(
    "--imported",
    multiple=True,
    callback=refuse_lists,
    metavar="PLACE",
    help="Add results that `isbench import` wrote, a file or a folder of them, to the tables of "
    "runs and the page, in italics. Repeatable.",
)
@label_option
@dataset_option
@data_option
@trust_option
@runs_option("Folder to look up runs in.")
def report(
    names: tuple[str, ...],
    view: str | None,
    form: str,
    layout: str | None,
    plots: tuple[str, ...],
    every: bool,
    checklist: bool,
    summary: bool,
    page: Path | None,
    pictures: int,
    max_clicks: int,
    out: Path | None,
    count: int,
    systems: tuple[str, ...],
    imported: tuple[str, ...],
    given: tuple[str, ...],
    datasets: tuple[str, ...],
    data: Path | None,
    trust_models: tuple[str, ...],
    runs: Path,
) -> None:
    """Print a table of runs, or draw plots of them as PNG and SVG.

    RUN is a run file, a folder of runs, a model, a data set or the first digits of a run digest;
    without a RUN, use all runs. Pictures show the objects where two runs differ most after
    --max-clicks clicks: both models answer the clicks of the run that is named first. Masks that
    `run --save-masks` did not save are recomputed, which takes as long as the run, with installed
    models only: a run file may come from anybody, so code that it names is not imported unless you
    name it with --trust-model.

    \b
    Example:
      isbench report runs/grabcut --table nof --format markdown
      isbench report csfpn-lite ritm-lite --dataset davis --plot iou_k --out davis.png
      isbench report --table 1 --format markdown
      isbench report --dataset davis --published SimpleClick --published RITM
      isbench report 3f2a 91bc --plot pictures --max-clicks 5
      isbench report 3f2a --checklist --format latex
      isbench report runs/davis --html report.html --pictures 40
      isbench report runs --plot critical_difference
      isbench report runs --markdown-summary >> "$GITHUB_STEP_SUMMARY"
    """
    known, place = find_datasets(datasets, names, runs, data)
    options = ReportOptions(
        runs, data, known, place, max_clicks, out or runs / "plots", page, count, pictures, layout,
        every, {}, list_metrics(), load_trusted_cards(trust_models), _find_published(systems),
        read_imported_figures(imported),
    )  # fmt: skip
    table = None if view is None else _parse_view(view, options.metrics)
    _check(form, options, plots)
    prints = table is not None or not (plots or page or checklist or summary)
    is_special = isinstance(table, PaperTable) or table in (BOUNDARY, study_tables.VIEW)
    note_unused({
        "layout": prints and form != "csv" and not is_special, "out": bool(plots),
        "every": bool(plots), "count": PICTURES in plots, "pictures": page is not None,
    })  # fmt: skip
    chosen, notes = _choose_runs(names, options, table)
    options = options._replace(labels=parse_labels(given, chosen))
    _note_left_out({"published": systems, "imported": imported}, table or "noc", form, plots)
    shown = tables.choose_metrics(table, options.metrics) if isinstance(table, str) else []
    for note in (*notes, *_list_warnings(chosen, any(one.view == "iou" for one in shown))):
        print_note(note)
    if page is not None:
        from isbench.cli.html_pages import write_page

        write_page(
            page, chosen, max_clicks, pictures, data,
            labels=options.labels, place=place, trusted=options.trusted,
            published=options.published, imported=options.imported,
        )  # fmt: skip
    drawn = choose_drawn(names, chosen, plots, options)
    boundaries = {
        id(run): boundary_tables.compute_boundaries(
            run, max_clicks, data, track, place=place, trusted=options.trusted
        )
        for run in (chosen if view == BOUNDARY else drawn if BOUNDARIES in plots else [])
    }
    for plot in plots:
        draw_plot(plot, names, drawn, [boundaries[k] for k in map(id, drawn) if k in boundaries],
                   options)  # fmt: skip
    if checklist:
        print_table(
            checklists.make_checklist(chosen, max_clicks, options.metrics, options.labels), form
        )
    if summary:
        text = make_markdown_summary(chosen, max_clicks, options.metrics, options.labels)
        click.echo(text, nl=False)
    if prints:
        _print_view(table or "noc", form, chosen, [*boundaries.values()], options)


def _print_view(
    view: str | PaperTable,
    form: str,
    chosen: list[Run],
    boundaries: list[Floats],
    options: ReportOptions,
) -> None:
    if isinstance(view, PaperTable):
        _print_paper_table(view, chosen, form, options)
    elif view == BOUNDARY:
        figures = chosen, boundaries, options.labels
        if form == "csv":
            click.echo(tables.format_csv(boundary_tables.make_frame(*figures)), nl=False)
        else:
            print_table(boundary_tables.make_table(*figures), form)
    elif view == study_tables.VIEW:
        _print_studies(chosen, form, options)
    else:
        _print_runs(chosen, view, form, options)


def _choose_runs(
    names: tuple[str, ...], options: ReportOptions, view: str | PaperTable | None
) -> tuple[list[Run], list[str]]:
    """Return the chosen runs and notes; a table of a paper has published figures without runs."""
    try:
        return choose_runs_on(options.datasets, names, options.runs)
    except IsbenchError:
        if not isinstance(view, PaperTable) or names or options.datasets:
            raise
        return [], []


def _find_published(systems: Sequence[str]) -> tuple[PublishedFigure, ...]:
    """Return the published figures of some systems, none without a system."""
    if not systems:
        return ()
    try:
        return list_published(system=() if EVERY in systems else systems)
    except IsbenchError as error:
        raise IsbenchError(str(error), setting="published") from error


def _parse_view(text: str, metrics: Sequence[Metric]) -> str | PaperTable:
    """Return the name of a view, or the table of a paper that the text names."""
    known = (*tables.list_views(metrics), BOUNDARY, study_tables.VIEW)
    if text in known:
        return text
    table = find_table(text)
    if table is None:
        raise make_unknown_error("table", text, (*known, *list_tables()), "table")
    return table


def _check(form: str, options: ReportOptions, plots: Sequence[str]) -> None:
    for plot in plots:
        (path, *_) = find_files(options.out, find_plot(plot))
        if path == options.out and len(plots) > 1:
            raise IsbenchError(
                f"out is the file {path}, but {len(plots)} plots were asked for; name a folder",
                setting="out",
            )
    if form not in FORMATS:
        raise make_unknown_error("format", form, FORMATS, "format")
    check_least("max_clicks", options.max_clicks, 1)
    check_least("objects", options.objects, 1)
    check_least("pictures", options.pictures, 0)


def _note_left_out(
    given: Mapping[str, Sequence[str]],
    view: str | PaperTable,
    form: str,
    plots: Sequence[str],
) -> None:
    """Say what --published and --imported do not change."""
    for kind in (kind for kind, names in given.items() if names):
        if plots:
            print_note(f"plots show no {kind} figures: these are one number per data set")
        if form == "csv":
            other = "; `isbench published --format csv` prints published ones"
            print_note(f"csv has measured figures only{other if kind == 'published' else ''}")
        elif isinstance(view, PaperTable) or view in (BOUNDARY, study_tables.VIEW):
            print_note(f"{kind} figures are added to tables of runs only")


def _list_warnings(runs: list[Run], needs_iou: bool) -> Iterator[str]:
    for run in runs:
        if not is_known(run.spec.dataset, run.spec.fingerprint):
            yield f"{run.path} was played on {run.spec.dataset} files with an unknown fingerprint"
    if needs_iou and not all(has_full_games(run.spec.rules) for run in runs):
        yield tables.FULL_GAMES


def _print_paper_table(
    paper_table: PaperTable, runs: list[Run], form: str, options: ReportOptions
) -> None:
    register = read_register(options.runs, runs)
    table, cells = all_tables.make_table(all_tables.collect_records(paper_table, runs, register))
    if form == "csv" and paper_table.render is None:  # one figure per line
        click.echo(format_cells(cells), nl=False)
    else:
        print_table(table, form)


def _print_studies(runs: list[Run], form: str, options: ReportOptions) -> None:
    studies = group_runs(runs)
    baselines = [find_baseline(study) for study in studies]
    figures = studies, baselines, options.max_clicks, options.labels
    if form == "csv":
        click.echo(tables.format_csv(study_tables.make_study_frame(*figures)), nl=False)
    else:
        print_table(study_tables.make_study_table(study_tables.make_study_rows(*figures)), form)


def _print_runs(runs: list[Run], view: str, form: str, options: ReportOptions) -> None:
    figures = runs, options.max_clicks, options.metrics, options.labels
    if form == "csv":
        frame = tables.make_frame(*figures)
        click.echo(tables.format_csv(frame), nl=False)  # every figure, not only those of the view
    else:
        rows, layout = tables.make_rows(*figures), _choose_layout(runs, form, options)
        table = tables.make_table(rows, view, options.metrics, layout)
        shown = tables.choose_metrics(view, options.metrics)
        table = add_published(table, options.published, rows, shown, options.imported)
        if options.published and not table.italic:
            print_note("no published figure of these systems fits this table")
        if options.imported and not table.italic:
            print_note(
                "no imported figure fits this table: wanted NoC or NoF beside runs over the same "
                "whole data set, by ritm-2021 and with as many clicks"
            )
        legend = tables.make_legend(shown) if form == "rich" else ""
        print_table(replace(table, notes=(*table.notes, *filter(None, [legend]))), form)


def _choose_layout(runs: Sequence[Run], form: str, options: ReportOptions) -> str:
    """Return the layout: that of papers for texts of papers over several data sets."""
    if options.layout is not None:
        return options.layout
    several = len({run.spec.dataset for run in runs}) > 1
    return "paper" if several and form in ("markdown", "latex") else "runs"
