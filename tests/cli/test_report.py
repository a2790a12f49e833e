"""`isbench report`: tables, plots, and how runs are named."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from isbench.evaluation.runner import Silent, run
from isbench.reporting.text_table import make_terminal_tables
from isbench.storage import store
from isbench.storage.records import encode_spec, format_line
from isbench.types import Game, Rules
from tests.support import toys

Isbench = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("view", ["noc", "nof", "iou", "time", "all"])
@pytest.mark.parametrize("form", ["rich", "markdown", "latex", "csv"])
def test_every_table_prints_in_every_format(
    isbench: Isbench, played: Path, view: str, form: str
) -> None:
    code, printed, _ = isbench("report", "--runs", played, "--table", view, "--format", form)
    assert code == 0
    assert "nan" not in printed.lower()
    assert len([line for line in printed.splitlines() if "disks" in line]) in (1, 2)


def test_a_table_leaves_iou_at_k_of_early_stopped_games_blank(
    isbench: Isbench, played: Path
) -> None:
    _, printed, said = isbench("report", "--runs", played, "--table", "iou", "--format", "csv")
    rows = list(csv.reader(printed.splitlines()))
    column = rows[0].index("iou@5")
    assert sorted(row[column] == "" for row in rows[1:]) == [False, True]
    assert "--stop-iou 1.01" in said


@pytest.mark.parametrize("plot", ["iou_k", "ioa_k"])
def test_a_plot_of_early_stopped_games_says_how_to_get_full_ones(
    isbench: Isbench, played: Path, tmp_path: Path, plot: str
) -> None:
    code, _, said = isbench("report", "--runs", played, "--plot", plot, "--all", "--out", tmp_path)
    assert code == 0
    assert "games that stop at an IoU (1 of 2 runs)" in said
    assert "--stop-iou 1.01" in said


def test_a_longer_run_gives_the_figures_of_shorter_games(isbench: Isbench, played: Path) -> None:
    figures = {}
    for clicks in (20, 25):
        options = ("--table", "all", "--format", "csv", "--max-clicks", clicks)
        _, printed, _ = isbench("report", "--runs", played, *options)
        head, *rows = csv.reader(printed.splitlines())
        for row in rows:
            figures[clicks, row[head.index("run")]] = dict(zip(head, row, strict=True))
    (full,) = {run for _, run in figures if figures[20, run]["iou@5"]}
    (early,) = {run for _, run in figures} - {full}
    assert figures[20, full]["budget"] == "20"
    assert figures[25, full]["budget"] == "25"
    assert figures[20, full]["noc@90"] == figures[20, early]["noc@90"]
    assert figures[20, full]["nof@90"] == figures[20, early]["nof@90"]


@pytest.mark.parametrize("plot", ["iou_k", "ioa_k", "noc_hist"])
def test_plots_are_written_as_png_and_svg(
    isbench: Isbench, played: Path, tmp_path: Path, plot: str
) -> None:
    code, printed, _ = isbench("report", "--runs", played, "--plot", plot, "--out", tmp_path / "p")
    assert code == 0
    name = plot.replace("ioa", "iou")
    picture = cv2.imread(str(tmp_path / "p" / f"{name}.png"))
    assert picture is not None
    assert picture.std() > 1
    assert (tmp_path / "p" / f"{name}.svg").read_text().startswith("<?xml")
    assert printed.count("\n") == 2


def test_a_run_is_named_by_file_folder_or_digest(isbench: Isbench, played: Path) -> None:
    path = store.find(played)[0]
    digest = store.parse_digest(path)
    for name in (path, path.parent, digest[:5]):
        code, printed, _ = isbench("report", name, "--runs", played)
        assert code == 0
        assert digest in printed


def test_unfinished_runs_are_left_out_and_named(isbench: Isbench, played: Path) -> None:
    class Impatient(Silent):
        def add_game(self, game: Game) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toys.card, toys.blobs(3), Rules(), out=played, watch=Impatient())
    code, _, said = isbench("report", "--runs", played)
    assert code == 0
    assert "not finished (1 object so far)" in said


def test_runs_under_other_rules_are_distinguished(isbench: Isbench, out: Path) -> None:
    for rules in (Rules(), Rules(clicker="largest"), Rules(clicker="random", seed=4)):
        run(toys.card, toys.blobs(4), rules, out=out)
    _, printed, _ = isbench("report", "--runs", out)
    assert "clicker largest" in printed
    assert "clicker random" in printed
    _, printed, _ = isbench("report", "--runs", out, "--format", "csv")
    rows = list(csv.DictReader(printed.splitlines()))
    assert {(row["clicker"], row["seed"]) for row in rows} == {
        ("centre", "0"), ("largest", "0"), ("random", "4"),
    }  # fmt: skip


def test_a_view_wider_than_the_terminal_is_turned(played: Path) -> None:
    from rich.console import Console

    from isbench.reporting import tables
    from isbench.reporting.chosen_runs import choose_runs

    table = tables.make_rows(choose_runs([], played)[0])
    for width in (60, 80, 200):
        console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
        for drawn in make_terminal_tables(tables.make_table(table, "noc"), width):
            console.print(drawn)
        console.file.close()
        text = console.export_text()
        assert "…" not in text
        assert text.count("NoC@90") >= 1


def test_a_damaged_run_does_not_hide_the_others_unless_it_is_named(
    isbench: Isbench, played: Path
) -> None:
    bad = played / "blobs" / "bad-000000000000.jsonl.gz"
    bad.write_bytes(b"no gzip")
    code, printed, said = isbench("report", "--runs", played)
    assert code == 0
    assert "bad-000000000000" in said
    assert "disks" in printed
    assert isbench("report", bad)[0] == 2


def test_of_runs_on_other_data_sets_only_the_first_line_is_read(
    isbench: Isbench, played: Path
) -> None:
    (path,) = {path for path in store.find(played) if store.read_spec(path).rules.max_clicks == 25}
    first = store.read_spec(path)
    elsewhere = replace(first, dataset="elsewhere")
    other = store.locate_run(played, elsewhere)
    other.parent.mkdir()
    other.write_bytes(gzip.compress(format_line(encode_spec(elsewhere))))
    code, _, said = isbench("report", "--runs", played, "--dataset", first.dataset)
    assert (code, "left out" in said) == (0, False)
    code, _, said = isbench("report", "--runs", played)
    assert (code, "its 0 objects are not the" in said) == (0, True)
