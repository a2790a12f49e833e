"""Runs of different lengths side by side: each is shown as far as it was played."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from isbench.datasets import load_dataset
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.reporting import boundary_tables
from isbench.reporting.page import make_page
from isbench.storage.store import Run, parse_digest
from isbench.types import Rules
from tests.reporting.test_html_report import read_data

Isbench = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Return runs of 3 and 5 clicks, and one of 5 that stops at an IoU."""
    out, sample = tmp_path_factory.mktemp("runs"), load_dataset("sample", limit=3)
    rules = (Rules(3, 1.01), Rules(5, 1.01), Rules(5, 0.9))
    # in folders of their own: full games answer for games that stop
    return [
        run(load_model("nearest"), sample, one, out=out / str(k)) for k, one in enumerate(rules)
    ]


def test_a_page_draws_no_click_that_a_run_did_not_allow(runs: list[Run]) -> None:
    charts = read_data(make_page(runs, pictures=0).html)["charts"]
    (curves,) = (one for one in charts if one["kind"] == "curves")
    assert [len(line[name]) for line in curves["lines"] for name in ("mean", "low", "high")] == [
        *[3] * 3,
        *[5] * 6,
    ]
    (bars,) = (one for one in charts if one["kind"] == "bars")
    assert [len(line["counts"]) for line in bars["lines"]] == [3, 5, 5]
    for line, played in zip(bars["lines"], runs, strict=True):
        assert sum(line["counts"]) + line["never"] == len(played.trajectories)


def test_boundary_figures_have_numbers_in_csv_and_only_columns_with_figures_in_tables(
    runs: list[Run], isbench: Isbench
) -> None:
    code, out, said = isbench(
        "report", *(one.path for one in runs), "--table", "biou", "--format", "csv"
    )
    assert code == 0, said
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(out))}
    short, long, stopped = (rows[parse_digest(one.path)] for one in runs)
    assert float(short["biou@3"]) >= float(short["biou@1"]) > 0
    assert short["biou@5"] == ""
    assert float(long["biou@5_low"]) <= float(long["biou@5"]) <= float(long["biou@5_high"])
    assert {stopped[name] for name in stopped if name.startswith("biou")} == {""}
    assert list(long)[4:7] == ["biou@1", "biou@1_low", "biou@1_high"]
    assert long["biou@10"] == ""
    code, out, _ = isbench(
        "report", *(one.path for one in runs), "--table", "biou", "--format", "markdown"
    )
    assert "BIoU@5 |" in out
    assert "BIoU@10" not in out.splitlines()[0]


def test_boundary_figures_of_a_single_image_have_no_interval(runs: list[Run]) -> None:
    values = np.full((1, 3), 0.5)
    alone = replace(runs[0], trajectories=runs[0].trajectories[:1])
    (row,) = boundary_tables.make_table([alone], [values]).rows
    assert "0.5000" in row
    assert not any("nan" in cell for cell in row)
