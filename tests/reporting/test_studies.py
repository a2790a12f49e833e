"""Studies: which runs belong together, and what their row says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isbench.errors import IsbenchError
from isbench.evaluation.runner import run
from isbench.evaluation.seeds import run_seeds
from isbench.metrics import clicks_to, curves
from isbench.reporting.studies import find_baseline, group_runs
from isbench.reporting.study_tables import (
    count_marks,
    describe_marks,
    make_study_frame,
    make_study_rows,
    make_study_table,
)
from isbench.storage.store import Run
from isbench.types import Rules
from tests.support import toys

RULES = Rules(4, 1.01, clicker="human")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Return three seeds of human, ten groups, and centre, over the same objects."""
    out, data = tmp_path_factory.mktemp("runs"), toys.blobs(5)
    groups = [replace(RULES, clicker=f"group:{number}/10") for number in range(1, 11)]
    return [
        *run_seeds(toys.card, data, RULES, 3, out=out),
        *(run(toys.card, data, rules, out=out) for rules in groups[::-1]),
        run(toys.card, data, replace(RULES, clicker="centre"), out=out),
    ]


def test_seeds_are_runs_of_their_own(runs: list[Run]) -> None:
    assert [one.spec.rules.seed for one in runs[:3]] == [0, 1, 2]
    assert len({one.path for one in runs}) == len(runs)
    games = [list(one.trajectories) for one in runs[:3]]
    assert games[0] != games[1] != games[2]


def test_runs_that_differ_in_seed_or_group_are_one_study(runs: list[Run]) -> None:
    human, groups, centre = group_runs(runs[::-1])[::-1]
    assert (human.clicker, human.seeds, human.groups) == ("human:miss=0.0", (0, 1, 2), ())
    assert (groups.clicker, groups.groups) == (
        "group:group=*/10,alpha=4.0", tuple(range(1, 11)),
    )  # fmt: skip
    assert [one.spec.rules.clicker for one in groups.runs] == [
        f"group:group={number}/10,alpha=4.0" for number in range(1, 11)
    ]
    assert centre.runs == (runs[-1],)
    (alone,) = group_runs([runs[3]])
    assert alone.clicker == "group:group=10/10,alpha=4.0"


def test_the_baseline_differs_in_nothing_but_the_clicker(runs: list[Run], tmp_path: Path) -> None:
    for study in group_runs(runs):
        found = find_baseline(study)
        assert found is not None
        assert found.path == runs[-1].path
    other = run(toys.card, toys.blobs(5), RULES, out=tmp_path)
    assert find_baseline(group_runs([other])[0]) is None


def test_a_row_has_the_figures_of_all_its_runs(runs: list[Run]) -> None:
    studies = group_runs(runs)
    frame = make_study_frame(studies, [find_baseline(one) for one in studies])
    human, groups, centre = frame.to_dict("records")
    iou = np.stack([curves(one.trajectories, 4) for one in runs[:3]])
    noc = np.stack([clicks_to(one, 0.9) for one in iou])
    assert human["noc@90"] == pytest.approx(noc.mean())
    assert human["noc@90_std"] == pytest.approx(noc.std(axis=0).mean())
    area = ((iou[..., 1:] + iou[..., :-1]) / 2).mean(axis=-1)
    assert human["auc"] == pytest.approx(area.mean())
    assert human["nsr"] == pytest.approx(100 * (area.std(axis=0) / area.mean(axis=0)).mean())
    assert human["worst"] == pytest.approx(area.min(axis=0).mean())
    base = clicks_to(curves(runs[-1].trajectories, 4), 0.9)
    assert human["dsb"] == pytest.approx(100 * ((noc.mean(axis=0) - base) / base).mean())
    assert np.isnan(human["dgr"])
    first, last = (clicks_to(curves(runs[k].trajectories, 4), 0.9) for k in (12, 3))
    assert groups["dgr"] == pytest.approx(100 * ((first - last) / last).mean())
    assert not np.isnan(groups["dhh"])
    assert centre["dsb"] == 0
    assert np.isnan([centre["nsr"], centre["noc@90_std"]]).all()
    assert list(frame.label) == ["disks"] * 3


def test_the_table_says_how_many_were_played_and_drops_blank_columns(runs: list[Run]) -> None:
    studies = group_runs(runs)
    table = make_study_table(make_study_rows(studies, [None] * 3))
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    assert [row["Played"] for row in rows] == ["3 seeds", "10 groups", "1 seed"]
    assert " ± " in rows[0]["NoC@90"]
    assert " ± " not in rows[2]["NoC@90"]
    assert "dSB %" not in table.heads  # without a baseline
    assert "dGR %" in table.heads
    assert any(note.startswith("One run has no spread") for note in table.notes)


def test_runs_that_stop_at_an_iou_have_no_area(tmp_path: Path) -> None:
    rules = replace(RULES, stop_iou=0.8)
    studies = group_runs(run_seeds(toys.card, toys.blobs(3), rules, 2, out=tmp_path))
    (row,) = make_study_rows(studies, [None])
    assert not np.isnan(row["noc@80"])
    assert np.isnan([row["noc@90"], row["auc"], row["nsr"], row["gap"]]).all()


def test_fall_backs_are_counted_within_the_budget(tmp_path: Path) -> None:
    played = run(toys.card, toys.blobs(3), replace(RULES, clicker="boundary"), out=tmp_path)
    assert count_marks(played, "fallback", 1) == 3  # an empty mask has no outline
    assert count_marks(played, "fallback", 4) >= 3
    assert "3 of 3 clicks are those of centre, since boundary:width=3" in describe_marks(played, 1)
    (row,) = make_study_rows(group_runs([played]), [None], 1)
    assert row["fallback"] == 1


@pytest.mark.parametrize(
    ("clicker", "seeds", "said"),
    [
        ("centre", 2, "seeds is 2, but the clicker centre draws no random numbers"),
        ("spread", 10, "seeds is 10, but the clicker spread draws no random numbers"),
        ("human", 0, "seeds is 0; wanted at least 1"),
    ],
)
def test_seeds_without_chance_are_refused(
    tmp_path: Path, clicker: str, seeds: int, said: str
) -> None:
    with pytest.raises(IsbenchError, match=said):
        run_seeds(toys.card, toys.blobs(2), replace(RULES, clicker=clicker), seeds, out=tmp_path)
    assert not list(tmp_path.iterdir())
