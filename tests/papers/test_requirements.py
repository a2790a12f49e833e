"""What a row needs to be measured is said per data set, and what is said suffices."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isbench.cli.run import run
from isbench.errors import IsbenchError
from isbench.evaluation.runner import Silent
from isbench.models import weights
from isbench.models.registry import load_card
from isbench.papers import Paper, PaperTable, Question, Row
from isbench.papers.candidates import Candidate, find_candidate, make_candidate
from isbench.papers.registry import load_paper
from isbench.papers.requirement_formats import FORMATS
from isbench.papers.requirements import Requirement, list_requirements
from isbench.papers.rows import project_rows
from isbench.papers.timing import find_timing, measure_timing
from isbench.storage import store
from isbench.types import File, Rules
from tests.support.recorded import record_network_run

Isbench = Callable[..., tuple[int, str, str]]
NEAREST, UNKNOWN = Row("Nearest", model="nearest"), Row("Hidden", "r50", "SBD", "no-such-model")
RITM = Row("RITM", "resnet101", "SBD", "ritm-r101", weights="sbd")
SMALL = PaperTable(
    name="1",
    title="small",
    rows=(NEAREST, UNKNOWN, RITM),
    questions=(Question("sample", 2, "noc@85"), Question("sample", 2, "noc@90")),
    rules=Rules(2, 1.01),
)
PAPER = Paper("small", "a small paper", (SMALL,))


def of_row(found: list[Requirement], row: Row) -> Requirement:
    (one,) = (one for one in found if one.row == row)
    return one


def test_the_command_of_a_cell_measures_it(isbench: Isbench, tmp_path: Path) -> None:
    results = tmp_path / "a folder"
    ready = of_row(list_requirements(PAPER, results=results), NEAREST)
    assert (ready.state, ready.missing, ready.clicks) == ("ready", (), 2 * 16)
    first, *words = shlex.split(ready.command)
    assert first == "isbench"
    assert isbench(*words)[0] == 0
    measured = of_row(list_requirements(PAPER, results=results), NEAREST)
    (path,) = store.find(results)
    assert (measured.state, measured.runs) == ("measured", (store.parse_digest(path),))


def test_what_is_missing_is_said_with_how_to_get_it(tmp_path: Path) -> None:
    found = list_requirements(PAPER, results=tmp_path)
    (model,) = of_row(found, UNKNOWN).missing
    assert model == ("model", "isbench has no model named no-such-model")
    assert of_row(found, UNKNOWN).command == ""
    (lacking,) = of_row(found, RITM).missing
    assert lacking == ("weights", "its weights were never released")
    assert "--weights FILE" in of_row(found, RITM).command
    davis = replace(SMALL, questions=(Question("davis", 2, "noc@85"),))
    (data,) = of_row(
        list_requirements(replace(PAPER, tables=(davis,)), results=tmp_path, data=tmp_path), NEAREST
    ).missing
    assert data == ("data", "`isbench data get davis`")


def test_weights_without_a_mirror_say_the_file_its_page_and_where_to_save_it() -> None:
    file = File("r101.pth", size=123456, page="https://example.org/r101")
    card = replace(load_card("ritm-r101"), weights={"sbd": file})
    said = make_candidate(card, RITM).why_not
    for told in ("r101.pth (123,456 bytes)", "https://example.org/r101"):
        assert told in said
    assert str(weights.find_weights_folder()) in said


def test_the_command_that_downloads_weights_has_all_that_a_run_needs() -> None:
    file = File("r101.pth", ("http://127.0.0.1:1/r101.pth",))
    card = replace(load_card("ritm-r101"), weights={"sbd": file})
    command = re.findall("`(.*?)`", make_candidate(card, RITM).why_not)[0]
    words = shlex.split(command)[2:]
    with run.make_context("run", words) as context:
        assert context.params["names"] == ("sample",)
        assert context.params["weights"] == "sbd"


def test_runs_of_which_none_counts_are_not_called_recorded(tmp_path: Path) -> None:
    (one, *_) = list_requirements(PAPER, results=tmp_path)
    text = FORMATS["text"]([one._replace(runs=("a" * 12, "b" * 12)), one._replace(runs=("c",))])
    assert "2 runs: 1 recorded, 0 ready to play, 0 lack something." in text
    assert "For 1 more, several runs fit, so none counts" in text


def test_the_sixteen_rows_of_table_1_are_asked_on_every_data_set(tmp_path: Path) -> None:
    found = [one for one in list_requirements(None, ["1"], results=tmp_path) if one.row.system]
    assert len({one.row for one in found}) == 16
    sets = {question.dataset for question in load_paper().find_table("1").questions}
    assert len(found) == 16 * len(sets)
    assert all(one.missing for one in found if not one.command)
    assert {one.seconds for one in found} == {None}  # nothing was measured, nothing is guessed
    hrnet = next(one for one in found if one.row.model == "ritm-hrnet18")
    assert hrnet.command.endswith(
        f"--weights sbd --dataset grabcut --stop-iou 1.01 --backend eager --out {tmp_path}"
    )


def candidate_of(model: str, **options: str) -> Candidate:
    (row,) = project_rows(model)
    found = find_candidate(row._replace(options=tuple(options.items())))
    assert found is not None
    return found


def test_a_run_of_this_machine_gives_the_time_and_one_of_another_does_not(tmp_path: Path) -> None:
    played = record_network_run(tmp_path)
    ours = candidate_of("ritm-mini", flip="off", longest_side="64")
    found = find_timing([played], ours, "davis")
    assert found is not None
    seconds = [one for times in played.seconds.values() for one in times]
    assert found.click == pytest.approx(sum(seconds) / len(seconds))
    assert store.parse_digest(played.path) in found.origin
    elsewhere = replace(played, meta=tuple({**one, "processor": "another"} for one in played.meta))
    assert find_timing([elsewhere], ours, "davis") is None
    assert find_timing([played], candidate_of("ritm-mini"), "davis") is None  # with other options
    assert found.image is None  # it is not recorded
    for other in ({"backend": "openvino-cpu"}, {"precision": "bf16"}, {"threads": 2}):
        differing = replace(played, spec=replace(played.spec, **other))
        assert find_timing([differing], ours, "davis") is None


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_measuring_plays_each_model_and_leaves_unplayable_ones_blank(tmp_path: Path) -> None:
    notes = Notes()
    paper = replace(PAPER, tables=(replace(SMALL, rows=(NEAREST, UNKNOWN)),))
    found = list_requirements(paper, results=tmp_path, measure=True, watch=notes)
    assert notes.texts == ["measuring nearest (1 of 1)"]
    timing = of_row(found, NEAREST).timing
    assert timing is not None
    assert timing.click > 0
    assert timing.image is not None
    assert of_row(found, NEAREST).seconds == 32 * timing.click + 7 * timing.image
    assert of_row(found, UNKNOWN).seconds is None
    assert store.find(tmp_path) == []


def test_a_model_that_fails_is_not_measured_and_the_reason_is_said() -> None:
    said: list[str] = []
    lacking = replace(load_card("nearest"), libraries={"nothing-like-it": ""})
    assert measure_timing(Candidate(lacking), said.append) is None
    assert "nothing-like-it" in said[0]


def test_each_format_has_every_row(tmp_path: Path) -> None:
    found = list_requirements(PAPER, results=tmp_path)
    text, lines, objects = (FORMATS[name](found) for name in ("text", "csv", "json"))
    assert text.count("Table 1: ") == 3
    assert "missing model: isbench has no model named no-such-model" in text
    assert max(map(len, [line for line in text.splitlines() if "noc_2@85" in line])) <= 80
    rows = list(csv.DictReader(io.StringIO(lines)))
    assert [row["state"] for row in rows] == ["ready", "missing", "missing"]
    assert [one["figures"] for one in json.loads(objects)] == [["noc_2@85", "noc_2@90"]] * 3


def test_a_plan_is_printed_and_nothing_is_written(isbench: Isbench, tmp_path: Path) -> None:
    words = ("--table", 2, "--results", tmp_path, "--data", tmp_path / "none", "--format", "json")
    code, printed, errors = isbench("reproduce", "--plan", *words)
    assert (code, errors) == (0, "")
    assert {one["dataset"] for one in json.loads(printed)} == {"davis"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--plan", "--check"), "--plan was given with --check"),
        (("--measure",), "--measure was given without --plan"),
        (("--plan", "--budget", "ci"), "--plan was given with --budget"),
        (("--plan", "--workers", "2"), "--plan was given with --workers"),
        (("--check", "--table", "1"), "--check was given with --table"),
        (("--format", "csv"), "--format was given without --plan"),
        (("--plan", "--format", "jsn"), "did you mean json?"),
        (("--plan", "--table", "7"), "no table of csfpn named '7'"),
    ],
)
def test_a_wrong_plan_is_one_line(isbench: Isbench, words: tuple[str, ...], said: str) -> None:
    code, _, errors = isbench("reproduce", *words)
    assert (code, errors.count("\n")) == (2, 1)
    assert said in errors


def test_an_unknown_paper_is_an_error() -> None:
    with pytest.raises(IsbenchError, match="did you mean csfpn"):
        list_requirements("csfpm")
