"""The clicker that plays people's first clicks from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isbench.errors import IsbenchError
from isbench.evaluation.clickers.centre import centre
from isbench.evaluation.clickers.depths import FALLBACK
from isbench.evaluation.clickers.registry import make_clicker, parse_clicker
from isbench.evaluation.seeds import run_seeds
from isbench.testing import check_clicker
from isbench.types import Click, ClickInput, Rules
from tests.support import toys
from tests.support.click_inputs import make_input

HEAD = "dataset,full_stem,click_type,model_type,device,x,y,w,h\n"
ROWS = (
    "GrabCut,image,first,,pc,2,1,9,5\n"
    "GrabCut,image,fn,sam,pc,0,0,9,5\n"
    "GrabCut,image,first,,mobile,90.4,3.6,9,5\n"
    "DAVIS,image,first,,pc,4,4,9,5\n"
    "Berkeley,pair#002,first,,pc,0,0,9,5\n"
)


def write(path: Path, rows: str = ROWS) -> Path:
    path.write_text(HEAD + rows)
    return path


def show(key: str = "image#1", seed: int = 0) -> ClickInput:
    truth = np.ones((5, 9), bool)
    return replace(make_input(~truth, truth, ~truth), key=key, seed=seed)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "clicks.csv")


def test_the_seeds_play_the_recorded_first_clicks_one_by_one(file: Path) -> None:
    clicker = make_clicker(f"replay:{file},dataset=GrabCut")
    clicks = [clicker(show(seed=seed)).clicks[0] for seed in range(3)]
    assert clicks == [Click(1, 2, True), Click(4, 8, True), Click(1, 2, True)]  # x 90 is clipped
    assert make_clicker(f"replay:{file}")(show(seed=2)).clicks[0] == Click(4, 4, True)


def test_later_clicks_and_unknown_objects_fall_back(file: Path) -> None:
    clicker = make_clicker(f"replay:{file}")
    for given in (show("other#1"), show("image#2"), replace(show(), clicks=(Click(0, 0, True),))):
        assert clicker(given).clicks == (centre(given),)
        assert clicker(given).mark == FALLBACK
    assert clicker(show("pair#2")).clicks == (Click(0, 0, True),)


def test_it_keeps_the_contract(file: Path) -> None:
    check_clicker(f"replay:{file}")


def test_the_content_of_the_file_is_part_of_the_text(file: Path) -> None:
    text = parse_clicker(f"replay:{file}").text
    assert parse_clicker(text).text == text
    write(file, ROWS * 2)
    assert parse_clicker(f"replay:{file}").text != text
    make_clicker.cache_clear()
    with pytest.raises(IsbenchError, match=r"is not the file of the run, whose sha256 starts with"):
        make_clicker(text)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("GrabCut,image,fn,sam,pc,0,0,9,5\n", "has no first click"),
        ("GrabCut,image,first,,pc,here,0,9,5\n", "is no file of clicks .*here"),
        ("GrabCut,image,first,,pc,nan,0,9,5\n", "is no file of clicks"),
        ("GrabCut,image,first\n", "is no file of clicks"),
    ],
)
def test_a_file_without_clicks_is_refused(tmp_path: Path, rows: str, said: str) -> None:
    file = write(tmp_path / "clicks.csv", rows)
    with pytest.raises(IsbenchError, match=said):
        make_clicker(f"replay:{file}")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(IsbenchError, match="it has no column full_stem"):
        make_clicker(f"replay:{tmp_path / 'notes.csv'}")
    with pytest.raises(IsbenchError, match="cannot read"):
        make_clicker(f"replay:{tmp_path / 'none.csv'}")


def test_a_replay_without_a_file_is_one_line(isbench: Callable[..., tuple[int, str, str]]) -> None:
    code, _, said = isbench(
        "run", "--model", "nearest", "--dataset", "sample", "--clicker", "replay"
    )
    assert code == 2
    assert said == "isbench: clicker replay has no file; wanted replay:FILE (--clicker)\n"


def test_a_study_of_recorded_clicks_is_played(tmp_path: Path) -> None:
    data = toys.blobs(2)
    rows = "".join(f"toys,{key},first,,pc,{x},9,30,20\n" for key in data.keys for x in (7, 12, 20))
    file = write(tmp_path / "clicks.csv", rows)
    rules = Rules(1, 1.01, clicker=f"replay:{file}")
    runs = run_seeds(toys.card, data, rules, 3, out=tmp_path / "runs", workers=1)
    first = [[game.clicks[0].col for game in run.trajectories] for run in runs]
    assert first == [[7, 7], [12, 12], [20, 20]]
