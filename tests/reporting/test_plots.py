"""Plots as pictures: nothing is cut off, nothing is covered, and every curve can be recognised."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from isbench.errors import IsbenchError
from isbench.reporting.chosen_runs import choose_newest, choose_runs
from isbench.reporting.labels import make_labels
from isbench.reporting.plot_canvas import LEGEND_SIZE, measure, wrap
from isbench.reporting.plot_files import save_plot
from isbench.reporting.plots import MOST_CURVES, plot_biou_k, plot_iou_k, plot_noc_hist
from isbench.reporting.qualitative import QualitativeExample, Side
from isbench.reporting.qualitative_plot import plot_side_by_side
from isbench.storage.records import decode_trajectories
from isbench.storage.store import Run
from isbench.types import Click
from tests.support.toys import trajectory
from tests.test_docs import ROOT

Isbench = Callable[..., tuple[int, str, str]]
LONG = "a-rather-long-name-of-a-model-with-a-backbone-hrnet32-and-other_parts"


def make_runs(names: Sequence[str], dataset: str = "grabcut", objects: int = 6) -> list[Run]:
    """Return runs of these models, which stop at IoU 0.90 every second time."""
    (base,) = choose_runs(["c81fcec12a4b"], ROOT / "results" / "sample")[0]
    made = []
    for k, name in enumerate(names):
        rules = replace(base.spec.rules, stop_iou=1.01 if k % 2 else 0.9)
        ious = [min(0.99, 0.3 + 0.03 * n + 0.01 * k) for n in range(20)]
        end = next((n + 1 for n, iou in enumerate(ious) if iou >= rules.stop_iou), 20)
        games = decode_trajectories(trajectory(f"image{n}#1", ious[:end]) for n in range(objects))
        spec = replace(base.spec, model=name, dataset=dataset, rules=rules, objects=objects)
        path = Path(dataset, f"run-{k:012x}.jsonl.gz")
        made.append(replace(base, spec=spec, path=path, trajectories=games))
    return made


def check_layout(figure: Figure, least: float = 0.5) -> None:
    """Check that no text leaves the canvas or touches another, and that panels have most of it.

    `least` is the share of the canvas that the panels have.
    """
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas.draw()
    renderer = canvas.get_renderer()
    whole = figure.bbox
    out_of_view = find_undrawn(figure)
    texts = [
        (found.get_text(), found.get_window_extent(renderer))
        for found in figure.findobj(Text)
        if isinstance(found, Text)
        and found.get_visible()
        and found.get_text().strip()
        and id(found) not in out_of_view
    ]
    assert texts
    for text, box in texts:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= whole.x1, text
        assert box.y1 <= whole.y1, text
    for (text, box), (other, another) in combinations(texts, 2):
        assert not overlap(box, another, 1.0), (text, other)
    panels = [panel.get_window_extent(renderer) for panel in figure.axes]
    assert sum(box.width * box.height for box in panels) >= least * whole.width * whole.height
    for artist in [*figure.texts, *figure.artists]:  # titles, legend and notes cover no panel
        assert not any(overlap(artist.get_window_extent(renderer), box, 0.5) for box in panels)


def find_undrawn(figure: Figure) -> set[int]:
    """Return the labels of ticks outside the view, which matplotlib has and does not draw."""
    found = set()
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not low <= tick.get_loc() <= high:
                    found |= {id(tick.label1), id(tick.label2)}
    return found


def overlap(a: Bbox, b: Bbox, slack: float) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack


def draw_biou(runs: Sequence[Run], max_clicks: int) -> Figure:
    return plot_biou_k(runs, [np.linspace(0.1, 0.9, 120).reshape(6, 20)] * len(runs))


PLOTS = {"iou_k": plot_iou_k, "noc_hist": plot_noc_hist, "biou_k": draw_biou}


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("count", [1, 2, 5, 8, 12, 30])
def test_a_plot_of_any_number_of_runs_has_its_layout(plot: str, count: int) -> None:
    names = [f"{LONG if k % 3 else 'm'}-{k}" for k in range(count)]
    figure = PLOTS[plot](make_runs(names), 20)
    check_layout(figure)
    assert len(figure.axes) == (1 if count <= MOST_CURVES else count)


@pytest.mark.parametrize(
    "count", [2, pytest.param(4, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)]
)
def test_plots_of_several_data_sets_have_their_layout(count: int) -> None:
    for models in (2, 5, 10):
        runs = [
            run
            for n in range(count)
            for run in make_runs([f"{LONG}-{k}" for k in range(models)], f"set{n}")
        ]
        for draw in (plot_iou_k, plot_noc_hist):
            figure = draw(runs, 20)
            check_layout(figure)
            assert len(figure.axes) == (count if models <= MOST_CURVES else count * models)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["davis", "grabcut", "berkeley", "sample", ""])
@pytest.mark.parametrize("plot", ["iou_k", "noc_hist"])
def test_plots_of_the_committed_runs_have_their_layout(folder: str, plot: str) -> None:
    runs = choose_runs([ROOT / "results" / folder])[0]
    for shown in (runs, choose_newest(runs).runs):
        check_layout(PLOTS[plot](shown, 20))


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=90), min_size=1, max_size=4),
    st.integers(1, 120),
)
@settings(max_examples=8)
def test_any_name_and_any_number_of_clicks_has_its_layout(names: list[str], clicks: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        runs = make_runs([name or "none" for name in names])
        labels = {}
        figure = plot_iou_k(runs, clicks, labels)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    for found in figure.texts:
        box = found.get_window_extent(canvas.get_renderer())
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200), st.floats(0.3, 6))
@settings(max_examples=60)
def test_wrapping_loses_no_sign_and_keeps_to_the_width(text: str, width: float) -> None:
    lines = wrap(text, LEGEND_SIZE, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(len(line) <= 1 or measure(line, LEGEND_SIZE) <= width for line in lines)


def test_curves_differ_by_colour_and_marker_and_dashes_show_early_stops() -> None:
    (panel,) = plot_iou_k(make_runs([f"m{k}" for k in range(MOST_CURVES)]), 20).axes
    styles = [(line.get_color(), line.get_marker()) for line in panel.lines]
    assert len({colour for colour, _ in styles}) == len({mark for _, mark in styles}) == MOST_CURVES
    assert [line.get_linestyle() for line in panel.lines] == ["--", "-"] * (MOST_CURVES // 2)


def test_a_histogram_has_bars_for_up_to_three_runs_and_a_bar_for_never() -> None:
    for count in (1, 3):
        (panel,) = plot_noc_hist(make_runs([f"m{k}" for k in range(count)]), 20).axes
        assert len(panel.patches) == 21 * count
        assert sum(bar.get_height() for bar in panel.patches) == 6 * count
        assert panel.get_xticklabels()[-1].get_text() == "never"
    (panel,) = plot_noc_hist(make_runs([f"m{k}" for k in range(4)]), 20).axes
    assert not panel.patches
    for line in panel.lines:
        share = np.asarray(line.get_ydata(), float)
        assert (np.diff(share) >= 0).all()
        assert 0 <= share[0] <= share[-1] <= 1


def test_objects_without_a_scored_pixel_are_left_out_with_a_note() -> None:
    (run,) = make_runs(["m"])
    games = list(run.trajectories)
    empty = replace(games[0], overlap=tuple((0, 0) for _ in games[0].overlap))
    run = replace(run, trajectories=decode_trajectories([empty, *games[1:]]))
    figure = plot_iou_k([run], 20)
    assert np.isfinite(np.asarray(figure.axes[0].lines[0].get_ydata(), float)).all()
    assert any("1 object without a value left out" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("draw", [plot_iou_k, plot_noc_hist])
def test_runs_over_other_objects_are_not_drawn_together(draw: Callable[..., Figure]) -> None:
    runs = make_runs(["a", "b", "c"])
    other = replace(runs[2], spec=replace(runs[2].spec, keys="other"))
    with pytest.raises(IsbenchError, match="have different objects") as caught:
        draw([*runs[:2], other], 20)
    assert "000000000000, 000000000001 with 6 objects; 000000000002 with" in str(caught.value)
    other = replace(runs[2], spec=replace(runs[2].spec, fingerprint="other"))
    with pytest.raises(IsbenchError, match="have different files"):
        draw([*runs[:2], other], 20)


@pytest.mark.slow
@pytest.mark.parametrize("plot", ["iou_k", "noc_hist"])
@pytest.mark.parametrize("count", [1, 2, 5, 12, 30])
def test_files_show_the_whole_figure(plot: str, count: int, tmp_path: Path) -> None:
    runs = make_runs([f"{LONG}-{k}" for k in range(count)])
    paths = save_plot(runs, plot, 20, tmp_path)
    assert [path.suffix for path in paths] == [".png", ".svg"]
    picture = cv2.imread(str(paths[0]))
    assert picture is not None
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    assert all((edge == 255).all() for edge in edges)  # nothing runs into the edge
    assert paths[1].read_text().startswith("<?xml")


def test_out_may_name_the_file(tmp_path: Path) -> None:
    runs = make_runs(["m"])
    for kind in ("png", "svg", "pdf"):
        assert save_plot(runs, "ioa_k", 20, tmp_path / f"x.{kind}") == [tmp_path / f"x.{kind}"]
    (tmp_path / "folder.png").mkdir()
    assert len(save_plot(runs, "iou_k", 20, tmp_path / "folder.png")) == 2
    with pytest.raises(IsbenchError, match=r"wanted a folder, or a file that ends in \.png"):
        save_plot(runs, "iou_k", 20, tmp_path / "x.jpg")


def make_example(value: int, label: str) -> QualitativeExample:
    image = np.full((60, 80, 3), value, np.uint8)
    truth, mask = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    truth[10:30, 20:50] = True
    mask[20:40, 30:60] = True
    side = Side(label, mask, 0.5, 0.4, True)
    return QualitativeExample("image#1", image, truth, (Click(20, 30, True),), (side, side))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_outlines_are_seen_on_any_background(value: int) -> None:
    figure = plot_side_by_side([make_example(value, "m")])
    (contours,) = {len(panel.collections) for panel in figure.axes}
    assert contours == 4  # mask and truth, each on a black line
    colours = {tuple(np.round(one.get_edgecolor()[0][:3], 2)) for one in figure.axes[0].collections}
    assert {(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)} < colours


def test_pictures_keep_long_names_on_the_canvas() -> None:
    figure = plot_side_by_side([make_example(90, LONG)] * 2)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for found in (*figure.texts, *(panel.title for panel in figure.axes)):
        box = found.get_window_extent(canvas.get_renderer())
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_the_newest_full_run_of_each_model_is_drawn_unless_all_are_asked(
    isbench: Isbench, tmp_path: Path
) -> None:
    folder = ROOT / "results" / "davis"
    code, printed, said = isbench("report", folder, "--plot", "ioa_k", "--out", tmp_path / "x.png")
    assert (code, printed) == (0, f"{tmp_path / 'x.png'}\n")
    runs = choose_runs([folder])[0]
    kept = choose_newest(runs).runs
    assert f"{len(runs) - len(kept)} of {len(runs)} runs are not drawn" in said
    early = sum(run.spec.rules.stop_iou < 1 for run in kept)
    assert early >= 2
    assert f"games that stop at an IoU ({early} of {len(kept)} runs)" in said
    models = {run.spec.model for run in runs}
    assert {run.spec.model for run in kept} == models
    assert len(kept) == len(models) < len(runs)
    assert {run.spec.rules.stop_iou for run in kept if run.spec.model == "csfpn-mini"} == {1.01}
    named = ["9370", "87e60a7ecedb"]
    assert len(choose_newest(runs, named).runs) == len(kept) + 2
    later = replace(runs[1], meta=({"started": "2030-01-01"},))
    same = replace(later, path=Path("x-ffffffffffff.jsonl.gz"), meta=({"started": "2020-01-01"},))
    assert choose_newest([same, later]).runs == [later]
    copied = [replace(run, meta=()) for run in runs if run.spec.model == "csfpn-lite"]
    assert make_labels(choose_newest(copied).runs) == ["csfpn-lite"]  # with its default weights
    code, _, said = isbench(
        "report", folder, "--plot", "iou_k", "--all", "--out", tmp_path / "x.png"
    )
    assert code == 0
    assert "not drawn" not in said
    code, _, said = isbench(
        "report", folder, "--plot", "iou_k", "--plot", "noc_hist", "--out", tmp_path / "x.png"
    )
    assert (code, said.count("\n")) == (2, 1)
    assert "2 plots were asked for; name a folder (--out)" in said


@pytest.mark.slow
def test_a_name_of_any_length_is_drawn_in_a_bounded_time_and_size() -> None:
    for text in ("x" * 100_000, "x y" * 30_000, "é" * 5000):
        lines = wrap(text, 8.0, 3.0)
        assert sum(map(len, lines)) <= 400
        assert lines[-1].endswith("…")
