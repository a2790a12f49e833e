"""The paper's tables: its figures stay, ours stand beside them where one run is behind them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest
import torch

import baselines.cards
import csfpn.cards
from isbench.datasets.fingerprints import digest_file
from isbench.datasets.registry import BUILT_IN
from isbench.errors import IsbenchError
from isbench.evaluation.spec import make_spec
from isbench.models import known_weights
from isbench.models.known_weights import Weights
from isbench.models.registry import load_model
from isbench.papers import accuracy, plan
from isbench.papers.candidates import Candidate, find_candidate, make_candidate
from isbench.papers.cells import Records, format_cells
from isbench.papers.costs import Counted, make_table4
from isbench.papers.published import read_published
from isbench.papers.rows import (
    ABLATION,
    QUESTIONS,
    RULES,
    TABLE4,
    Question,
    Row,
    project_rows,
    rows_of,
)
from isbench.papers.run_selection import measure, select_run
from isbench.reporting.html_tables import Section, render_page
from isbench.reporting.plots import ALIASES, PLOTS, iou_k
from isbench.reporting.text_table import TextTable
from isbench.storage import run_file, store
from isbench.storage.store import Run
from isbench.types import File, Game, Model, Rules, Runtime
from tests.support import toys
from tests.support.recorded import weights_file

Isbench = Callable[..., tuple[int, str, str]]
FIGURES = read_published()
DAVIS = Question("davis", 20, "noc@90")
(MINI,) = project_rows("ritm-mini")
TRAINED = "ab" * 32


@pytest.fixture(autouse=True)
def no_weights_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the weights that come with the cards: a test that wants some brings its own."""
    for module in (baselines.cards, csfpn.cards):
        for name, card in list(vars(module).items()):
            if isinstance(card, Model) and card.bundled:
                monkeypatch.setattr(module, name, replace(card, bundled={}))


def played(folder: Path, card: Model, rules: Rules = RULES[1], **changes: Any) -> Run:
    """Return a whole run on DAVIS's name and fingerprint, its games made up."""
    on = replace(toys.blobs(4), name="davis", limit=changes.pop("limit", None))
    (content,) = BUILT_IN["davis"].fingerprints
    left = {"zoom_target": (0, 600), "longest_side": (-1, 0)}  # what DAVIS says where it is asked
    asked = {key: said for key, (ask, said) in left.items() if card.options.get(key) == ask}
    options = {**card.options, **asked, **changes.pop("options", {})}
    options = {key: value for key, value in options.items() if key in card.options}
    content, ious = changes.pop("content", content), changes.pop("ious", [0.5, 0.95])
    spec = make_spec(replace(card, options=options, **changes), on, rules, content)
    with run_file.open_run(folder, spec) as file:
        assert file is not None
        for key in on.keys:
            length = rules.max_clicks if rules.stop_iou > 1 else len(ious)
            game = [*ious, *[ious[-1]] * (length - len(ious))]
            file.append(Game(toys.trajectory(key, game), ()))
        return store.read(file.seal())


def mini(digest: str = TRAINED) -> Model:
    return replace(load_model("ritm-mini"), runtime=Runtime(digest=digest))


def counting(row: Row) -> Candidate:
    found = find_candidate(row)
    assert found is not None
    return found


def test_every_printed_row_and_figure_of_the_paper_stays() -> None:
    for number, rows in ((1, 16), (2, 4), (3, 4)):
        printed = {f for f in FIGURES if f.table == number}
        records = Records(FIGURES, dict.fromkeys(rows_of(number, FIGURES)), [])
        sheet, cells = accuracy.make_table(number, records)
        assert sum(bool(row[0]) for row in sheet.rows) == rows
        assert sum(cell.printed is not None for cell in cells) == len(printed)
        assert not any("/" in text for row in sheet.rows for text in row)


def test_a_whole_run_of_a_trained_model_is_measured(tmp_path: Path) -> None:
    run = played(tmp_path, mini())
    found = select_run([run], counting(MINI), DAVIS)
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
    run = played(tmp_path, mini(), **changes)
    assert select_run([run], counting(MINI), DAVIS) == (None, ())


def test_of_one_run_in_two_lengths_the_longest_counts(tmp_path: Path) -> None:
    short, long = (played(tmp_path, mini(), Rules(k, 0.90)) for k in (20, 100))
    assert select_run([short, long], counting(MINI), DAVIS).run is long
    assert select_run([long, short], counting(MINI), DAVIS).run is long
    assert select_run([short], counting(MINI), Question("davis", 100, "noc@90")).run is None


def test_runs_that_collide_leave_the_cell_blank_and_are_named(tmp_path: Path) -> None:
    runs = [played(tmp_path, mini(digest * 32)) for digest in ("ab", "cd")]
    sheet, cells = accuracy.make_table(1, Records(FIGURES, {MINI: counting(MINI)}, runs))
    assert all(cell.ours is None for cell in cells)
    (note,) = [note for note in sheet.notes if "left blank" in note]
    assert "differ in weights" in note
    assert all(store.digest_of_path(run.path) in note for run in runs)


def test_a_published_row_is_measured_with_its_own_weights_only(tmp_path: Path) -> None:
    (row,) = {r for r in rows_of(1, FIGURES) if (r.model, r.weights) == ("ritm-hrnet18", "sbd")}
    card = load_model("ritm-hrnet18")
    known = {**card.weights, "sbd": replace(card.weights["sbd"], sha256=TRAINED)}
    ours = make_candidate(replace(card, weights=known), row)
    theirs, other = (
        played(tmp_path, replace(card, runtime=Runtime(digest=digest * 32)))
        for digest in ("ab", "cd")
    )
    assert select_run([theirs, other], ours, DAVIS).run is theirs
    assert select_run([other], ours, DAVIS).run is None
    assert (
        select_run([other, theirs], make_candidate(replace(card, weights={}), row), DAVIS).run
        is None
    )


def test_once_weights_come_with_a_card_runs_of_others_do_not_count(tmp_path: Path) -> None:
    path = weights_file(tmp_path)
    card = replace(load_model("ritm-mini"), bundled={"pack": path})
    shipped, strange = (
        played(tmp_path, replace(card, runtime=Runtime(digest=digest)))
        for digest in (digest_file(path), TRAINED)
    )
    ours = make_candidate(card, MINI)
    assert ours.why_not == ""
    found = select_run([strange, shipped], ours, DAVIS)
    assert found.run is shipped
    sheet, _ = accuracy.make_table(1, Records(FIGURES, {MINI: ours}, [strange, shipped]))
    run, weights = store.digest_of_path(shipped.path), digest_file(path)[:12]
    told = f"davis 4 objects, run {run}, weights pack {weights}"
    assert any(told in note for note in sheet.notes)


def of_one_budget(*rows: Row) -> dict[Row, Candidate]:
    """Return candidates whose cards come with the weights that the rows name, and with others."""
    found = {}
    for row in rows:
        candidate = counting(row)
        named = Weights(row.weights, digest_of(row), None)
        found[row] = replace(candidate, weights=(named,))
    return found


def digest_of(row: Row) -> str:
    return sha256(row.weights.encode()).hexdigest()


def ablated(folder: Path, row: Row, **changes: Any) -> Run:
    """Return a row's run of the weights that it names."""
    return played(
        folder, replace(counting(row).card, runtime=Runtime(digest=digest_of(row))), **changes
    )


def test_an_ablation_s_row_counts_the_weights_made_for_it_alone(tmp_path: Path) -> None:
    path, row = weights_file(tmp_path), ABLATION[0]
    card = replace(load_model("ritm-mini"), bundled={"pack": path})
    without = make_candidate(card, row)
    assert select_run([played(tmp_path, mini(digest_file(path)))], without, DAVIS).run is None
    assert without.why_not == "weights ablation-bs do not come with isbench"
    assert not plan.plan_all({3: Records(FIGURES, {row: without}, [])}, lambda name: True).tasks
    named = make_candidate(replace(card, bundled={"pack": path, "ablation-bs": path}), row)
    assert [weights.name for weights in named.weights] == ["ablation-bs"]
    assert not named.why_not


def test_a_row_of_the_paper_s_ablation_is_never_ours(tmp_path: Path) -> None:
    rows = list(rows_of(3, FIGURES))
    known = {row: find_candidate(row) for row in rows} | of_one_budget(*ABLATION)
    runs = [ablated(tmp_path, row) for row in ABLATION]
    sheet, cells = accuracy.make_table(3, Records(FIGURES, known, runs))
    assert all(cell.ours is None for cell in cells if cell.row.system)
    assert all(cell.printed is None for cell in cells if not cell.row.system)
    column = sheet.heads.index("DAVIS NoC@90")
    assert [row[column] for row in sheet.rows] == [
        *("6.85", "6.62", "6.39", "6.05"),
        *["– / 2.00 [2.00, 2.00]"] * 5,
    ]
    assert [row[3] for row in sheet.rows[4:]] == [
        "ritm-mini (weights=ablation-bs)",
        "baseline-mini-fdm (weights=ablation-fdm)",
        "csfpn-mini (hsgm=off, g2l=off, overview=256, weights=ablation-sgm)",
        "csfpn-mini (g2l=off, overview=256, weights=ablation-hsgm)",
        "csfpn-mini (overview=256, weights=ablation-hsgm)",
    ]


def test_steps_are_between_weights_of_one_budget(tmp_path: Path) -> None:
    base, fdm, sgm = ABLATION[:3]
    runs = [
        ablated(tmp_path, base, ious=[0.5, 0.6, 0.95]),
        ablated(tmp_path, sgm, ious=[0.5, 0.95]),
        played(tmp_path, replace(counting(fdm).card, runtime=Runtime(digest=TRAINED))),
    ]
    sheet, _ = accuracy.make_table(3, Records(FIGURES, of_one_budget(*ABLATION), runs))
    (step,) = [note for note in sheet.notes if "paired" in note]
    assert f"{sgm.name} minus {base.name} is -1.00 [-1.00, -1.00] clicks" in step


def test_a_game_that_ends_at_the_target_answers_what_a_longer_one_does(tmp_path: Path) -> None:
    (ours,) = of_one_budget(ABLATION[0]).values()
    for stop in (0.90, 1.01):
        run = ablated(tmp_path / str(stop), ABLATION[0], rules=Rules(20, stop))
        for metric in ("noc@85", "noc@90"):
            question = Question("davis", 20, metric)
            assert select_run([run], ours, question).run is run
            assert measure(run, question).value == 2.0


def test_failures_are_counted_as_the_paper_s_evaluator_does(tmp_path: Path) -> None:
    late = [*[0.5] * 99, 0.95]  # solved at the very last click
    run = played(tmp_path, mini(), RULES[2], ious=late)
    assert measure(run, Question("davis", 100, "nof@90")).value == 4
    assert measure(run, Question("davis", 100, "noc@90")).value == 100


def test_table_4_takes_clicks_from_runs_of_the_small_family(tmp_path: Path) -> None:
    known = {row: counting(row) for row in TABLE4} | of_one_budget(*TABLE4[5:])
    run, other = ablated(tmp_path, ABLATION[0]), played(tmp_path, mini())
    costs = {row.name: Counted(1, 2, 3) for row in TABLE4}
    sheet, _ = make_table4(costs, Records(FIGURES, known, [run, other]))
    column = sheet.heads.index("NoC@90")
    assert [row[column] for row in sheet.rows] == [*[""] * 5, "2.00", *[""] * 3]
    assert any(store.digest_of_path(run.path) in note for note in sheet.notes)
    assert not any(store.digest_of_path(other.path) in note for note in sheet.notes)


@pytest.mark.parametrize(
    ("played_by", "stands_for"),
    [(ABLATION[0], "baseline-mini"), (ABLATION[3], "baseline-mini-csfp")],
)
def test_the_small_family_is_played_under_names_of_the_same_networks(
    played_by: Row, stands_for: str
) -> None:
    ours, theirs = counting(played_by).card, load_model(stands_for)
    sizes = []
    for card in (ours, theirs):
        assert card.network is not None
        with torch.device("meta"):
            network = card.network(**card.options)
        sizes.append({key: value.shape for key, value in network.state_dict().items()})
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("kind", ["sha256", "md5", "size"])
def test_fetched_weights_that_are_not_the_published_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(known_weights, "weights_folder", lambda: tmp_path)
    path = tmp_path / "w.pth"
    path.write_bytes(b"what its authors published")
    facts = {"sha256": digest_file(path), "md5": md5(path.read_bytes()).hexdigest(), "size": 26}
    file = File(path.name, (), **{kind: facts[kind]})  # type: ignore[arg-type]
    card = replace(load_model("ritm-hrnet18"), weights={"sbd": file})
    (found,) = known_weights.list_weights(card)
    assert found == ("sbd", digest_file(path), path)
    path.write_bytes(b"what somebody put there instead")
    with pytest.raises(IsbenchError, match=r"not as published: .*; delete the file"):
        known_weights.list_weights(card)


def test_figure_3_draws_both_models_with_bands_up_to_the_asked_click(tmp_path: Path) -> None:
    cards = [
        replace(load_model(f"{n}-mini"), runtime=Runtime(digest=TRAINED)) for n in ("ritm", "csfpn")
    ]
    runs = [played(tmp_path, card) for card in cards]
    (panel,) = iou_k(runs, 12).axes
    assert panel.get_title() == "davis (4 objects)"
    assert [line.get_label() for line in panel.lines] == ["ritm-mini", "csfpn-mini"]
    assert [len(line.get_xdata()) for line in panel.lines] == [12, 12]
    assert len(panel.collections) == 2
    assert PLOTS[ALIASES["ioa_k"]] is iou_k


def test_csv_has_every_figure_and_blank_for_what_is_missing(tmp_path: Path) -> None:
    known = {**dict.fromkeys(rows_of(2, FIGURES)), MINI: counting(MINI)}
    _, cells = accuracy.make_table(2, Records(FIGURES, known, [played(tmp_path, mini())]))
    found = list(csv.DictReader(io.StringIO(format_cells(cells))))
    assert len(found) == len(cells)
    assert {row["measured"] for row in found} == {"0.0", ""}
    assert {row["run"] == "" for row in found if not row["measured"]} == {True}


def test_what_is_recorded_is_not_played_again(tmp_path: Path) -> None:
    card = replace(load_model("ritm-mini"), bundled={"pack": weights_file(tmp_path)})
    ours = make_candidate(card, MINI)
    digest = ours.weights[0].digest
    ran = [played(tmp_path, replace(card, runtime=Runtime(digest=digest)))]

    def tasks(runs: list[Run]) -> list[tuple[str, Rules]]:
        known = {k: Records(FIGURES, {MINI: ours}, runs) for k in (1, 2)}
        found = plan.plan_all(known, lambda name: name == "davis")
        assert {task.weights for task in found.tasks} <= {"pack"}
        return [(task.dataset, task.rules) for task in found.tasks]

    assert tasks([]) == [("davis", RULES[1]), ("davis", RULES[2])]
    assert tasks(ran) == [("davis", RULES[2])]
    longer = played(tmp_path, replace(card, runtime=Runtime(digest=digest)), RULES[2])
    assert tasks([longer]) == []


def test_what_cannot_be_played_is_named_with_the_reason() -> None:
    rows = list(rows_of(1, FIGURES))
    known = {1: Records(FIGURES, {row: find_candidate(row) for row in rows}, [])}
    left_out = plan.plan_all(known, lambda name: name not in ("sbd", "coco-mval")).left_out
    assert any(note.startswith("coco-mval, sbd: the data are not here") for note in left_out)
    assert any("sam-vit-h (SA-1B)" in note and "no such model" in note for note in left_out)
    assert any("csfpn-r50 (SBD)" in note and "never released" in note for note in left_out)


def test_a_small_plan_is_of_the_sample_only() -> None:
    known = {
        k: Records(FIGURES, {row: find_candidate(row) for row in QUESTIONED[k]}, []) for k in (1, 2)
    }
    tasks = plan.plan_small(known).tasks
    assert {(task.dataset, task.limit) for task in tasks} == {plan.SMALL}
    assert {"grabcut", "nearest"} <= {task.candidate.card.name for task in tasks}


QUESTIONED = {number: list(rows_of(number, FIGURES)) for number in QUESTIONS}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("form", ["rich", "markdown", "latex", "csv"])
def test_a_table_of_the_paper_is_printed_without_any_run(
    isbench: Isbench, tmp_path: Path, number: int, form: str
) -> None:
    code, printed, said = isbench(
        "report", "--table", number, "--format", form, "--runs", tmp_path / "none"
    )
    assert code == 0, said
    assert {1: "RITM", 2: "f-BRS", 3: "BS+SGM+HSGM"}[number] in printed
    assert "0.00" not in printed


def test_a_page_needs_no_other_file_and_escapes_what_it_shows() -> None:
    sheet = TextTable(("<b>", "n"), (("a & b", "1"),), (False, True), notes=("x < y",))
    text = render_page("Tables", "lead", [Section("One", sheet)])
    assert "<b>" not in text
    assert "a &amp; b" in text
    assert "prefers-color-scheme: dark" in text
    assert not {"src=", "href=", "@import", "url("} & set(text.split())
    assert "http" not in text
