"""`isbench compare`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from isbench.cli.completion import complete_from, complete_metrics, complete_runs
from isbench.cli.console import make_console
from isbench.cli.options import data_option
from isbench.cli.paths import OUTPUT_FILE
from isbench.cli.recorded_runs import (
    dataset_option,
    find_dataset,
    label_option,
    parse_labels,
    runs_option,
    trust_option,
)
from isbench.cli.streams import print_note
from isbench.cli.tables import print_table
from isbench.cli.usage import note_unused, refuse_lists
from isbench.errors import IsbenchError, check_least, make_unknown_error
from isbench.metrics import CORRECTIONS, MAIN_NOC, Metric, list_metrics, match_metric
from isbench.metrics.corrections import HOLM
from isbench.models.registry import load_trusted_cards
from isbench.reporting import compare as comparison
from isbench.reporting.chosen_runs import choose_systems, split_names
from isbench.reporting.comparison_tables import (
    collect_comparison,
    make_difference_table,
    make_objects_table,
)
from isbench.reporting.gate import EXIT_CODES, Verdict, find_outcome, judge, parse_condition
from isbench.reporting.gate_formats import collect_verdicts, format_junit, make_gate_table
from isbench.reporting.labels import make_labels
from isbench.reporting.quotes import quote_systems
from isbench.reporting.system_tables import collect_systems, make_means_table, make_tests_table
from isbench.reporting.systems import System, SystemsComparison, compare_systems
from isbench.reporting.text_table import escape_controls, escape_html
from isbench.storage.store import Run, parse_digest

TABLES, JSON, JUNIT = ("rich", "markdown", "latex"), "json", "junit"
FORMATS = (*TABLES, JSON, JUNIT)


class _Options(NamedTuple):
    """The options of the command."""

    form: str
    worst: int
    quote: bool
    metrics: tuple[Metric, ...]
    correction: str


@click.command(short_help="Compare runs object by object, or gate a new run.")
@click.argument("run_a", shell_complete=complete_runs)
@click.argument("run_b", shell_complete=complete_runs)
@click.argument("others", nargs=-1, metavar="[RUN]...", shell_complete=complete_runs)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    callback=refuse_lists,
    metavar="CONDITION",
    help="Gate RUN_B against RUN_A: fail if a figure changes for the worse by more than this and a "
    'paired test finds a difference, such as "noc90 > +0.2" or "iou@5 < -1%". Repeatable.',
)
@click.option(
    "--metric",
    "names",
    multiple=True,
    callback=refuse_lists,
    shell_complete=complete_metrics,
    help="Figure of the paired tests over data sets, such as noc@85. Repeatable. [default: noc@90]",
)
@click.option(
    "--correction",
    shell_complete=complete_from(lambda _: CORRECTIONS),
    default=HOLM,
    show_default=True,
    help=f"How p-values over several data sets or systems are corrected: {', '.join(CORRECTIONS)}.",
)
@click.option("--quote", is_flag=True, help="Print only the lines that a paper can quote.")
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    help=f"Format: {', '.join(FORMATS)}; junit has the conditions only.",
)
@click.option("--worst", type=int, default=10, show_default=True, help="Number of objects to list.")
@click.option(
    "--html",
    "page",
    type=OUTPUT_FILE,
    help="Write an HTML page with a scatter plot of clicks, and both models side by side.",
)
@click.option(
    "--pictures",
    type=int,
    default=40,
    show_default=True,
    help="Number of objects with pictures on the page, most different first; 0: none.",
)
@label_option
@dataset_option
@data_option
@trust_option
@runs_option("Folder to look up runs in.")
def compare(
    run_a: str,
    run_b: str,
    others: tuple[str, ...],
    conditions: tuple[str, ...],
    names: tuple[str, ...],
    correction: str,
    quote: bool,
    form: str,
    worst: int,
    page: Path | None,
    pictures: int,
    given: tuple[str, ...],
    datasets: tuple[str, ...],
    data: Path | None,
    trust_models: tuple[str, ...],
    runs: Path,
) -> int:
    """Compare runs over the same objects: whether A needs fewer clicks than B, and where.

    A RUN is a run file, the first digits of a run digest, a model, or a folder of runs. If a model
    has several runs, the one with its default settings is compared. On several data sets, a RUN is
    a model or folder with one run on each, or digests joined by commas; RUN_A is tested against
    each of the others, with p-values corrected for the number of tests.

    With --fail-if, RUN_A is the base and RUN_B the new run. FAIL: worse by more than the limit, and
    p < 0.05. WARN: p < 0.05, but not by more than the limit. PASS: the 95 % interval excludes a
    change beyond the limit. INCONCLUSIVE: neither; the smallest change that the test can find on
    so many objects is printed.

    \b
    Exit code:
      0  no --fail-if, or PASS or WARN    1  FAIL
      2  invalid input                    3  INCONCLUSIVE

    \b
    Example:
      isbench compare csfpn-lite ritm-lite --dataset davis
      isbench compare 3f2a 91bc --html compared.html
      isbench compare base.jsonl.gz new.jsonl.gz --fail-if "noc90 > +0.2" --fail-if "nof90 > 5%"
      isbench compare base/ new/ --fail-if "noc90 > +0.2" --format junit
      isbench compare nearest random-walker ritm-lite --runs results --quote
      isbench compare csfpn-lite ritm-lite --dataset davis --dataset berkeley --correction holm
    """
    check_least("pictures", pictures, 0)
    check_least("worst", worst, 0)
    metrics = list_metrics()
    parsed = [parse_condition(text, metrics) for text in conditions]
    options = _Options(form, worst, quote, _match(names, metrics), correction)
    words = (run_a, run_b, *others)
    _check(options, words, bool(conditions), page)
    trusted = load_trusted_cards(trust_models)
    every = [name for word in words for name in split_names(word)]
    places = [find_dataset(one, every, runs, data) for one in datasets]
    chosen, notes = choose_systems(words, runs, [str(name) for name, _ in places])
    for note in notes:
        print_note(note)
    labels, systems = _make_systems(words, chosen, given)
    verdicts = [
        verdict
        for name, base in chosen[0].items()
        for verdict in (judge(base, chosen[1][name], parsed) if parsed else ())
    ]
    single = len(chosen) == 2 and len(chosen[0]) == 1 and not names
    note_unused(
        {
            "worst": single and not quote and form != JUNIT,
            "pictures": page is not None,
        }
    )
    if page is not None and len(chosen[0]) > 1:
        raise IsbenchError(
            f"the page shows two runs on one data set, but these have {len(chosen[0])} in common: "
            f"{', '.join(chosen[0])}; name one (--dataset)"
        )
    if form == JUNIT:
        click.echo(format_junit(verdicts, " against ".join(one.label for one in systems)), nl=False)
    elif single:
        (a,), (b,) = (one.values() for one in chosen)
        _print_pair(a, b, systems, verdicts, labels, options)
    else:
        _print_systems(compare_systems(systems, options.metrics, correction), verdicts, options)
    if page is not None:
        from isbench.cli.html_pages import write_page

        pair = [run for one in chosen for run in one.values()]
        place = dict(places).get(pair[0].spec.dataset)
        write_page(
            page, pair, max(run.spec.rules.max_clicks for run in pair), pictures, data,
            pair=True, labels=labels, place=place, trusted=trusted,
        )  # fmt: skip
    return EXIT_CODES[find_outcome(verdicts)]


def _match(names: Sequence[str], metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    try:
        return tuple(match_metric(name, metrics) for name in names) or (MAIN_NOC,)
    except IsbenchError as error:
        raise IsbenchError(str(error), setting="metric") from error


def _check(options: _Options, words: Sequence[str], gated: bool, page: Path | None) -> None:
    """Raise IsbenchError for options that do not fit together."""
    if options.form not in FORMATS:
        raise make_unknown_error("format", options.form, FORMATS, "format")
    if options.form == JUNIT and not gated:
        raise IsbenchError(
            "format junit has conditions only; wanted a condition", setting="fail_if"
        )
    if options.correction not in CORRECTIONS:
        raise make_unknown_error("correction", options.correction, CORRECTIONS, "correction")
    what = "conditions gate one new run" if gated else "the page shows two runs"
    if len(words) > 2 and (gated or page is not None):
        raise IsbenchError(f"{what}, but {len(words)} runs are named; wanted two")


def _make_systems(
    words: Sequence[str], chosen: Sequence[Mapping[str, Run]], given: tuple[str, ...]
) -> tuple[dict[str, str], list[System]]:
    """Return the labels of runs by digest, and the systems by the label of their first run.

    A label may also name a system as the command does, for its runs on all data sets.
    """
    runs = [run for one in chosen for run in one.values()]
    by_name = dict(zip(words, chosen, strict=True))
    expanded = []
    for word in given:
        name, _, text = word.partition("=")
        of_system = by_name.get(name, {}).values() if text else ()
        expanded += [f"{parse_digest(run.path)}={text}" for run in of_system] or [word]
    labels = parse_labels(expanded, runs)
    made = iter(make_labels(runs, labels))
    names = [[next(made) for _ in one] for one in chosen]
    systems = [
        _name_system(word, one, of_runs, labels)
        for word, one, of_runs in zip(words, chosen, names, strict=True)
    ]
    counts = Counter(systems)
    systems = [
        of_runs[0] if counts[name] > 1 else name
        for name, of_runs in zip(systems, names, strict=True)
    ]
    return labels, [System(name, one) for name, one in zip(systems, chosen, strict=True)]


def _name_system(
    word: str, runs: Mapping[str, Run], names: Sequence[str], labels: Mapping[str, str]
) -> str:
    """Return the name of a system: a label that one of its runs was given, or what its runs share.

    The labels of runs are parts with commas between them, such as "ritm-lite, first 3 objects". If
    the runs are of different models, the name is the folder that the system was named by.
    """
    given = (labels.get(parse_digest(run.path)) for run in runs.values())
    parts = [name.split(", ") for name in names]
    if len({one[0] for one in parts}) > 1:
        shared = [Path(word).name or word]
    else:
        shared = [one for one in parts[0] if all(one in other for other in parts)]
    return next(filter(None, given), "") or ", ".join(shared)


def _print_pair(
    a: Run,
    b: Run,
    systems: Sequence[System],
    verdicts: Sequence[Verdict],
    labels: Mapping[str, str],
    options: _Options,
) -> None:
    """Print the comparison of two runs on one data set."""
    quotes = _quote(systems, options)
    if options.quote:
        _print_lines(quotes)
        _print_gate(verdicts, options.form)
        return
    result = comparison.compare(a, b, list_metrics())
    names = make_labels([a, b], labels)
    if options.form == JSON:
        of_runs = {
            letter: {
                "label": label,
                "model": run.spec.model,
                "dataset": run.spec.dataset,
                "run": parse_digest(run.path),
                "objects": len(run.trajectories),
            }
            for letter, run, label in zip("ab", (a, b), names, strict=True)
        }
        compared = collect_comparison(result, options.worst)
        _print_json({"runs": of_runs, **compared, "quotes": quotes}, verdicts)
        return
    titles = [
        f"{letter}  {label} on {run.spec.dataset} ({parse_digest(run.path)})"
        for letter, run, label in zip("AB", (a, b), names, strict=True)
    ]
    _print_lines([*titles, *(f"note: {note}" for note in result.notes)], options.form)
    print_table(make_difference_table(result), options.form)
    if result.differing and options.worst > 0:
        _print_lines([f"objects that differ most in {result.listed}"], options.form)
        print_table(make_objects_table(result, options.worst), options.form)
    elif not result.differing:
        _print_lines([f"no object differs in {result.listed}"], options.form)
    _print_lines(quotes, options.form)
    _print_gate(verdicts, options.form)


def _quote(systems: Sequence[System], options: _Options) -> list[str]:
    """Return the lines to quote, none if the runs cannot tell the figure and none was asked for."""
    try:
        return quote_systems(compare_systems(systems, options.metrics, options.correction))
    except IsbenchError:
        if options.quote:
            raise
        return []


def _print_systems(
    result: SystemsComparison, verdicts: Sequence[Verdict], options: _Options
) -> None:
    """Print the comparison of systems over several data sets."""
    if options.quote:
        _print_lines(quote_systems(result))
        _print_gate(verdicts, options.form)
        return
    if options.form == JSON:
        _print_json(collect_systems(result), verdicts)
        return
    for note in result.notes:
        print_note(note)
    print_table(make_means_table(result), options.form)
    _print_lines([""], options.form)
    print_table(make_tests_table(result), options.form)
    _print_lines(["", *quote_systems(result)], options.form)
    _print_gate(verdicts, options.form)


def _print_gate(verdicts: Sequence[Verdict], form: str) -> None:
    if verdicts:
        _print_lines([""], form)
        print_table(make_gate_table(verdicts), form)


def _print_json(values: Mapping[str, object], verdicts: Sequence[Verdict]) -> None:
    gate = {"gate": collect_verdicts(verdicts)} if verdicts else {}
    click.echo(json.dumps({**values, **gate}, indent=2, ensure_ascii=False, allow_nan=False))


def _print_lines(lines: Sequence[str], form: str = "rich") -> None:
    """Print lines of text; in Markdown as paragraphs, in LaTeX as comments."""
    terminal = make_console()
    for line in map(escape_controls, lines):
        if form == "markdown":
            click.echo(f"\n{escape_html(line)}\n" if line else "")  # a table needs both
        elif form == "latex":
            click.echo(f"% {line}" if line else "")
        else:
            terminal.print(line, soft_wrap=True)
