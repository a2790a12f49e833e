"""`isbench compare`: what differs, and which runs are not compared."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from isbench.evaluation.runner import run
from isbench.evaluation.spec import make_spec
from isbench.storage import run_file, store
from isbench.types import Game, LoadedModel, Rules
from tests.conftest import write_folder_set
from tests.support import toys
from tests.test_docs import ROOT

Isbench = Callable[..., tuple[int, str, str]]
TOY = "tests.support.toys:card"


def test_compare_shows_the_difference_and_where_it_is(isbench: Isbench, out: Path) -> None:
    games = {1: [[0.5, 0.95, 0.95]] * 4, 3: [[0.5, 0.6, 0.95]] * 3 + [[0.95, 0.95, 0.95]]}
    for radius, ious in games.items():
        model = LoadedModel(toys.card, {"radius": radius})
        data = toys.Dataset("made", tuple(f"{key}#1" for key in "abcd"), toys.load_blob)
        spec = make_spec(model, data, Rules(3, 1.01), content="made")
        with run_file.open_run(out, spec) as file:
            assert file is not None
            for key, iou in zip("abcd", ious, strict=True):
                file.append(Game(toys.trajectory(f"{key}#1", iou), ()))
            file.seal()
    a, b = (store.parse_digest(path) for path in store.find(out))
    code, printed, _ = isbench("compare", a, b, "--runs", out)
    assert code == 0
    assert "NoC_3@90" in printed
    assert "objects that differ most" in printed
    assert "options differs" in printed
    code, printed, _ = isbench("compare", a, a, "--runs", out)
    assert "+0.00" in printed
    assert "1.0000" in printed


def test_runs_over_other_objects_are_not_compared(isbench: Isbench, out: Path) -> None:
    run(toys.card, toys.blobs(3), Rules(), out=out)
    run(toys.card, toys.blobs(4), Rules(seed=1), out=out)
    a, b = (store.parse_digest(path) for path in store.find(out))
    code, _, errors = isbench("compare", a, b, "--runs", out)
    assert code == 2
    assert "3 objects in common" in errors


def test_runs_over_different_data_are_not_compared(isbench: Isbench, tmp_path: Path) -> None:
    for number in range(2):
        root = write_folder_set(tmp_path / str(number) / "set", objects=2)
        if number:
            (root / "masks/picture00000__1.png").write_bytes(
                (root / "masks/picture00001__1.png").read_bytes()
            )
        isbench("run", "--model", TOY, "--dataset", f"folder:{root}", "--out", tmp_path / "runs")
    a, b = (store.parse_digest(path) for path in store.find(tmp_path / "runs"))
    code, _, errors = isbench("compare", a, b, "--runs", tmp_path / "runs")
    assert code == 2
    assert "over different data (fingerprint" in errors


def test_models_and_a_data_set_name_runs(isbench: Isbench) -> None:
    results = ROOT / "results"
    code, printed, said = isbench(
        "compare", "nearest", "random-walker", "--dataset", "davis", "--runs", results,
        "--label", "nearest=The nearest",
    )  # fmt: skip
    assert (code, said) == (0, "")
    assert "A  The nearest on davis (867640f26b54)" in printed
    for label in ("nearest=The nearest", "867640f26b54=The nearest"):  # one of its four runs
        code, printed, said = isbench(
            "compare", "nearest", "random-walker", "--runs", results, "--quote", "--label", label
        )
        assert (code, said) == (0, "")
        assert printed.startswith("The nearest has a NoC_20@90 of ")
    code, _, said = isbench(
        "compare", "csfpn-mini", "ritm-mini", "--dataset", "davis", "--runs", results
    )
    assert (code, said.count("\n")) == (0, 2)
    assert "csfpn-mini has 2 runs on davis; the one with its defaults is compared" in said
    code, _, said = isbench("compare", results / "sample", "nearest", "--runs", results)
    assert (code, said.count("\n")) == (2, 1)
    of_sample = len(list((results / "sample").glob("*.jsonl.gz")))
    assert f"sample matches {of_sample} runs; wanted one" in said
    listed = said.split(": ")[-1].split("; ")
    assert len(listed) == of_sample
    assert any(one.startswith("c81fcec12a4b nearest on sample (") for one in listed)
    played = len(list((results / "grabcut").glob("*.jsonl.gz")))
    of_model = len(list(results.glob("*/grabcut-*.jsonl.gz")))
    for words, told in (
        (["nearest", "grabcut", "--dataset", "daviss"], "did you mean davis? (--dataset)"),
        (["nearst", "grabcut"], "did you mean nearest?"),
        (
            ["grabcut", "nearest"],
            f"grabcut is a model ({of_model} runs) and a data set ({played} runs)",
        ),
        (["nearest", "", "--dataset", "davis"], "no run, model or data set"),
        (["867640f26b54", "bd6e792930f0", "--label", "x"], "wanted RUN=TEXT (--label)"),
        (["867640f26b54", "bd6e792930f0", "--label", "neares=x"], "did you mean nearest?"),
    ):
        code, _, said = isbench("compare", *words, "--runs", results)
        assert (code, said.count("\n")) == (2, 1), said
        assert told in said


def test_report_takes_models_and_data_sets(isbench: Isbench) -> None:
    results = ROOT / "results"
    of_sample = len(list((results / "sample").glob("*.jsonl.gz")))
    for words, count in (
        (["sample"], of_sample),
        (["nearest"], 4),
        (["nearest", "--dataset", "davis"], 1),
    ):
        code, printed, _ = isbench("report", *words, "--runs", results, "--format", "csv")
        assert code == 0
        assert printed.count("\n") == count + 1


def test_report_and_export_take_several_data_sets(isbench: Isbench) -> None:
    runs = ("--runs", ROOT / "results", "--dataset", "davis", "--dataset", "grabcut")
    code, printed, said = isbench("report", "nearest", "random-walker", *runs, "--format", "csv")
    assert (code, said) == (0, "")
    found = {(row["model"], row["dataset"]) for row in csv.DictReader(io.StringIO(printed))}
    assert found == {(m, d) for m in ("nearest", "random-walker") for d in ("davis", "grabcut")}
    code, printed, said = isbench("export", "nearest", *runs, "--format", "csv")
    assert (code, said) == (0, "")
    rows = csv.DictReader(io.StringIO(printed))
    assert {row["dataset"] for row in rows} == {"davis", "grabcut"}


def test_two_names_for_one_run_are_refused_and_one_run_compared_with_itself_is_noted(
    isbench: Isbench,
) -> None:
    runs = ("--runs", ROOT / "results", "--dataset", "sample")
    code, _, err = isbench("compare", "nearest", "grabcut", *runs, "--label", "nearest=A",
                           "--label", "nearest=B")  # fmt: skip
    assert code == 2
    assert "label is given twice for run c81fcec12a4b: 'A' and 'B'; wanted one (--label)" in err
    code, out, _ = isbench("compare", "nearest", "nearest", *runs)
    assert code == 0
    assert "note: A and B are the same run" in out
    assert "same run" not in isbench("compare", "nearest", "grabcut", *runs)[1]


def test_options_without_effect_are_named(isbench: Isbench, tmp_path: Path) -> None:
    results = ("--runs", ROOT / "results", "--dataset", "sample")
    missing = tmp_path / "missing"
    for words, said in (
        (
            ("report", "nearest", *results, "--pictures", 3, "--out", tmp_path),
            "without effect on what is asked for: --pictures, --out",
        ),
        (("report", "nearest", *results, "--format", "csv", "--layout", "runs"), ": --layout\n"),
        (("report", "nearest", *results, "--data", missing), f"there is no data folder {missing}"),
        (("compare", "nearest", "grabcut", *results, "--quote", "--worst", 3), ": --worst\n"),
    ):
        code, _, errors = isbench(*words)
        assert code == 0
        assert said in errors
        assert errors.count("\n") == 1


def test_lines_to_quote_are_followed_by_the_gate(isbench: Isbench) -> None:
    code, printed, _ = isbench(
        "compare", "nearest", "random-walker", "--runs", ROOT / "results", "--dataset", "davis",
        "--quote", "--fail-if", "noc90 > +0.2",
    )  # fmt: skip
    assert code == 0
    assert printed.startswith("nearest has a NoC_20@90 of ")
    assert "Outcome: PASS" in printed
