"""Tables of a paper: its figures stay, ours stand beside them where one run is behind them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from isbench.errors import IsbenchError
from isbench.files.digests import digest_file
from isbench.models import known_weights
from isbench.models.registry import load_card
from isbench.papers import PaperTable, Question, Row, plan
from isbench.papers.all_tables import make_table
from isbench.papers.candidates import Candidate, find_candidate, make_candidate
from isbench.papers.cells import Records, format_cells
from isbench.papers.rows import project_rows
from isbench.papers.run_selection import measure, select_run
from isbench.reporting.html_tables import Section, render_page
from isbench.reporting.plots import ALIASES, PLOTS, plot_iou_k
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import File, LoadedModel, Rules, Runtime
from tests.support.recorded import record_on_davis, save_random_weights, with_weights

pytestmark = pytest.mark.usefixtures("no_bundled_weights")
TRAINED = "ab" * 32
DAVIS = Question("davis", 20, "noc@90")
RITM = Row("RITM", "hrnet18", "SBD", "ritm-hrnet18", weights="sbd")
MINI, NEAREST = project_rows("ritm-mini", "nearest")
CLICKS = PaperTable(
    name="1",
    title="clicks",
    rows=(RITM, MINI, NEAREST),
    questions=(Question("berkeley", 20, "noc@90"), DAVIS),
    published={(RITM, DAVIS): 6.71},
    rules=Rules(20, 1.01),
)
FAILURES = PaperTable(
    name="2",
    title="failures",
    rows=(RITM, MINI),
    questions=(Question("davis", 100, "nof@90"),),
    published={(RITM, Question("davis", 100, "nof@90")): 50},
    rules=Rules(100, 0.90),
)


def mini(digest: str = TRAINED) -> LoadedModel:
    return with_weights(load_card("ritm-mini"), digest)


def candidate_of(row: Row) -> Candidate:
    found = find_candidate(row)
    assert found is not None
    return found


def test_a_whole_run_of_a_trained_model_is_measured(tmp_path: Path) -> None:
    run = record_on_davis(tmp_path, mini())
    found = select_run([run], candidate_of(MINI), DAVIS)
    assert found.run is run
    assert measure(run, DAVIS).value == 2.0


@pytest.mark.parametrize(
    "changes",
    [
        {"runtime": Runtime(digest="random")},
        {"limit": 4},
        {"options": {"flip": False}},
        {"options": {"zoom_target": 400}},
        {"content": "of no files that are known"},
        {"rules": Rules(20, 1.01, end_on_perfect=True, reject_empty=True)},
        {"rules": Rules(10, 1.01)},
        {"rules": Rules(20, 0.85), "ious": [0.5, 0.86]},
    ],
    ids=str,
)
def test_a_run_that_is_not_what_the_cell_says_leaves_it_blank(
    tmp_path: Path, changes: Mapping[str, Any]
) -> None:
    run = record_on_davis(tmp_path, mini(), **changes)
    assert select_run([run], candidate_of(MINI), DAVIS) == (None, ())


def test_of_one_run_in_two_lengths_the_longest_counts(tmp_path: Path) -> None:
    short, long = (record_on_davis(tmp_path, mini(), Rules(k, 0.90)) for k in (20, 100))
    assert select_run([short, long], candidate_of(MINI), DAVIS).run is long
    assert select_run([long, short], candidate_of(MINI), DAVIS).run is long
    assert select_run([short], candidate_of(MINI), Question("davis", 100, "noc@90")).run is None


def test_runs_that_collide_leave_the_cell_blank_and_are_named(tmp_path: Path) -> None:
    runs = [record_on_davis(tmp_path, mini(digest * 32)) for digest in ("ab", "cd")]
    text, cells = make_table(Records(CLICKS, {MINI: candidate_of(MINI)}, runs))
    assert all(cell.ours is None for cell in cells)
    (note,) = [note for note in text.notes if "left blank" in note]
    assert "differ in weights" in note
    assert all(store.parse_digest(run.path) in note for run in runs)


def test_a_published_row_is_measured_with_its_own_weights_only(tmp_path: Path) -> None:
    card = load_card("ritm-hrnet18")
    known = {**card.weights, "sbd": replace(card.weights["sbd"], sha256=TRAINED)}
    ours = make_candidate(replace(card, weights=known), RITM)
    theirs, other = (
        record_on_davis(tmp_path, with_weights(card, digest * 32)) for digest in ("ab", "cd")
    )
    assert select_run([theirs, other], ours, DAVIS).run is theirs
    assert select_run([other], ours, DAVIS).run is None
    assert (
        select_run([other, theirs], make_candidate(replace(card, weights={}), RITM), DAVIS).run
        is None
    )


def test_once_weights_come_with_a_card_runs_of_others_do_not_count(tmp_path: Path) -> None:
    path = save_random_weights(tmp_path)
    card = replace(load_card("ritm-mini"), bundled={"pack": path})
    shipped, strange = (
        record_on_davis(tmp_path, with_weights(card, digest))
        for digest in (digest_file(path), TRAINED)
    )
    ours = make_candidate(card, MINI)
    assert ours.why_not == ""
    found = select_run([strange, shipped], ours, DAVIS)
    assert found.run is shipped
    text, _ = make_table(Records(CLICKS, {MINI: ours}, [strange, shipped]))
    run, weights = store.parse_digest(shipped.path), digest_file(path)[:12]
    told = f"davis 4 objects, run {run}, weights pack {weights}"
    assert any(told in note for note in text.notes)


def test_a_game_that_ends_at_the_target_answers_what_a_longer_one_does(tmp_path: Path) -> None:
    ours = candidate_of(MINI)
    for stop in (0.90, 1.01):
        run = record_on_davis(tmp_path / str(stop), mini(), Rules(20, stop))
        for metric in ("noc@85", "noc@90"):
            question = Question("davis", 20, metric)
            assert select_run([run], ours, question).run is run
            assert measure(run, question).value == 2.0


def test_failures_are_counted_as_the_paper_s_evaluator_does(tmp_path: Path) -> None:
    late = [*[0.5] * 99, 0.95]  # solved at the very last click
    run = record_on_davis(tmp_path, mini(), FAILURES.rules, ious=late)
    assert measure(run, Question("davis", 100, "nof@90")).value == 4
    assert measure(run, Question("davis", 100, "noc@90")).value == 100


@pytest.mark.parametrize("kind", ["sha256", "md5", "size"])
def test_fetched_weights_that_are_not_the_published_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(known_weights, "find_weights_folder", lambda: tmp_path)
    path = tmp_path / "w.pth"
    path.write_bytes(b"what its authors published")
    facts = {"sha256": digest_file(path), "md5": md5(path.read_bytes()).hexdigest(), "size": 26}
    file = File(path.name, (), **{kind: facts[kind]})  # type: ignore[arg-type]
    card = replace(load_card("ritm-hrnet18"), weights={"sbd": file})
    (found,) = known_weights.list_weights(card)
    assert found == ("sbd", digest_file(path), path)
    path.write_bytes(b"what somebody put there instead")
    with pytest.raises(IsbenchError, match=r"not as published: .*; delete the file"):
        known_weights.list_weights(card)


def test_figure_3_draws_both_models_with_bands_up_to_the_asked_click(tmp_path: Path) -> None:
    cards = [with_weights(load_card(f"{n}-mini"), TRAINED) for n in ("ritm", "csfpn")]
    runs = [record_on_davis(tmp_path, card) for card in cards]
    figure = plot_iou_k(runs, 12)
    (panel,) = figure.axes
    assert "davis (4 objects)" in [text.get_text() for text in figure.texts]
    assert [str(line.get_label()).strip() for line in panel.lines] == ["ritm-mini", "csfpn-mini"]
    assert [len(line.get_xdata()) for line in panel.lines] == [12, 12]
    assert len(panel.collections) == 2
    assert PLOTS[ALIASES["ioa_k"]] is plot_iou_k


def test_csv_has_every_figure_and_blank_for_what_is_missing(tmp_path: Path) -> None:
    known = {RITM: None, MINI: candidate_of(MINI)}
    table = replace(CLICKS, questions=(*CLICKS.questions, Question("davis", 20, "nof@90")))
    _, cells = make_table(Records(table, known, [record_on_davis(tmp_path, mini())]))
    found = list(csv.DictReader(io.StringIO(format_cells(cells))))
    assert len(found) == len(cells)
    assert {row["measured"] for row in found} == {"2.0", "0.0", ""}
    assert {row["published"] for row in found} == {"6.71", ""}
    assert {row["run"] == "" for row in found if not row["measured"]} == {True}


def test_what_is_recorded_is_not_played_again(tmp_path: Path) -> None:
    card = replace(load_card("ritm-mini"), bundled={"pack": save_random_weights(tmp_path)})
    ours = make_candidate(card, MINI)
    digest = ours.weights[0].digest
    ran = [record_on_davis(tmp_path, with_weights(card, digest))]

    def tasks(runs: list[Run]) -> list[tuple[str, Rules]]:
        known = [Records(table, {MINI: ours}, runs) for table in (CLICKS, FAILURES)]
        found = plan.plan_all(known, lambda name: name == "davis")
        assert {task.weights for task in found.tasks} <= {"pack"}
        return [(task.dataset, task.rules) for task in found.tasks]

    assert tasks([]) == [("davis", CLICKS.rules), ("davis", FAILURES.rules)]
    assert tasks(ran) == [("davis", FAILURES.rules)]
    longer = record_on_davis(tmp_path, with_weights(card, digest), FAILURES.rules)
    assert tasks([longer]) == []


def test_a_small_plan_is_of_the_sample_only() -> None:
    known = [Records(CLICKS, {row: find_candidate(row) for row in CLICKS.rows}, [])]
    tasks = plan.plan_small(known).tasks
    assert {(task.dataset, task.limit) for task in tasks} == {plan.SMALL}
    assert [task.candidate.card.name for task in tasks] == ["nearest"]  # no weights are here


def test_a_page_needs_no_other_file_and_escapes_what_it_shows() -> None:
    table = TextTable(("<b>", "n"), (("a & b", "1"),), (False, True), notes=("x < y",))
    text = render_page("Tables", "lead", [Section("One", table)])
    assert "<b>" not in text
    assert "a &amp; b" in text
    assert "prefers-color-scheme: dark" in text
    assert not {"src=", "href=", "@import", "url("} & set(text.split())
    assert "http" not in text
