"""The figures of runs in tables, csv, the checklist and pages, from one list of metrics."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation.runner import run
from isbench.metrics import METRICS, Games, Metric, Values, find_metric
from isbench.models.loading import load_model
from isbench.protocol import PROTOCOLS
from isbench.reporting import checklist, html_report, tables
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.templates import read_template
from isbench.reporting.text_table import TextTable
from isbench.storage.store import Run
from isbench.types import Rules
from tests.support.packages import install_package
from tests.test_docs import ROOT, blocks

Isbench = Callable[..., tuple[int, str, str]]

# of the committed run of `nearest` on the sample, as isbench 0.1 printed them
NEAREST = {
    "noc": ["16", "20", "17.06 [12.80, 19.44]", "17.44 [13.21, 19.77]", "18.88 [15.50, 20.00]"],
    "nof": ["16", "20", "13", "15", "13", "15"],
    "iou": ["16", "20", "0.1420", "0.2358", "0.2854", "0.4251", "0.5958"],
    "time": ["16", "20", "320", ""],
}
HEADS = {
    "noc": ["NoC@80", "NoC@85", "NoC@90"],
    "nof": ["NoF@85", "NoF@90", "NoF@85 (RITM)", "NoF@90 (RITM)"],
    "iou": ["IoU@1", "IoU@3", "IoU@5", "IoU@10", "IoU@20"],
    "time": ["Clicks", "Seconds/click"],
}
# what scripts read
CSV = (
    "model label dataset preset budget objects images noc@80 noc@80_low noc@80_high noc@85 "
    "noc@85_low noc@85_high noc@90 noc@90_low noc@90_high nof@85 nof_ritm@85 nof@90 nof_ritm@90 "
    "iou@1 iou@3 iou@5 iou@10 iou@20 clicks seconds_per_click run max_clicks stop_iou "
    "end_on_perfect reject_empty clicker seed version weights backend precision threads limit "
    "fingerprint decoder"
)


def save_clicks(games: Games) -> Values | None:
    """Return the clicks of the budget that are left when an object reaches 0.80."""
    return games.budget - np.asarray(find_metric("noc@80").compute(games))


SAVED = Metric("Clicks saved", "clicks_saved", save_clicks, ".1f", "higher", view="savings")
ALL = (*METRICS, SAVED)


@pytest.fixture(scope="module")
def nearest() -> Run:
    return choose_runs(["c81fcec12a4b"], ROOT / "results" / "sample").runs[0]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run whose games stop at IoU 0.90."""
    out = tmp_path_factory.mktemp("runs")
    return run(load_model("nearest"), load_dataset("sample", limit=3), Rules(4), out=out)


def column(table: TextTable, head: str) -> list[str]:
    return [row[table.heads.index(head)] for row in table.rows]


@pytest.mark.parametrize("view", NEAREST)
def test_a_committed_run_has_the_printed_figures(nearest: Run, view: str) -> None:
    table = tables.make_table(tables.make_rows([nearest]), view)
    assert list(table.heads) == ["Data set", "Model", "Objects", "Budget", *HEADS[view], "Run"]
    assert list(table.rows[0]) == ["sample", "nearest", *NEAREST[view], "c81fcec12a4b"]


def test_csv_keeps_its_columns(nearest: Run) -> None:
    (row,) = csv.DictReader(tables.format_csv(tables.make_frame([nearest])).splitlines())
    assert set(row) == {*CSV.split(), *(f"{kind}@95" for kind in ("nof", "nof_ritm"))} | {
        "noc@95", "noc@95_low", "noc@95_high", "clicker_version",
        "busy_processors", "processors_used_by_others", "processors",
        "noc_100@95", "noc_100@95_low", "noc_100@95_high",
        "auc", "backsliding", "mean_loss", "worst_loss",
    }  # fmt: skip
    assert (row["noc@90"], row["nof@90"], row["clicks"]) == ("18.875", "15", "320")
    assert row["seconds_per_click"] == ""


def test_every_metric_has_its_columns_and_its_row_in_the_checklist(nearest: Run) -> None:
    frame = tables.make_frame([nearest], metrics=ALL)
    items = [row[0] for row in checklist.make_checklist([nearest], metrics=ALL).rows]
    for metric in ALL:
        assert set(metric.columns) <= set(frame)
        if metric.item != "":
            assert (metric.item or f"{metric.name} [95 % interval]") in items
    assert {"NoC@95 [95 % interval]", "NoF@95, never reached"} <= set(items)


def test_the_view_of_everything_leaves_out_what_no_run_has(nearest: Run, short: Run) -> None:
    blank = {"IoU@1", "IoU@20", "NoC@95", "NoF@95", "NoF@95 (RITM)"}
    assert not blank & set(tables.make_table(tables.make_rows([short]), "all").heads)
    mixed = tables.make_table(tables.make_rows([short, nearest]), "all")
    assert blank <= set(mixed.heads)
    assert column(mixed, "IoU@20") == ["", "0.5958"]
    named = tables.make_table(tables.make_rows([short]), "iou")
    assert named.rows == ()
    assert named.notes == ("1 run that stops at an IoU has none of these figures and is left out.",)
    row = tables.compute_figures(short)
    assert {"noc@95", "noc@95_low", "iou@20"} <= row.keys()


def test_a_metric_that_is_passed_is_in_its_table_and_everywhere(nearest: Run) -> None:
    assert tables.list_views() == ("noc", "nof", "iou", "stability", "time", *PROTOCOLS, "all")
    assert tables.list_views(ALL) == (
        "noc", "nof", "iou", "stability", "time", "savings", *PROTOCOLS, "all",
    )  # fmt: skip
    frame = tables.make_frame([nearest], metrics=ALL)
    rows = tables.make_rows([nearest], metrics=ALL)
    table = tables.make_table(rows, "savings", ALL)
    assert table.heads == ("Data set", "Model", "Objects", "Budget", "Clicks saved", "Run")
    assert column(table, "Clicks saved") == ["2.9 [0.6, 7.2]"]
    assert column(tables.make_table(rows, "all", ALL), "Clicks saved") == ["2.9 [0.6, 7.2]"]
    (row,) = csv.DictReader(tables.format_csv(frame).splitlines())
    assert float(row["clicks_saved"]) == 20 - float(row["noc@80"])
    assert float(row["clicks_saved_low"]) == 20 - float(row["noc@80_high"])
    items = dict(row[:2] for row in checklist.make_checklist([nearest], metrics=ALL).rows)
    assert items["Clicks saved [95 % interval]"] == "2.9 [0.6, 7.2]"
    page = html_report.render_page(
        "Title", [nearest], 20, html_report.ReportPictures(), {}, "", read_template("report"),
        metrics=ALL,
    )  # fmt: skip
    assert ">Clicks saved</th>" in page
    assert ">2.9 [0.6, 7.2]</td>" in page


@pytest.mark.parametrize("key", ["model", "label", "run", "seed", "clicker"])
def test_a_metric_cannot_take_a_column_of_every_run(nearest: Run, key: str) -> None:
    with pytest.raises(IsbenchError, match=f"Clicks saved has the csv column '{key}'"):
        tables.make_frame([nearest], metrics=[replace(SAVED, key=key)])


def test_the_metrics_of_the_documents_are_in_every_report(
    isbench: Isbench, nearest: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = blocks(ROOT / "docs" / "reports.md", "python")
    (code,) = (block for block in page if "Metric(" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    points = {"isbench.metrics": {"extra": "documented_metrics:metrics"}}
    install_package(monkeypatch, tmp_path / "site", {"documented_metrics": code}, points)

    def report(*options: object) -> str:
        code, printed, said = isbench("report", nearest.path, *options)
        assert code == 0, said
        return printed

    def figures(printed: str) -> list[str]:
        return [cell.strip() for cell in printed.splitlines()[-1].split("|")[5:-2]]

    area, negative = figures(report("--table", "extra", "--format", "markdown"))
    assert 0.1420 < float(area.partition(" ")[0]) < 0.5958
    assert re.fullmatch(r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]", negative)
    assert f"| {negative} |" in report("--table", "all", "--format", "markdown")
    assert f"| {area} |" in report("--checklist", "--format", "markdown")
    (row,) = csv.DictReader(report("--format", "csv").splitlines())
    assert f"{float(row['mean_iou']):.4f}" == area.partition(" ")[0]
    report("--html", tmp_path / "page.html", "--pictures", 0)
    assert f">{negative}</td>" in (tmp_path / "page.html").read_text()
    code_, _, said = isbench("report", nearest.path, "--table", "extr")
    assert code_ == 2
    assert "did you mean extra?" in said


def test_a_package_that_fails_is_one_line_before_the_first_game(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {"isbench.metrics": {"toy": "empty_metrics:missing"}}
    install_package(monkeypatch, tmp_path / "site", {"empty_metrics": ""}, points)
    out = tmp_path / "runs"
    for words in (
        ["run", "--model", "nearest", "--dataset", "sample", "--out", out],
        ["report", ROOT / "results" / "sample"],
    ):
        code, _, said = isbench(*words)
        assert (code, said.count("\n")) == (2, 1)
        assert "metric 'toy' (empty_metrics:missing) cannot be imported: AttributeError" in said
    assert not out.exists()


def test_a_page_names_the_figure_of_its_list(nearest: Run) -> None:
    page = html_report.render_page(
        "Title", [nearest], 20, html_report.ReportPictures(), {}, "", read_template("report")
    )
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    assert (data["metric"], data["sort"]) == ("NoC@90", "mean NoC@90")
    bars = next(chart for chart in data["charts"] if chart["kind"] == "bars")
    assert bars["title"] == "NoC@90 on sample"
    assert bars["lines"][0]["label"] == "nearest, 15 never"
    assert sum(bars["lines"][0]["counts"]) == 1
    assert bars["lines"][0]["never"] == 15


def test_a_page_says_what_runs_share_once_and_draws_many_as_curves(nearest: Run) -> None:
    runs = [
        replace(
            nearest,
            spec=replace(nearest.spec, model=f"m{k}", limit=16),
            path=nearest.path.with_name(f"m{k}-{k:012x}.jsonl.gz"),
        )
        for k in range(4)
    ]
    page = html_report.render_page(
        "Title", runs, 20, html_report.ReportPictures(), {}, "", read_template("report")
    )
    assert "4 runs of isbench on sample, up to 20 clicks, first 16 objects." in page
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    assert [run["label"] for run in data["runs"]] == ["m0", "m1", "m2", "m3"]
    share = data["charts"][1]
    assert (share["kind"], share["title"]) == ("curves", "share of objects at IoU 0.90 on sample")
    assert share["lines"][0]["mean"][-1] == pytest.approx(1 / 16, abs=1e-4)
    assert "<dt>weights</dt><dd>none</dd>" in page
    assert "<dt>backend</dt><dd>none</dd>" in page
