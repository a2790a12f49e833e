"""A third-party paper is found by its entry point, and its tables by `PAPER:TABLE` or by number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.evaluation import runner
from isbench.papers import Paper, PaperTable, Question, Row
from isbench.papers.registry import find_table, list_tables, load_paper
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Rules
from tests.support.packages import install_package

Isbench = Callable[..., tuple[int, str, str]]
Add = Callable[..., None]

TINY = """
from isbench.papers import Paper, PaperTable, Question, Row
from isbench.types import Rules

ROW, FOUR = Row("Nearest click", model="nearest"), Question("sample", 4, "noc@90")
TABLE = PaperTable("{table}", "clicks", (ROW,), (FOUR,), {{(ROW, FOUR): 3.5}}, Rules(4, 1.01))
paper = Paper("{name}", "A tiny paper", (TABLE,))
"""


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Return a function that installs a paper: its name, its table's name or another source."""

    def install_paper(name: str, table: str = "7", source: str = TINY) -> None:
        source = source.format(name=name, table=table)
        module = f"{tmp_path.name}_{name}"  # no test imports the module of another
        points = {"isbench.papers": {name: f"{module}:paper"}}
        install_package(monkeypatch, tmp_path / name, {module: source}, points)

    return install_paper


def noc(run: Run) -> float:
    """Return the mean number of clicks to IoU 0.90 of games of 4 clicks."""
    found = []
    for game in run.trajectories:
        iou = [intersection / union for intersection, union in game.overlap]
        found.append(next((k for k, value in enumerate(iou, start=1) if value >= 0.90), 4))
    return sum(found) / len(found)


def test_a_tiny_paper_is_shown_with_a_measured_figure(
    isbench: Isbench, add: Add, tmp_path: Path
) -> None:
    add("tiny1")
    run = runner.run("nearest", load_dataset("sample"), Rules(4, 1.01), out=tmp_path)
    words = ("report", "--runs", tmp_path, "--format", "markdown", "--table")
    code, printed, said = isbench(*words, "tiny1:7")
    assert code == 0, said
    head, _, row = printed.splitlines()[:3]
    assert head.endswith("| Model | sample NoC@90 |")
    assert row == f"| Nearest click |  |  | nearest | 3.50 / {noc(run):.2f} |"
    assert f"nearest: sample 16 objects, run {store.parse_digest(run.path)}." in printed
    assert "this project" not in printed
    assert isbench(*words, "7")[1] == printed


def test_a_paper_s_pages_are_written_and_checked(
    isbench: Isbench, add: Add, tmp_path: Path
) -> None:
    add("tiny2")
    results = tmp_path / "results"
    runner.run("nearest", load_dataset("sample"), Rules(4, 1.01), out=results)
    words = ("reproduce", "--paper", "tiny2", "--budget", "none", "--results", results)
    assert isbench(*words)[0] == 0
    page = (results / "TABLES.md").read_text()
    assert "The tables of A tiny paper, made by `isbench reproduce --paper tiny2`" in page
    assert "## Table 7: clicks" in page
    assert (results / "tables.csv").read_text().splitlines()[1].startswith("7,Nearest click,")
    assert isbench(*words, "--check")[:2] == (0, "1 runs, 0 replayed, 0 skipped, 0 drifts\n")
    (results / "tables.csv").unlink()
    code, _, said = isbench(*words, "--check")
    assert (code, "--budget none --paper tiny2" in said) == (1, True)


def test_what_a_paper_lacks_is_played(isbench: Isbench, add: Add, tmp_path: Path) -> None:
    add("tiny3")
    words = ("--paper", "tiny3", "--table", "7", "--results", tmp_path / "r", "--workers", "1")
    code, printed, said = isbench("reproduce", *words)
    assert code == 0, said
    assert "nearest" in printed
    (run,) = map(store.read, store.find(tmp_path / "r"))
    assert f"3.50 / {noc(run):.2f}" in (tmp_path / "r" / "TABLES.md").read_text()


def test_a_number_means_the_paper_that_comes_with_isbench(add: Add) -> None:
    add("tiny4", table="1")
    assert find_table("1") is load_paper().find_table("1")
    assert find_table("csfpn:1") is load_paper().find_table("1")
    assert find_table("tiny4:1") is load_paper("tiny4").find_table("1")


def test_a_number_in_two_other_papers_is_refused_and_both_are_named(add: Add) -> None:
    add("tiny5")
    assert find_table("7") is load_paper("tiny5").find_table("7")
    add("tiny6")
    with pytest.raises(IsbenchError, match=r"several papers have a table 7; .* tiny5:7, tiny6:7"):
        find_table("7")


def test_a_number_in_no_paper_is_refused_and_all_tables_are_named(
    isbench: Isbench, add: Add
) -> None:
    add("tiny7")
    add("broken", source="raise RuntimeError('a paper that is broken')")
    assert find_table("9") is None
    code, _, said = isbench("report", "--table", "9")
    assert (code, said.count("\n")) == (2, 1)
    assert "no table named '9'" in said
    assert "csfpn:1, csfpn:2, csfpn:3, csfpn:4, csfpn:5" in said
    assert "available: 7\n" in isbench("report", "--table", "tiny7:9")[2]
    assert list_tables() == (*(f"csfpn:{number}" for number in range(1, 6)), "tiny7:7")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('broken')", "cannot be imported: RuntimeError: broken"),
        ("paper = 'a paper'", "is a str; wanted an isbench.Paper"),
        (TINY.replace('"{name}"', '"other"'), "is named 'other'; wanted the same name"),
        (TINY.replace('"sample"', '"davos"'), "no data set of .* named 'davos'; did you mean"),
    ],
)
def test_a_paper_that_is_none_is_refused(add: Add, source: str, said: str) -> None:
    add("bad", source=source)
    with pytest.raises(IsbenchError, match=said):
        load_paper("bad")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "--table", "csfpn:9"), "no table of csfpn named '9'; available: 1, 2, 3, 4, 5"),
        (("report", "--table", "csfpm:1"), "no paper named 'csfpm'; did you mean csfpn?"),
        (("report", "--table", ":1"), "no paper named ''"),
    ],
)
def test_a_table_that_no_paper_has_is_one_line_and_exit_code_2(
    isbench: Isbench, words: tuple[str, ...], said: str
) -> None:
    code, _, errors = isbench(*words)
    assert (code, errors.count("\n")) == (2, 1)
    assert said in errors


ROW, DAVIS = Row("One", model="nearest"), Question("davis", 20, "noc@90")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "a:1"}, "is named 'a:1'"),
        ({"published": {(Row("Two"), DAVIS): 1.0}}, "publishes a figure for Row.*wanted one of"),
        ({"heads": ("a", "b")}, "2 heads for 1 questions"),
        ({"rules": Rules(10)}, "within 20 clicks, but its games end after 10"),
        ({"rules": Rules(20, 0.85)}, "or at IoU 0.85"),
        ({"questions": (Question("davis", 20, "iou"),)}, "the metric 'iou'"),
    ],
)
def test_values_of_a_table_that_do_not_fit_are_refused(
    changes: dict[str, object], said: str
) -> None:
    values = {"name": "1", "title": "clicks", "rows": (ROW,), "questions": (DAVIS,), **changes}
    with pytest.raises(IsbenchError, match=said):
        PaperTable(**values)  # type: ignore[arg-type]


def test_a_paper_has_a_name_and_each_table_once() -> None:
    table = PaperTable("1", "clicks", (ROW,), (DAVIS,))
    with pytest.raises(IsbenchError, match="tables 1, 1; wanted every name once"):
        Paper("twice", "Twice", (table, table))
    with pytest.raises(IsbenchError, match="a paper is named 'a b'"):
        Paper("a b", "A b", ())
