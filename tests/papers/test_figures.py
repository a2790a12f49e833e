"""Figures of papers: their data come from recorded full games alone."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from csfpn.paper.tables import TABLE1, paper
from isbench.errors import IsbenchError
from isbench.metrics import IOU_AT, find_metric, summarise
from isbench.models.registry import load_card
from isbench.papers import Paper, PaperFigure, Question, Row
from isbench.papers.figure_files import draw_figures
from isbench.papers.figures import find_shown, format_data
from isbench.papers.register import Register, TrainedWeights
from isbench.papers.registry import load_paper
from isbench.papers.reproduction import write_tables
from isbench.papers.rows import project_rows
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.tables import collect_games
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import LoadedModel, Rules
from tests.support.recorded import record_on_davis, with_weights

Isbench = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("no_bundled_weights")
FULL = Rules(20, 1.01)
A, B, C, D = project_rows("ritm-mini", "nearest", "csfpn-mini", "grabcut")
CURVES = PaperFigure("3", "curves", "iou_k", (A, B), ("davis",))
PICTURES = PaperFigure("4", "masks", "pictures", (A, C, B, D), ("davis",), 5, objects=2)
DAVIS = Question("davis", 20, "noc@90")


def record(folder: Path, row: Row, rules: Rules = FULL, ious: tuple[float, ...] = ()) -> Run:
    card = load_card(row.model)
    is_plain = card.networks is None
    model = LoadedModel(card, card.options) if is_plain else with_weights(card, "ab" * 32)
    return record_on_davis(folder, model, rules, ious=list(ious) or [0.5, 0.8, 0.95])


def read_lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_curves_show_the_mean_iou_after_each_click_of_their_runs(tmp_path: Path) -> None:
    run = record(tmp_path, A)
    lines = read_lines(format_data(CURVES, find_shown(CURVES, [run])))
    assert [int(line["clicks"]) for line in lines] == list(range(1, 21))
    assert {line["run"] for line in lines} == {store.parse_digest(run.path)}
    games = collect_games(run, 20)
    for k in IOU_AT:
        metric = find_metric(f"iou@{k}")
        value = summarise([metric], games)[metric.key].value
        assert float(lines[k - 1]["iou"]) == pytest.approx(value, abs=1e-6)


def test_games_that_stop_early_are_in_no_figure(tmp_path: Path) -> None:
    runs = [record(tmp_path, A, Rules(20, 0.90)), record(tmp_path, A, Rules(100, 0.90))]
    assert find_shown(CURVES, runs) == []
    full = record(tmp_path, A)
    assert [one.run for one in find_shown(CURVES, [*runs, full])] == [full]


def test_without_runs_the_data_are_a_head_alone() -> None:
    for figure in (CURVES, PICTURES):
        assert format_data(figure, find_shown(figure, [])).count("\n") == 1


def test_pictures_show_the_first_pair_of_which_both_have_runs(tmp_path: Path) -> None:
    a, b, c, d = (record(tmp_path, row) for row in (A, B, C, D))
    assert [one.row for one in find_shown(PICTURES, [a, b, c, d])] == [A, C]
    assert [one.row for one in find_shown(PICTURES, [a, b, d])] == [B, D]
    assert find_shown(PICTURES, [a, b]) == []


def test_pictures_list_the_objects_of_the_largest_distance_first(tmp_path: Path) -> None:
    runs = [record(tmp_path, A, ious=(0.1, 0.2)), record(tmp_path, C, ious=(0.5, 0.9))]
    lines = read_lines(format_data(PICTURES, find_shown(PICTURES, runs)))
    assert len(lines) == 2 * PICTURES.objects
    assert {line["model"] for line in lines} == {A.name, C.name}
    assert all(line["clicks"] == "5" for line in lines)
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    distances = [abs(float(one["iou"]) - float(other["iou"])) for one, other in pairs]
    assert distances == sorted(distances, reverse=True)
    assert all(one["object"] == other["object"] for one, other in pairs)


def test_a_figure_is_drawn_as_png_and_svg_where_it_is_wanted(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    record(runs, A)
    small = Paper("small", "A small paper", (), figures=(CURVES, PICTURES))
    for out, folder in ((None, runs), (tmp_path / "plots", tmp_path / "plots")):
        files = draw_figures(small, ["3", "3"], results=runs, out=out)
        assert files == [folder / "figure3.png", folder / "figure3.svg"]
        assert files[0].read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in files[1].read_bytes()
    with pytest.raises(IsbenchError, match=r"no run in .* shows figure 4 of small"):
        draw_figures(small, ["4"], results=runs)
    with pytest.raises(IsbenchError, match="no figure of small named '5'"):
        draw_figures(small, ["5"], results=runs)


@pytest.mark.usefixtures("cheap_tables")
def test_data_of_a_figure_that_say_other_than_the_records_are_a_drift(
    isbench: Isbench, tmp_path: Path
) -> None:
    record(tmp_path, A)
    write_tables(load_paper(), choose_runs((), tmp_path)[0], tmp_path)
    check = ("reproduce", "--check", "--budget", "none", "--results", tmp_path)
    assert isbench(*check)[0] == 0
    path = tmp_path / "figure3.csv"
    path.write_text(path.read_text().replace(",0.500000,", ",0.600000,", 1))
    code, _, said = isbench(*check)
    assert code == 1
    assert f"{path} has: " in said
    assert f"{path} lacks: " in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "figure 3"}, "named 'figure 3'"),
        ({"plot": "noc_hist"}, "no plot of figure 3 named 'noc_hist'"),
        ({"plot": "pictures", "rows": (A,)}, "has 1 rows and 1 data sets"),
        ({"plot": "pictures", "datasets": ("davis", "sbd")}, "has 2 rows and 2 data sets"),
    ],
)
def test_a_figure_whose_values_do_not_fit_is_refused(changes: Mapping[str, Any], said: str) -> None:
    values = {"name": "3", "title": "x", "plot": "iou_k", "rows": (A, B), "datasets": ("davis",)}
    with pytest.raises(IsbenchError, match=said):
        PaperFigure(**{**values, **changes})


def test_the_runs_of_the_paper_s_figures_are_those_of_table_1() -> None:
    assert TABLE1.add_rows is not None
    rows = {*TABLE1.rows, *TABLE1.add_rows(("ritm-lite", "csfpn-lite"))}
    datasets = {question.dataset for question in TABLE1.questions}
    for figure in paper.figures:
        assert set(figure.rows) <= rows
        assert set(figure.datasets) <= datasets
        assert TABLE1.rules.max_clicks >= figure.max_clicks
        assert TABLE1.rules.stop_iou > 1


def test_a_figure_counts_registered_weights(tmp_path: Path) -> None:
    row = A._replace(weights="more")
    figure = PaperFigure("3", "curves", "iou_k", (row,), ("davis",))
    run = record(tmp_path, A)
    assert find_shown(figure, [run]) == []
    weights = TrainedWeights(
        ("ritm-mini",), "more", "ab" * 32, "", 0, 1, "p", "l", "CPU", "t", "{}"
    )
    assert [one.run for one in find_shown(figure, [run], Register((weights,)))] == [run]


def test_every_figure_of_the_committed_data_has_its_run() -> None:
    results = Path(__file__).parents[2] / "results"
    digests = {store.parse_digest(path) for path in store.find(results)}
    for figure in paper.figures:
        lines = read_lines((results / f"figure{figure.name}.csv").read_text())
        assert {line["run"] for line in lines} <= digests
