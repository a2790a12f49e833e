"""The pages of reports and comparisons: what is in them, and how they behave in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation.runner import run
from isbench.exchange.bundle import write_bundle
from isbench.metrics import count_overlap
from isbench.metrics.boundary import compute_boundary_iou
from isbench.models.loading import load_model
from isbench.reporting import boundary_tables, html_report
from isbench.reporting.checklist import make_checklist
from isbench.reporting.html_report import ReportPictures
from isbench.reporting.page import make_page
from isbench.reporting.recorded_masks import recompute_masks
from isbench.reporting.templates import read_template
from isbench.storage import saved_masks, store
from isbench.storage.masks import decode_rle
from isbench.storage.store import Run
from isbench.types import Dataset, Rules
from tests.support.browser import chromium, complaints
from tests.support.layouts import box, draw_picture, write
from tests.test_docs import ROOT

Isbench = Callable[..., tuple[int, str, str]]
RULES = Rules(5, 1.01)
T = TypeVar("T")


@pytest.fixture(scope="module")
def sample() -> Dataset:
    return load_dataset("sample", limit=6)


@pytest.fixture(scope="module")
def runs(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Return two runs, the first with its masks saved, the second without."""
    out = tmp_path_factory.mktemp("runs")
    card = load_model("nearest")
    weak = load_model("grabcut", {"iterations": "1"})
    return [
        run(card, sample, RULES, out=out, save_masks=True),
        run(weak, sample, RULES, out=out),
    ]


def data_of(page: Path) -> dict[str, Any]:
    return read_data(page.read_text())


def read_data(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html)
    assert found
    return dict(json.loads(found[1]))


def test_saved_masks_are_those_that_are_played_again(sample: Dataset, runs: list[Run]) -> None:
    saved = list(recompute_masks(runs[0], sample, sample.keys, 5))
    assert all(one.exact for one in saved)
    bare = replace(runs[0], path=runs[0].path.with_name("elsewhere-0.jsonl.gz"))
    for one, again in zip(saved, recompute_masks(bare, sample, sample.keys, 5), strict=True):
        assert len(one.masks) == len(one.game.clicks)
        assert all(np.array_equal(a, b) for a, b in zip(one.masks, again.masks, strict=True))
        truth, ignore = one.sample.truth, one.sample.ignore
        assert [count_overlap(mask, truth, ignore) for mask in one.masks] == list(one.game.overlap)


def test_saving_masks_changes_no_byte_of_the_run(tmp_path: Path, sample: Dataset) -> None:
    plain = run(load_model("nearest"), sample, RULES, out=tmp_path / "plain")
    for workers in (1, 2):
        kept = run(
            load_model("nearest"), sample, RULES, out=tmp_path / str(workers), workers=workers,
            save_masks=True,
        )  # fmt: skip
        assert kept.path.read_bytes() == plain.path.read_bytes()
        assert set(saved_masks.read(kept.path, sample.keys)) == set(sample.keys)
        assert store.find(tmp_path / str(workers)) == [kept.path]


def test_every_object_is_on_the_page_once_with_the_masks_of_its_game(
    isbench: Isbench, runs: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    place = tmp_path / "report.html"
    paths = [one.path for one in runs]
    code, _, said = isbench("report", *paths, "--html", place, "--pictures", 4)
    assert code == 0, said
    found = data_of(place)
    (objects,) = (one["objects"] for one in found["sets"])
    assert sorted(one["key"] for one in objects) == sorted(sample.keys)
    pictured = {one["key"]: one["picture"] for one in objects if one["picture"] is not None}
    assert len(pictured) == 4
    assert sorted(pictured.values()) == [0, 1, 2, 3]
    for key, at in pictured.items():
        picture, shown = found["pictures"][at], sample.load(key)
        for game, played in zip(picture["games"], found["sets"][0]["runs"], strict=True):
            label = found["runs"][played]["label"]
            whole = next(one for one in runs if label.startswith(one.spec.model))
            trajectory = next(one for one in whole.trajectories if one.key == key)
            assert game["exact"]
            assert game["iou"] == [round(i / u, 4) for i, u in trajectory.overlap]
            size = {"size": [picture["rows"], picture["cols"]]}
            mask = decode_rle({**size, "counts": game["masks"][-1]})
            truth = decode_rle({**size, "counts": picture["truth"]})
            small = np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)
            assert small == pytest.approx(game["iou"][-1], abs=0.03)  # it is shown smaller
        assert shown.truth.mean() == pytest.approx(
            next(one["size"] for one in objects if one["key"] == key), abs=1e-5
        )


def test_a_page_asks_for_no_other_file(isbench: Isbench, runs: list[Run], tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    assert isbench("report", runs[0].path, "--html", place, "--pictures", 1)[0] == 0
    text = re.sub(r'<script type="application/json".*?</script>', "", place.read_text())
    text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not a place
    assert not re.search(r"https?://|src=|@import|url\(", text)


def test_names_from_the_data_are_no_tags(runs: list[Run], sample: Dataset) -> None:
    nasty = "</script><b>&"
    spec = replace(runs[0].spec, model=nasty, dataset=nasty)
    text = html_report.render_page(
        nasty,
        [replace(runs[0], spec=spec)],
        5,
        ReportPictures(),
        {},
        nasty,
        read_template("report"),
    )
    assert nasty not in text
    assert "<b>" not in text


def test_pictures_keep_to_their_limit(
    runs: list[Run], sample: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    games = list(recompute_masks(runs[0], sample, sample.keys, 5))
    one = len(json.dumps(html_report.encode_picture(games[:1])))
    monkeypatch.setattr(html_report, "LIMIT", one)
    filled = ReportPictures()
    assert filled.add("sample", games[:1])
    assert not filled.add("sample", games[1:2])
    assert len(filled.pictures) == 1


def test_without_the_data_there_is_a_page_without_pictures(
    isbench: Isbench, runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isbench.evaluation.replay.fingerprint", lambda dataset: "others")
    place = tmp_path / "report.html"
    code, _, said = isbench("report", runs[0].path, "--html", place)
    assert code == 0
    assert ": run" in said
    data = data_of(place)
    assert data["pictures"] == []
    assert max(one["noc"][0] for one in data["sets"][0]["objects"]) == RULES.max_clicks


def test_the_boundary_of_a_run_is_that_of_its_masks(runs: list[Run], sample: Dataset) -> None:
    games = list(recompute_masks(runs[0], sample, sample.keys, 5))
    values = boundary_tables.compute_boundaries(runs[0], 20)
    assert values.shape == (6, 5)
    for row, game in zip(values, games, strict=True):
        truth, ignore = game.sample.truth, game.sample.ignore
        assert row.tolist() == [compute_boundary_iou(mask, truth, ignore) for mask in game.masks]
    table = boundary_tables.make_table(runs[:1], [values])
    at = table.heads.index("BIoU@5")
    assert table.rows[0][at].startswith(f"{values[:, 4].mean():.4f} [")
    short = replace(runs[0], spec=replace(runs[0].spec, rules=Rules(5, 0.9)))
    # what comes later is not known
    assert "BIoU@5" not in boundary_tables.make_table([short], [values]).heads


def test_python_makes_the_page_that_the_command_writes(
    isbench: Isbench, runs: list[Run], tmp_path: Path
) -> None:
    labels = []

    def listen(things: Iterable[T], total: int, label: str) -> Iterable[T]:
        labels.append((label, total))
        return things

    made = make_page(runs, 5, 3, pair=True, track=listen)
    asked = [one.path for one in runs]
    assert isbench("compare", *asked, "--html", tmp_path / "c.html", "--pictures", 3)[0] == 0
    assert made == (made.html, None)
    assert (tmp_path / "c.html").read_text() == made.html
    assert labels == [("objects of sample", 6), ("pictures of sample", 3)]


def test_a_run_without_its_model_leaves_the_pictures_of_others(runs: list[Run]) -> None:
    gone = replace(runs[1], spec=replace(runs[1].spec, model="removed-model"), path=Path("gone"))
    html, fault = make_page([runs[0], gone], 5, 3)
    assert "removed-model" in str(fault)
    found = read_data(html)
    assert "Masks of some runs are missing" in found["note"]
    assert len(found["pictures"]) == 3
    for drawn in found["pictures"]:
        shown, missing = drawn["games"]
        assert shown["masks"]
        assert missing is None


def test_a_data_set_without_masks_leaves_the_pictures_of_others(
    runs: list[Run], tmp_path: Path
) -> None:
    write(tmp_path / "set" / "images" / "cat.png", draw_picture(1))
    write(tmp_path / "set" / "masks" / "cat.png", box(255, 3, 4))
    dataset = load_dataset(f"folder:{tmp_path / 'set'}")
    played = run(load_model("nearest"), dataset, RULES, out=tmp_path)
    gone = replace(played, spec=replace(played.spec, model="removed-model"), path=Path("gone"))
    html, fault = make_page([gone, runs[0]], 5, 4)
    assert "removed-model" in str(fault)
    found = read_data(html)
    assert len(found["pictures"]) == 2
    assert found["note"].startswith("Masks of some runs are missing")


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: make_checklist([]),
        lambda folder: make_page([], 5, 3),
        lambda folder: write_bundle(folder / "b.zip", []),
    ],
)
def test_no_run_is_an_error_that_says_so(make: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match="no run is given; wanted at least 1"):
        make(tmp_path)


def test_a_comparison_is_of_two_runs(runs: list[Run]) -> None:
    with pytest.raises(IsbenchError, match="3 runs to compare; wanted 2"):
        make_page([*runs, runs[0]], 5, 0, pair=True)


def test_a_page_without_data_says_why_it_has_no_pictures(runs: list[Run]) -> None:
    away = [replace(one, spec=replace(one.spec, dataset="grabcut")) for one in runs]
    html, fault = make_page(away, 5, 3, Path("nowhere"))
    assert str(fault).startswith("data set grabcut is not in nowhere")
    assert "No pictures: data set grabcut is not in nowhere" in html


def test_boundaries_are_printed_and_drawn(
    isbench: Isbench, runs: list[Run], tmp_path: Path
) -> None:
    asked = ["--table", "biou", "--plot", "biou_k", "--format", "markdown", "--out", tmp_path]
    code, out, said = isbench("report", *(one.path for one in runs), *asked)
    assert code == 0, said
    assert "BIoU@5" in out
    assert {path.name for path in tmp_path.iterdir()} == {"biou_k.png", "biou_k.svg"}


def test_runs_over_other_objects_share_no_page(
    isbench: Isbench, runs: list[Run], tmp_path: Path
) -> None:
    fewer = run(load_model("nearest"), load_dataset("sample", limit=3), RULES, out=tmp_path)
    asked = ["report", runs[1].path, fewer.path, "--html", tmp_path / "r.html"]
    code, _, said = isbench(*asked)
    assert (code, said.count("\n")) == (2, 1)
    assert "the runs over sample have different objects" in said


def test_what_cannot_be_done_is_one_line(isbench: Isbench, runs: list[Run], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    paths = [one.path for one in runs]
    for words, remark in (
        (
            ["report", paths[0], "--html", tmp_path / "file" / "r.html", "--pictures", 0],
            "cannot write",
        ),
        (["report", "feedfeed", "--runs", paths[0].parent, "--html", "r.html"], "data set below"),
        (["report", paths[0], "--html", "r.html", "--pictures", -1], "pictures is -1"),
        (["compare", *paths, "--html", tmp_path / "r.html", "--pictures", -1], "pictures is -1"),
    ):
        code, _, said = isbench(*words)
        assert (code, said.count("\n")) == (2, 1), said
        assert remark in said


def test_runs_over_other_data_are_not_answered(runs: list[Run], sample: Dataset) -> None:
    other = replace(sample, name="other")
    with pytest.raises(IsbenchError, match="was not played on the local files of sample"):
        next(recompute_masks(runs[0], other, sample.keys, 5))


@pytest.mark.slow
def test_a_page_in_a_browser(isbench: Isbench, runs: list[Run], tmp_path: Path) -> None:
    place = tmp_path / "compared.html"
    paths = [one.path for one in runs]
    assert isbench("compare", *paths, "--html", place, "--pictures", 3)[0] == 0
    with chromium(tmp_path / "profile") as browser:
        browser.get(place.as_uri())

        def find(selector: str) -> list[Any]:
            return list(browser.find_elements("css selector", selector))

        assert find("#charts h3")[0].text == "NoC@90, object by object"
        names = [one.text for one in find("#list tbody td:first-child")]
        assert len(names) == 6
        find("#list th button")[0].click()  # by name, upwards
        assert [one.text for one in find("#list tbody td:first-child")] == sorted(names)
        find("#list th button")[0].click()
        assert [one.text for one in find("#list tbody td:first-child")] == sorted(names)[::-1]
        find("#words")[0].send_keys(names[0])
        assert [one.text for one in find("#list tbody td:first-child")] == [names[0]]
        find("#list tbody tr.has")[0].click()
        assert find("#object-title")[0].text == names[0]
        assert find("#object-rank")[0].text == "Number 1 of 1 by name."
        assert len(find("#sides canvas")) == 2
        before = browser.execute_script("return document.querySelector('canvas').toDataURL()")
        slider = find("#slider")[0]
        slider.send_keys("\ue011")  # Home: the first click
        assert slider.get_attribute("value") == "1"
        assert "after 1 click:" in find("#sides figcaption")[0].text
        after = browser.execute_script("return document.querySelector('canvas').toDataURL()")
        assert before != after
        assert complaints(browser) == []


@pytest.mark.slow
def test_a_page_fits_its_window(isbench: Isbench, runs: list[Run], tmp_path: Path) -> None:
    pair, many = tmp_path / "pair.html", tmp_path / "many.html"
    paths = [one.path for one in runs]
    assert isbench("compare", *paths, "--html", pair, "--pictures", 3)[0] == 0
    davis = sorted((ROOT / "results" / "davis").glob("*.jsonl.gz"))[:25]
    assert isbench("report", *davis, "--html", many, "--pictures", 0)[0] == 0
    with chromium(tmp_path / "profile") as browser:

        def measure(selector: str, side: str) -> list[float]:
            script = f"return [...document.querySelectorAll('{selector}')].map((e) => e.{side})"
            return [float(one) for one in browser.execute_script(script)]

        for page in (pair, many):
            browser.set_window_size(1300, 900)
            browser.get(page.as_uri())
            for box in ("#tables > div", "#objects .wide"):
                widths = zip(measure(box, "scrollWidth"), measure(box, "clientWidth"), strict=True)
                assert all(inside <= outside for inside, outside in widths), (page, box)
            assert measure("html", "scrollWidth") == measure("html", "clientWidth")
        # more runs than the window has room for: the list scrolls, the names of objects stay
        browser.set_window_size(700, 900)
        browser.execute_script("document.querySelector('#objects .wide').scrollLeft = 1e6")
        assert measure("#objects .wide", "scrollLeft")[0] > 0
        assert measure("html", "scrollWidth") == measure("html", "clientWidth")
        (name, *_), (left, *_) = (
            [one.rect["x"] for one in browser.find_elements("css selector", selector)]
            for selector in ("#list tbody td:first-child", "#objects .wide")
        )
        assert name == pytest.approx(left, abs=1)
        heads = [one.text for one in browser.find_elements("css selector", "#list th")]
        assert heads[1].startswith("mean NoC@90")
        assert heads[2] == "disagreement"
        browser.get(pair.as_uri())
        wide = measure("#sides canvas", "clientWidth")
        browser.set_window_size(1900, 900)
        assert measure("#sides canvas", "clientWidth")[0] > wide[0]  # pictures grow
        browser.set_window_size(800, 900)
        assert len(set(measure("#sides canvas", "offsetTop"))) == 1  # side by side
        (rank,) = browser.find_elements("css selector", "#object-rank")
        assert rank.text.startswith("Number 1 of 6 by disagreement (")
        browser.find_element("css selector", "#words").send_keys("no such object")
        (cell,) = browser.find_elements("css selector", "#list tbody td")
        assert cell.text.startswith("No object matches")
        assert rank.text == "Not in the list, which the filters shorten."
        heads = [one.text for one in browser.find_elements("css selector", "#list th.group")]
        assert heads == ["nearest", "grabcut"]
        assert complaints(browser) == []
