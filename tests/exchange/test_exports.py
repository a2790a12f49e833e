"""Exports say what the records say, in the words of other tools."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation.runner import Silent, run
from isbench.exchange.click_frame import COLUMNS, make_click_frame
from isbench.exchange.model_index import format_eval_results, format_model_index
from isbench.exchange.yaml_text import format_yaml
from isbench.metrics import curves
from isbench.models.loading import load_model
from isbench.reporting.tables import compute_figures
from isbench.storage import records
from isbench.storage.masks import decode_rle
from isbench.storage.store import Run, parse_digest
from isbench.types import Rules
from tests.support.layouts import box, draw_picture, write

Command = Callable[..., tuple[int, str, str]]


def test_the_frame_has_a_row_per_object_and_click_with_the_recorded_iou(played: Run) -> None:
    frame = make_click_frame([played])
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == sum(len(game.clicks) for game in played.trajectories)
    table = frame.pivot_table(index="key", columns="click", values="iou")
    assert np.array_equal(table.to_numpy(), curves(played.trajectories, 3))
    assert frame.seconds.notna().all()
    assert set(frame.image) == {key.partition("#")[0] for key in frame.key}


def test_csv_and_json_have_the_rows_of_the_frame(folder: Path, isbench: Command) -> None:
    code, text, _ = isbench("export", "--runs", folder, "--format", "csv")
    assert code == 0
    code, listed, _ = isbench("export", "--runs", folder, "--format", "json")
    assert code == 0
    frame = pd.read_csv(io.StringIO(text))
    records = json.loads(listed)
    # read by Python: pandas before 3 may be one bit off
    assert [one["iou"] for one in records] == [
        float(line["iou"]) for line in csv.DictReader(io.StringIO(text))
    ]
    assert [one["positive"] for one in records] == frame.positive.tolist()


def test_a_click_that_was_not_timed_has_no_seconds(played: Run) -> None:
    assert make_click_frame([replace(played, seconds={})]).seconds.isna().all()


def test_texts_in_yaml_are_texts_and_numbers_are_numbers() -> None:
    yaml = pytest.importorskip("yaml")
    value = {
        "model-index": [{"name": 'a: "b"\n#\x1b😀\x85', "no": ["on", "1", "null", "~"]}],
        "numbers": [1, 0.25, 1e-7, 12345678901234.5, True, None],
        "empty": [{}, []],
        "2: odd key": "- x",
    }
    assert yaml.safe_load(format_yaml(value)) == value


def test_the_model_index_has_every_figure_of_the_run_and_says_how_it_was_played(
    played: Run,
) -> None:
    yaml = pytest.importorskip("yaml")
    (entry,) = yaml.safe_load(format_model_index([played]))["model-index"]
    (result,) = entry["results"]
    figures = compute_figures(played)
    assert entry["name"] == "nearest"
    assert {one["type"]: one["value"] for one in result["metrics"]}["noc@90"] == figures["noc@90"]
    assert all(one["value"] == figures[one["type"]] for one in result["metrics"])
    assert "seconds_per_click" not in {one["type"] for one in result["metrics"]}
    assert result["dataset"]["args"]["isbench_run"] == parse_digest(played.path)
    assert result["dataset"]["args"]["fingerprint"] == played.spec.fingerprint


def test_exports_of_fewer_clicks_say_so_and_name_seed_and_options(played: Run) -> None:
    yaml = pytest.importorskip("yaml")
    spec = replace(played.spec, options={"flip": True}, rules=replace(played.spec.rules, seed=4))
    run = replace(played, spec=spec)
    (entry,) = yaml.safe_load(format_model_index([run], max_clicks=2))["model-index"]
    facts = entry["results"][0]["dataset"]["args"]
    assert (facts["max_clicks"], facts["seed"], facts["option_flip"]) == (2, 4, "on")
    (first, *_) = yaml.safe_load(format_eval_results([run], "owner/name", max_clicks=2))
    assert "max_clicks 2, " in first["notes"]
    assert "seed 4, option_flip on" in first["notes"]


def test_hugging_face_reads_both_forms(played: Run) -> None:
    yaml = pytest.importorskip("yaml")
    pytest.importorskip("huggingface_hub")
    from huggingface_hub._eval_results import parse_eval_result_entries
    from huggingface_hub.repocard_data import model_index_to_eval_results

    url = "https://example.org/runs"
    index = yaml.safe_load(format_model_index([played], source_url=url))["model-index"]
    name, results = model_index_to_eval_results(index)
    assert name == "nearest"
    assert {one.dataset_name for one in results} == {"sample"}
    entries = yaml.safe_load(format_eval_results([played], "owner/benchmark", source_url=url))
    parsed = parse_eval_result_entries(entries)
    assert parsed[0].task_id == "sample_noc80"
    assert {one.source_url for one in parsed} == {url}


def test_eval_results_are_of_one_model_and_of_a_benchmark(played: Run) -> None:
    with pytest.raises(IsbenchError, match="wanted OWNER/NAME"):
        format_eval_results([played], "grabcut")
    other = replace(played, spec=replace(played.spec, model="other"))
    with pytest.raises(IsbenchError, match=r"nearest on sample, other on sample.*one model"):
        format_eval_results([played, other], "owner/benchmark")


@pytest.mark.parametrize("click", [1, 2, 9])
def test_coco_computes_the_recorded_iou_from_the_masks(
    click: int, played: Run, folder: Path, tmp_path: Path, isbench: Command
) -> None:
    out = tmp_path / "coco"
    words = ("--runs", folder, "--format", "coco-results", "--click", click, "--out", out)
    code, printed, said = isbench("export", *words)
    assert code == 0, said
    results, annotations = map(Path, printed.split())
    truth = COCO(str(annotations))
    found = truth.loadRes(str(results))
    clicks = min(click, 3)
    wanted = {game.key: game.overlap[clicks - 1] for game in played.trajectories}
    ids = {one["key"]: one["id"] for one in truth.dataset["annotations"]}
    assert len(found.dataset["annotations"]) == len(wanted) == 4
    for one in found.dataset["annotations"]:
        mask = decode_rle(one["segmentation"])
        object_mask = decode_rle(truth.anns[ids[one["key"]]]["segmentation"])
        overlap = int((mask & object_mask).sum()), int((mask | object_mask).sum())
        assert overlap == wanted[one["key"]]
        assert one["clicks"] == clicks
    assert set(ids) == set(load_dataset("sample", limit=4).keys)


def test_masks_that_are_not_the_recorded_ones_are_said_with_their_change_of_iou(
    played: Run, folder: Path, tmp_path: Path, isbench: Command
) -> None:
    first, line, *rest = gzip.decompress(played.path.read_bytes()).splitlines(keepends=True)
    game = json.loads(line)
    intersection, union = game["overlap"][0]
    game["overlap"][0] = [intersection, union + 1000]
    line = records.format_line(game)
    path = tmp_path / "runs" / "sample" / played.path.name
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"".join([first, line, *rest])))
    change = intersection / union - intersection / (union + 1000)
    words = ("--runs", tmp_path / "runs", "--format", "coco-results", "--click", 1)
    code, _, said = isbench("export", *words, "--out", tmp_path / "coco")
    assert code == 0
    assert "masks of 1 object are not exactly the recorded ones" in said
    assert f"their IoU differs by up to {change:.4f}" in said


def test_folders_of_one_name_have_annotations_of_their_own(
    tmp_path: Path, isbench: Command
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "coco"
    for number, parent in enumerate("ab"):
        folder = tmp_path / parent / "pictures"
        write(folder / "images" / "cat.png", draw_picture(number))
        write(folder / "masks" / "cat.png", box(255, 3, 4 + number))
        run(load_model("nearest"), load_dataset(f"folder:{folder}"), Rules(2), out=runs)
    words = ("--runs", runs, "--format", "coco-results", "--click", 1, "--out", out)
    code, printed, said = isbench("export", *words)
    assert code == 0, said
    assert len(set(printed.split())) == 4
    for found, truth in zip(*[iter(map(Path, printed.split()))] * 2, strict=True):
        COCO(str(truth)).loadRes(str(found))


def test_runs_over_other_objects_of_a_data_set_have_annotations_of_their_own(
    tmp_path: Path, isbench: Command
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "coco"
    model = load_model("nearest")
    for limit in (2, 1):
        dataset = load_dataset("sample", limit=limit)
        run(model, dataset, Rules(1, 1.01), out=runs, watch=Silent())
    words = ("--runs", runs, "--format", "coco-results", "--click", 1, "--out", out)
    code, printed, said = isbench("export", *words)
    assert code == 0, said
    files = printed.split()
    assert len(set(files)) == len(files) == 4
    counts = [len(json.loads(Path(file).read_text())["annotations"]) for file in files[1::2]]
    found = [len(json.loads(Path(file).read_text())) for file in files[::2]]
    assert sorted(counts) == [1, 2]
    assert found == counts


@pytest.mark.parametrize(
    ("form", "option"),
    [
        ("csv", ("--click", 3)),
        ("bundle", ("--max-clicks", 3)),
        ("json", ("--hub-dataset", "owner/name")),
        ("coco-results", ("--source-url", "https://example.org")),
    ],
)
def test_an_option_of_another_format_is_refused(
    form: str, option: tuple[object, ...], folder: Path, tmp_path: Path, isbench: Command
) -> None:
    words = ("--runs", folder, "--format", form, "--out", tmp_path / "out", *option)
    code, printed, said = isbench("export", *words)
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert f"{option[0]} was given with --format {form}" in said
    assert "leave it out" in said


def test_a_format_of_files_needs_a_place(folder: Path, isbench: Command) -> None:
    code, _, said = isbench("export", "--runs", folder, "--format", "bundle")
    assert code == 2
    assert "--out" in said
