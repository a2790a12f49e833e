"""Old results are read as they were written, and a pickle that is more than data is refused."""

from __future__ import annotations

import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.datasets.registry import BUILT_IN
from isbench.errors import IsbenchError
from isbench.exchange.plain_pickle import PickledArray, load_plain
from isbench.exchange.ritm_pickle import list_figures, read_ritm_pickle, summarise_curves
from isbench.metrics import clicks_to, find_failures_ritm
from isbench.models.loading import load_model
from isbench.storage import store
from isbench.storage.imported import SUFFIX, read_imported, write_imported
from tests.support.recorded import record_on_davis

Command = Callable[..., tuple[int, str, str]]
OBJECTS = BUILT_IN["davis"].objects or 0


def make_ious(clicks: int = 20, stop: float = 0.9) -> list[Any]:
    """Return what the evaluator keeps: an array of single precision per object."""
    rng = np.random.default_rng(5)
    curves = []
    for _ in range(OBJECTS):
        curve = np.maximum.accumulate(rng.uniform(0.5, 1, clicks).astype(np.float32))
        solved = np.flatnonzero(curve >= stop)
        curves.append(curve[: solved[0] + 1] if len(solved) else curve)
    curves[0] = np.array([0.5, 0.9], np.float32)[: 2 if stop <= 0.9 else 0]
    return [one if len(one) else np.full(clicks, 0.7, np.float32) for one in curves]


def write(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.fixture
def analysis(tmp_path: Path) -> Path:
    """Return a pickle of --iou-analysis."""
    facts = {"dataset_name": "DAVIS", "model_name": "sbd_h18:last_NoBRS"}
    return write(tmp_path / "DAVIS_cvpr_NoBRS_20.pickle", {**facts, "all_ious": make_ious(stop=2)})


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["f4", "f8", ">f4", "i8", "?"])
def test_plain_values_come_back_in_every_protocol(protocol: int, kind: str) -> None:
    array = np.arange(6).astype(kind).reshape(2, 3)
    value = {"a": [1, 2.5, "ä", True, None, (1, 2, 3, 4), b"xy", 10**30], "n": array}
    value |= {"f": np.asfortranarray(array), "s": array[0, 1]}
    found = load_plain(pickle.dumps(value, protocol))
    assert found["a"] == value["a"]
    assert found["s"] == array[0, 1]
    for name in ("n", "f"):
        assert isinstance(found[name], PickledArray)
        assert np.array_equal(found[name].values, array)


class Runs:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_that_a_pickle_names_is_called(protocol: int, tmp_path: Path) -> None:
    target = tmp_path / "made"
    for one in (
        Runs(os.mkdir, str(target)),
        Runs(eval, f"__import__('os').mkdir({str(target)!r})"),
        Runs(getattr, "", "join"),
        Runs(np.memmap, str(target), "f4", "w+", 0, (3,)),
        OrderedDict(a=1),
        Path("x"),
        {1, 2},
        1j,
    ):
        with pytest.raises(ValueError, match=r"needs|uses"):
            load_plain(pickle.dumps([one], protocol))
    assert not target.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04cnumpy\ndtype\n}X\x04\x00\x00\x00nameX\x01\x00\x00\x00ysb.",  # sets attributes
        b"]r\xff\xff\xff\x7f.",  # a memo of two thousand million places
        b"cnumpy\ndtype\n(VO\ntR.",
        b"cnumpy\nndarray\n((I1000000000\nI1000000000\nttR.",
        b"Pid\n.", b"c_codecs\nencode\n(Vx\nVrot13\ntR.", b"", b".", b"\x80\xff.",
        b"cnumpy.core.multiarray\nscalar\n(I1\nI2\ntR.",
        pickle.dumps([np.array([{}])]),
        pickle.dumps(np.zeros(3))[:-9],
    ],
)  # fmt: skip
def test_a_hostile_or_broken_pickle_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load_plain(data)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_give_a_value_or_a_value_error(noise: bytes, at: int) -> None:
    whole = pickle.dumps({"all_ious": [np.zeros(3, np.float32)]}, 2)
    for data in (noise, whole[:at] + noise + whole[at + len(noise) :]):
        with suppress(ValueError):
            load_plain(data)


def test_curves_are_those_of_the_pickle_and_give_the_evaluators_figures(analysis: Path) -> None:
    curves = read_ritm_pickle(analysis, "davis")
    iou = np.stack(make_ious(stop=2))
    assert (curves.model, curves.max_clicks, curves.stop_iou) == ("sbd_h18:last_NoBRS", 20, 1.01)
    assert np.array_equal(np.float32(curves.iou), iou)
    figures = summarise_curves(curves)
    for percent in (80, 85, 90, 95):
        target = np.float32(percent / 100)  # as numpy compares single precision with a float
        assert figures[f"noc@{percent}"].value == pytest.approx(clicks_to(iou, target).mean())
    failed = find_failures_ritm(iou, np.float32(0.9)).sum()
    assert figures["nof_ritm@90"].value == failed
    assert figures["iou@5"].value == pytest.approx(iou[:, 4].mean(), abs=1e-7)


def test_games_that_stop_tell_no_figure_beyond_their_end(tmp_path: Path) -> None:
    path = write(tmp_path / "ious.pkl", make_ious())
    with pytest.raises(IsbenchError, match="names no model"):
        read_ritm_pickle(path, "davis")
    curves = read_ritm_pickle(path, "davis", "mine")
    figures = summarise_curves(curves)
    assert curves.stop_iou == 0.9
    assert curves.iou[0] == (0.5, 0.9)  # 0.9 in single precision reaches 0.9
    assert "noc@90" in figures
    assert not {"noc@95", "iou@5"} & figures.keys()


@pytest.mark.parametrize("clicks", [100, 120])
def test_long_games_have_the_figures_of_long_games(tmp_path: Path, clicks: int) -> None:
    iou = np.stack(make_ious(clicks, stop=2))
    path = write(tmp_path / "ious.pkl", list(iou))
    figures = summarise_curves(read_ritm_pickle(path, "davis", "mine", clicks))
    wanted = clicks_to(iou[:, :100], np.float32(0.95)).mean()
    assert figures["noc_100@95"].value == pytest.approx(wanted)


def test_limits_that_the_curves_contradict_are_refused(tmp_path: Path, analysis: Path) -> None:
    path = write(tmp_path / "ious.pkl", make_ious())
    for limits, words in (
        ((10, None), r"has \d+ clicks; wanted 1 to 10: name"),
        ((20, 0.8), r"continues after IoU 0\.8, at which its game ends: name"),
        ((20, 0.95), "ends after 2 clicks"),
    ):
        with pytest.raises(IsbenchError, match=words):
            read_ritm_pickle(path, "davis", "mine", *limits)
    with pytest.raises(IsbenchError, match="but grabcut has 50"):
        read_ritm_pickle(analysis, "grabcut")


@pytest.mark.parametrize("value", [3, [], {"all_ious": 1}, {"a": 1}, [["a"]], [[2.0]], [[]]])
def test_another_pickle_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="is not a pickle of the RITM evaluator"):
        read_ritm_pickle(write(tmp_path / "x.pkl", value), "davis", "mine")


def test_lists_in_lists_are_refused_before_they_are_unfolded(tmp_path: Path) -> None:
    nested: list[Any] = [0.5]
    for _ in range(9):
        nested = [nested] * 10  # as an array: a billion numbers
    path = write(tmp_path / "x.pkl", [nested])
    assert path.stat().st_size < 1000
    with pytest.raises(IsbenchError, match="is not a list of IoUs"):
        read_ritm_pickle(path, "davis", "mine")


def test_imported_results_of_more_clicks_than_fit_are_refused(
    analysis: Path, tmp_path: Path
) -> None:
    path = write_imported(tmp_path, read_ritm_pickle(analysis, "davis"))
    record = json.loads(path.read_text()) | {"max_clicks": 1000, "iou": [[1.0]] * 30_000}
    path.write_text(json.dumps(record))
    with pytest.raises(IsbenchError, match="30,000 objects of 1000 clicks are too many"):
        read_imported(path)


def test_what_is_imported_is_read_back_and_is_not_a_run(
    analysis: Path, tmp_path: Path, isbench: Command
) -> None:
    curves, out = read_ritm_pickle(analysis, "davis"), tmp_path / "runs"
    path = write_imported(out, curves)
    assert path.name.endswith(SUFFIX)
    assert read_imported(path) == curves
    assert store.find(out) == []
    code, _, said = isbench("compare", path, path)
    assert code == 2
    assert "not a run" in said
    code, _, said = isbench("report", path)
    assert code == 2
    assert "--imported" in said


@pytest.mark.parametrize("text", ["{}", "[]", '{"isbench_imported": 1}', "x"])
def test_another_file_holds_no_imported_results(text: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{SUFFIX}"
    path.write_text(text)
    with pytest.raises(IsbenchError, match="holds no imported results"):
        read_imported(path)


def test_the_report_shows_imported_figures_in_italics_with_their_source(
    analysis: Path, tmp_path: Path, isbench: Command
) -> None:
    out = tmp_path / "runs"
    record_on_davis(out, load_model("nearest"))
    code, printed, said = isbench(
        "import", "ritm-pickle", analysis, "--dataset", "davis", "--out", out
    )
    assert code == 0, said
    assert "they are not runs" in printed
    noc = next(
        figure.printed
        for figure in list_figures([read_ritm_pickle(analysis, "davis")])
        if figure.metric == "noc@90"
    )
    words = ("report", "--runs", out, "--imported", out / "imported", "--format", "markdown")
    code, printed, said = isbench(*words, "--published", "RITM")
    assert code == 0, said
    (row,) = (line for line in printed.splitlines() if "imported [" in line)
    assert row.startswith("| *davis* | *sbd")
    assert f"*{noc}*" in row
    assert "published and imported figures" in printed
    assert "imported from DAVIS" in printed
    page = tmp_path / "page.html"
    code, printed, said = isbench(*words, "--html", page, "--pictures", 0)
    assert (code, said.count("imported")) == (0, 0), said
    assert f"<i>{noc}</i>" in page.read_text()
    code, printed, said = isbench(*words[:-1], "csv")
    assert code == 0
    assert "csv has measured figures only" in said


def test_imported_results_of_another_number_of_objects_are_refused_in_reports(
    analysis: Path, tmp_path: Path, isbench: Command
) -> None:
    path = write_imported(tmp_path, read_ritm_pickle(analysis, "davis"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "iou": record["iou"][:9]}))
    code, _, said = isbench("report", "--imported", path, "--runs", tmp_path)
    assert code == 2
    assert f"has 9 objects, but davis has {OBJECTS}" in said


def test_figures_that_cannot_be_known_are_left_out(tmp_path: Path, isbench: Command) -> None:
    never = write(tmp_path / "ious.pkl", [np.full(20, 0.5, np.float32)] * OBJECTS)
    code, printed, said = isbench(
        "import", "ritm-pickle", never, "--dataset", "davis", "--model", "m", "--out", tmp_path
    )
    assert code == 0, said
    assert "20.00" in printed
    assert "nan" not in printed


def test_a_place_without_imported_results_is_an_error(tmp_path: Path, isbench: Command) -> None:
    record_on_davis(tmp_path / "runs", load_model("nearest"))
    words = ("--runs", tmp_path / "runs", "--imported", tmp_path)
    code, _, said = isbench("report", *words)
    assert code == 2
    assert "no imported results" in said
