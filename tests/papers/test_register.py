"""The register of a results folder: weights by digest, and times that outlive the meta files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from benchmarks.register_weights import read_weights
from isbench.cli import reproduce
from isbench.errors import IsbenchError
from isbench.files.digests import digest_file
from isbench.models.known_weights import list_weights
from isbench.models.registry import list_model_names, load_card
from isbench.papers import Row
from isbench.papers.candidates import make_candidate
from isbench.papers.register import (
    SECONDS,
    WEIGHTS,
    ClickTime,
    Register,
    TrainedWeights,
    add_weights,
    read_register,
    write_times,
)
from isbench.papers.requirements import list_requirements
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.machine_load import Load
from isbench.storage import store
from isbench.storage.environment import describe_processor
from isbench.training.weight_card import CARD, read_card
from tests.support.recorded import (
    record_network_run,
    record_on_davis,
    save_random_weights,
    with_weights,
)

Isbench = Callable[..., tuple[int, str, str]]
DIGEST, BASE = "ab" * 32, "cd" * 32
HEAD = "models,weights,sha256,base,seed,samples,data,licence,device,command,recipe"
COMMAND = "isbench train ritm-mini --set seed=1"
LINE = (
    f"ritm-mini fbrs-lite,more,{DIGEST},{BASE},1,100000,pack:train 0123,research only,CPU,"
    f"{COMMAND},{{}}"
)
ROW = Row("", model="ritm-mini", weights="more")


def write_weights(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / WEIGHTS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_weights_are_read_with_all_that_the_file_says(tmp_path: Path) -> None:
    write_weights(tmp_path, LINE)
    register = read_register(tmp_path, [])
    models = ("ritm-mini", "fbrs-lite")
    expected = TrainedWeights(
        models, "more", DIGEST, BASE, 1, 100_000, "pack:train 0123", "research only", "CPU",
        COMMAND, "{}",
    )  # fmt: skip
    assert register.weights == (expected,)
    for model in models:
        assert register.find_weights(model, "more") == expected
    assert register.find_weights("csfpn-mini", "more") is None
    assert register.find_weights("ritm-mini", "less") is None


def test_a_folder_without_a_register_has_an_empty_one(tmp_path: Path) -> None:
    assert read_register(tmp_path / "none", []) == Register((), {})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((LINE.replace(DIGEST, "ab"),), "line 2 of"),
        ((LINE, "ritm-mini,x"), "line 3 of"),
        ((LINE.replace(",1,", ",one,"),), "line 2 of"),
        ((LINE.replace("ritm-mini fbrs-lite", " "),), "only base may be empty"),
        ((LINE.replace("{}", "[]"),), "recipe is not a JSON object"),
        ((LINE.replace("{}", "{"),), "line 2 of"),
        ((LINE.replace("{}", '"{""click_sampling"": []}"'),), "click_sampling of the recipe is []"),
        ((LINE.replace("CPU", "C" * 200_000),), "line 2 of"),
        ((LINE, LINE), "has weights more of fbrs-lite twice"),
        ((LINE.replace("100000", "-5"),), "samples is '-5'; wanted a whole number from 0"),
    ],
)
def test_a_damaged_register_is_named_with_its_line(
    tmp_path: Path, lines: Sequence[str], said: str
) -> None:
    path = write_weights(tmp_path, *lines)
    with pytest.raises(IsbenchError) as caught:
        read_register(tmp_path, [])
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [WEIGHTS, SECONDS])
def test_an_empty_file_is_refused(tmp_path: Path, name: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(IsbenchError, match=r"csv is empty; wanted .*: restore the file"):
        read_register(tmp_path, [])


@pytest.mark.parametrize("column", ["run", "seconds", "clicks", "busy", "others", "processors"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300", "abc"])
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, column: str, value: str) -> None:
    times = {"0123456789ab": ClickTime(0.1, 5, "a", Load(1.0, 0.5, 2))}
    write_times(tmp_path, Register((), times))
    head, line = (tmp_path / SECONDS).read_text().splitlines()
    cells = dict(zip(head.split(","), line.split(","), strict=True))
    (tmp_path / SECONDS).write_text(f"{head}\n{','.join((cells | {column: value}).values())}\n")
    with pytest.raises(IsbenchError, match=f"line 2 of .*damaged: {column} is '{value}'"):
        read_register(tmp_path, [])


def test_a_file_with_other_heads_is_refused(tmp_path: Path) -> None:
    write_weights(tmp_path, LINE, head=HEAD.replace("seed", "number"))
    with pytest.raises(IsbenchError, match=r"line 1 of .*wanted models, weights"):
        read_register(tmp_path, [])


def test_weights_that_are_not_shipped_count_by_their_digest(tmp_path: Path) -> None:
    card = replace(load_card("ritm-mini"), bundled={})
    write_weights(tmp_path, LINE)
    candidate = make_candidate(card, ROW, read_register(tmp_path, []))
    assert [weights.digest for weights in candidate.weights] == [DIGEST]
    assert candidate.why_not == (
        "weights more do not come with isbench; `isbench train ritm-mini --set seed=1` trains them"
    )
    assert not make_candidate(card, ROW).weights


def test_weights_that_come_with_a_card_count_before_the_register(tmp_path: Path) -> None:
    path = save_random_weights(tmp_path)
    write_weights(tmp_path, LINE)
    card = replace(load_card("ritm-mini"), bundled={"more": path})
    candidate = make_candidate(card, ROW, read_register(tmp_path, []))
    assert [weights.digest for weights in candidate.weights] == [digest_file(path)]
    assert not candidate.why_not


def test_added_weights_take_the_place_of_those_of_their_name(tmp_path: Path) -> None:
    first = TrainedWeights(
        ("ritm-mini", "csfpn-mini"), "b", DIGEST, "", 0, 1, "pack, with a comma", "none", "CPU",
        'train "x", y', '{"a": 1}',
    )  # fmt: skip
    other = TrainedWeights(
        ("ritm-mini",), "a", DIGEST, BASE, 1, 2, "pack", "none", "GPU", "train", "{}"
    )
    newer = first._replace(digest=BASE)
    for weights in (first, other, newer):
        add_weights(tmp_path, weights)
    assert read_register(tmp_path, []).weights == (other, newer)


@given(st.lists(st.text(min_size=1), min_size=4, max_size=4))
def test_weights_that_are_added_are_read_back_or_refused(texts: list[str]) -> None:
    data, licence, device, command = texts
    weights = TrainedWeights(
        ("ritm-mini",), "a", DIGEST, "", 0, 1, data, licence, device, command, "{}"
    )
    with TemporaryDirectory() as folder:
        try:
            add_weights(Path(folder), weights)
        except IsbenchError:
            assert read_register(Path(folder), []).weights == ()
        else:
            assert read_register(Path(folder), []).weights == (weights,)


@pytest.mark.parametrize("text", ["one\ntwo", "one\x0ctwo", "one\u2028two", ' a "b", c '])
def test_texts_of_any_lines_are_read_back(tmp_path: Path, text: str) -> None:
    weights = TrainedWeights(("ritm-mini",), "a", DIGEST, "", 0, 1, text, text, text, text, "{}")
    add_weights(tmp_path, weights)
    assert read_register(tmp_path, []).weights == (weights,)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"licence": ""}, "only base may be empty"),
        ({"command": "a\rb"}, "carriage return"),
        ({"data": "=1"}, "formula"),
        ({"device": "\ud800"}, "surrogates"),
        ({"recipe": '{"augmentation": 3}'}, "augmentation of the recipe is 3"),
        ({"data": "a" * 200_000}, "field larger than field limit"),
    ],
)
def test_weights_that_could_not_be_read_back_are_not_written(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    write_weights(tmp_path, LINE)
    (weights,) = read_register(tmp_path, []).weights
    before = (tmp_path / WEIGHTS).read_bytes()
    with pytest.raises(IsbenchError, match=said):
        add_weights(tmp_path, weights._replace(name="another", **changes))
    assert (tmp_path / WEIGHTS).read_bytes() == before


def test_a_model_does_not_lose_its_weights_to_those_of_another(tmp_path: Path) -> None:
    write_weights(tmp_path, LINE)
    (weights,) = read_register(tmp_path, []).weights
    with pytest.raises(IsbenchError, match="has weights more of fbrs-lite too"):
        add_weights(tmp_path, weights._replace(models=("ritm-mini",), digest=BASE))
    assert read_register(tmp_path, []).weights == (weights,)


def test_settings_have_dotted_names_and_defaults_where_a_recipe_lacks_them() -> None:
    recipe = {"augmentation": {"margin": {"low": 0.5}}, "learning_rate": 0.1}
    weights = TrainedWeights(
        ("ritm-mini",), "a", DIGEST, "", 0, 1, "pack", "none", "CPU", "train", json.dumps(recipe)
    )
    settings = weights.list_settings()
    assert settings["augmentation.margin.low"] == 0.5
    assert settings["augmentation.crowds"] == 0.0
    assert settings["learning_rate"] == 0.1


@pytest.mark.parametrize("missing", ["recipe", "samples", "licence"])
def test_a_card_that_lacks_a_fact_is_refused(tmp_path: Path, missing: str) -> None:
    card = {"model": "ritm-mini", "origin": "", "recipe": '{"seed": 3}', "samples": "5"}
    card |= {"data": "pack", "licence": "none"}
    del card[missing]
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, {CARD: json.dumps(card)})
    with pytest.raises(IsbenchError, match=f"lacks {missing}"):
        read_weights(path, "more", (), "CPU", "isbench train")


def test_weights_are_registered_with_what_their_card_says(tmp_path: Path, whole: Path) -> None:
    path = whole / "weights.safetensors"
    card = read_card(path)
    weights = read_weights(path, "more", ("other",), "GPU", "isbench train")
    assert (weights.name, weights.models) == ("more", (card["model"], "other"))
    assert weights.digest == digest_file(path)
    assert (weights.data, weights.licence) == (card["data"], card["licence"])
    assert weights.device == "GPU"
    assert (weights.samples, weights.base) == (int(card["samples"]), card["origin"][-64:])
    recipe = json.loads(card["recipe"])
    assert json.loads(weights.recipe) == {
        key: value for key, value in recipe.items() if key not in ("checks", "init")
    }
    add_weights(tmp_path, weights)
    assert read_register(tmp_path, []).weights == (weights,)


@pytest.mark.parametrize(
    ("origin", "base"),
    [
        ("", ""),
        (f"a.safetensors {DIGEST}", DIGEST),
        (f"a.safetensors {DIGEST}, from b.safetensors {BASE}", DIGEST),
        (f"ImageNet weights of a package 1.0, Apache-2.0, sha256 {BASE}", BASE),
    ],
)
def test_the_base_is_the_file_that_the_training_started_from(
    tmp_path: Path, origin: str, base: str
) -> None:
    card = {"model": "ritm-mini", "origin": origin, "recipe": '{"seed": 3}', "samples": "5"}
    card |= {"data": "pack", "licence": "none"}
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, {CARD: json.dumps(card)})
    assert read_weights(path, "more", (), "CPU", "isbench train").base == base


@pytest.mark.usefixtures("cheap_tables")
def test_the_times_of_runs_outlive_their_meta_files(isbench: Isbench, tmp_path: Path) -> None:
    run = record_network_run(tmp_path)
    assert isbench("reproduce", "--budget", "none", "--results", tmp_path)[0] == 0
    (line,) = csv.DictReader((tmp_path / SECONDS).read_text().splitlines())
    clicks = [one for times in run.seconds.values() for one in times]
    assert line["run"] == store.parse_digest(run.path)
    assert float(line["seconds"]) == round(sum(clicks) / len(clicks), 4)
    assert (int(line["clicks"]), line["processor"]) == (len(clicks), describe_processor())
    before = (tmp_path / SECONDS).read_bytes()
    store.locate_meta(run.path).unlink()
    assert isbench("reproduce", "--budget", "none", "--results", tmp_path)[0] == 0
    assert (tmp_path / SECONDS).read_bytes() == before
    run.path.unlink()
    assert isbench("reproduce", "--budget", "none", "--results", tmp_path)[0] == 0
    assert (tmp_path / SECONDS).read_text().count("\n") == 1


def test_a_run_without_times_has_no_line(tmp_path: Path) -> None:
    model = with_weights(load_card("ritm-mini"), DIGEST)
    run = record_on_davis(tmp_path, model)
    register = read_register(tmp_path, [run])
    assert register.times == {}
    write_times(tmp_path, register)
    assert not (tmp_path / SECONDS).exists()


def test_written_times_are_read_back(tmp_path: Path) -> None:
    run = record_on_davis(tmp_path, with_weights(load_card("ritm-mini"), DIGEST))
    times = {store.parse_digest(run.path): ClickTime(0.1234, 7, "a, b")}
    write_times(tmp_path, Register((), times))
    assert read_register(tmp_path, [run]).times == times


@pytest.mark.usefixtures("cheap_tables")
def test_a_run_whose_weights_are_not_shipped_lacks_nothing(
    isbench: Isbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_on_davis(tmp_path, with_weights(load_card("ritm-mini"), DIGEST))
    monkeypatch.setenv(reproduce.NEED_DATA, "1")
    monkeypatch.setenv("ISBENCH_DATA", str(tmp_path / "none"))
    check = ("reproduce", "--check", "--budget", "ci", "--results", tmp_path)
    assert isbench("reproduce", "--budget", "none", "--results", tmp_path)[0] == 0
    assert isbench(*check)[0] == 1  # nobody says what these weights are
    write_weights(tmp_path, LINE)
    assert isbench("reproduce", "--budget", "none", "--results", tmp_path)[0] == 0
    code, printed, said = isbench(*check)
    assert (code, printed) == (0, "1 runs, 0 replayed, 1 skipped, 0 drifts\n")
    assert "weights more do not come with isbench; `isbench train ritm-mini" in said


@pytest.mark.usefixtures("no_bundled_weights")
def test_a_plan_says_how_weights_that_are_not_shipped_are_trained(tmp_path: Path) -> None:
    line = LINE.replace(",more,", ",ablation-bs-s1,").replace("ritm-mini", "ritm-lite")
    write_weights(tmp_path, line)
    found = list_requirements("csfpn", ["3"], results=tmp_path)
    (missing,) = {
        text
        for one in found
        for kind, text in one.missing
        if kind == "weights" and one.row.name == "ritm-lite (weights=ablation-bs-s1)"
    }
    assert "`isbench train ritm-lite --set seed=1` trains them" in missing


def test_the_committed_register_agrees_with_the_weights_that_are_shipped() -> None:
    results = Path(__file__).parents[2] / "results"
    runs, _ = choose_runs([], results)
    register = read_register(results, runs)
    for weights in register.weights:
        for model in set(weights.models) & set(list_model_names()):
            shipped = {one.name: one.digest for one in list_weights(load_card(model))}
            assert shipped.get(weights.name, weights.digest) == weights.digest, weights.name
