"""The figures on the results page are those of the tables and of the recorded runs."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from isbench.papers.differences import format_difference
from isbench.papers.register import read_register
from isbench.reporting.compare import compare
from isbench.reporting.studies import find_baseline, group_runs
from isbench.reporting.study_tables import make_study_rows
from isbench.storage import store
from isbench.storage.store import Run

RESULTS = Path(__file__).parents[1] / "results"
PAGE = (RESULTS.parent / "docs" / "results.md").read_text()
TABLES = (RESULTS / "TABLES.md").read_text()


def read_table(name: str) -> list[list[str]]:
    """Return the cells of a table of TABLES.md, without the line below its heads."""
    text = TABLES.split(f"## Table {name}")[1].split("\n## ")[0]
    head, _, *lines = (line[2:-2].split(" | ") for line in text.splitlines() if line[:2] == "| ")
    return [head, *lines]


# of Table 3, by the part before ", seed 0"
ROWS = {
    "BS": "ritm-lite (weights=ablation-bs-s{seed})",
    "BS+FDM": "baseline-lite-fdm (weights=ablation-fdm-s{seed})",
    "BS+SGM": "csfpn-lite (hsgm=off, g2l=off, weights=ablation-sgm-s{seed})",
    "BS+SGM+HSGM": "csfpn-lite (g2l=off, weights=ablation-hsgm-s{seed})",
    "BS+SGM+HSGM+G2L": "csfpn-lite (global_clicks=0, weights=ablation-hsgm-s{seed})",
}
FIGURE = re.compile(r"(grabcut|berkeley|davis)(?: noc@(85|90))?", re.IGNORECASE)


def test_the_figures_of_the_results_page_are_those_of_the_tables() -> None:
    cells = pd.read_csv(RESULTS / "tables.csv", dtype={"table": str})
    measured = {
        (cell.model, cell.dataset, cell.metric): cell.measured
        for cell in cells[cells.table.isin(["1", "3"]) & (cells.max_clicks == 20)].itertuples()
    }
    seen = 0
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        head, _, *rows = ([c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines())
        for name, *figures in rows:
            part, _, seed = name.partition(", seed ")
            model = ROWS.get(part, name.strip("`")).format(seed=seed)
            for column, figure in zip(head[1:], figures, strict=True):
                if (known := FIGURE.match(column)) and (model, "grabcut", "noc@90") in measured:
                    metric = f"noc@{known[2] or 90}"
                    value = measured[model, known[1].lower(), metric]
                    assert figure == ("" if pd.isna(value) else f"{value:.2f}"), (name, column)
                    seen += 1
    assert seen == 4 * 7 + 3 * 10


def test_the_differences_on_the_results_page_are_those_of_table_3() -> None:
    head, *lines = read_table("3")
    columns = {name.split()[0]: number for number, name in enumerate(head)}
    printed = {line[3]: line for line in lines if re.search(r" minus .*, seed \d$", line[3])}
    rows = re.findall(
        r"^\| (BS\S* minus \S+, seed \d) \| (.*) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE
    )
    assert [name for name, *_ in rows] == [*printed]
    for name, *figures in rows:
        for place, figure in zip(("DAVIS", "GrabCut", "Berkeley"), figures, strict=True):
            assert printed[name][columns[place]].startswith(f"{figure}, p "), (name, place)


# the ideas of Table 5 by the names that the results page gives them
SYSTEMS = {
    "CFR's repeated passes": "CFR: ",
    "f-BRS": "f-BRS-B: ",
    "IA+SA": "IA+SA: ",
    "Without flip": "RITM without flip",
    "With another seed": "RITM, trained with another seed",
    "CSFPN": "CSFPN: ",
    "CDNet": "CDNet: ",
    "FCA-Net": "FCA-Net: ",
    "FocusCut": "FocusCut: ",
    "PseudoClick": "PseudoClick: ",
}
TIME, RATIO = "s/click on DAVIS", "s/click over RITM's"
DIFFERENCE = re.compile(r"[+-]\d+\.\d\d \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]")


def test_the_differences_and_seconds_of_the_ideas_are_those_of_their_rows_in_table_5() -> None:
    head, *lines = read_table("5")
    said = PAGE.split("### What the rows show")[1].split("\nFocusCut compared with other")[0]
    seen = 0
    for bullet in said.split("\n- **")[1:]:
        text = " ".join(bullet.split())
        system = SYSTEMS[text.partition("**")[0]]
        rows = [dict(zip(head, line, strict=True)) for line in lines if line[0].startswith(system)]
        columns = {(name, row[name]) for row in rows for name in head[2:]}
        for match in DIFFERENCE.finditer(text):
            around = text[max(0, match.start() - 50) : match.end() + 30]
            places = {name.split()[0] for name, figure in columns if figure == match[0]}
            assert any(place in around for place in places), match[0]
            seen += 1
        times = {lines[0][head.index(TIME)], *(row[TIME] for row in rows)}
        for seconds in re.findall(r"\b\d\.\d{3}\b", text):
            assert seconds in times
            seen += 1
        ratios = {row[RATIO] for row in rows}
        for ratio in re.findall(r"(\d+\.\d+)(?= to \d+\.\d+ times|\s+times)", text):
            assert ratio in ratios
            seen += 1
    assert seen >= 28


@cache
def find_run(dataset: str, label: str) -> Run:
    """Return the run of a data set that TABLES.md lists under this label."""
    (digest,) = set(re.findall(rf"^\| {dataset} \| {label} \|.*\| (\w+) \|$", TABLES, re.MULTILINE))
    (path,) = RESULTS.glob(f"{dataset}/*-{digest}.jsonl.gz")
    return store.read(path)


def subtract(dataset: str, first: str, second: str, metric: str = "NoC_20@90") -> str:
    """Return what the second of two runs has more than the first one, as it is printed."""
    rows = compare(find_run(dataset, second), find_run(dataset, first)).rows
    (difference,) = (difference for name, _, difference in rows if name == metric)
    return format_difference(difference)


ALL = ("grabcut", "berkeley", "davis")
BASE, OLD = "ritm-lite", "ritm-lite, crops128 weights"
FIRST, SECOND = (f"ritm-lite, ablation-bs-s{seed} weights" for seed in (0, 1))
UNFLIPPED = "ritm-lite, ablation-bs-s0 weights, no flip"
FOCUS = "focuscut-lite, table5 weights"
HSGM = "csfpn-lite, ablation-hsgm-s0 weights, no G2L"
FIRST_CLICKS = "csfpn-lite, ablation-hsgm-s0 weights"
EVERY_CLICK = [f"csfpn-lite, ablation-hsgm-s{seed} weights, global clicks 0" for seed in (0, 1)]
PACK, OFF, EVERY = (
    f"csfpn-lite, pack weights{end}" for end in ("", ", no G2L", ", global clicks 0")
)


@pytest.mark.parametrize(
    ("start", "end", "pairs"),
    [
        (
            "### The base of both tables",
            "### What the rows show",
            [
                *[(one, BASE, FIRST) for one in ALL],
                *[(one, BASE, SECOND) for one in ALL],
                ("davis", BASE, OLD),
                *[(one, OLD, FIRST) for one in ALL],
            ],
        ),
        (
            "The intervals are over images and do not contain the spread",
            "### When G2L costs clicks",
            [("davis", SECOND, one) for one in (HSGM, *EVERY_CLICK, FIRST_CLICKS)],
        ),
        (
            "NoC@90 with `crowds` minus",
            "The two were played",
            [
                *[(one, PACK, "csfpn-lite") for one in ALL],
                ("davis", PACK, "csfpn-lite", "NoC_20@85"),
            ],
        ),
        (
            "FocusCut compared with other rows",
            "The other rows are blank",
            [(dataset, base, FOCUS) for base in (UNFLIPPED, SECOND) for dataset in ALL],
        ),
        ("### When G2L costs clicks", "Held-out objects of the", [("davis", PACK, EVERY)]),
        (
            "| | no G2L | first three clicks |",
            "## Clicks like people's",
            [
                (dataset, OFF, after, metric)
                for dataset, metric in (
                    ("grabcut", "NoC_20@90"),
                    ("berkeley", "NoC_20@90"),
                    ("davis", "NoC_20@85"),
                    ("davis", "NoC_20@90"),
                )
                for after in (PACK, EVERY)
            ]
            + [
                ("grabcut", HSGM, FIRST_CLICKS),
                ("davis", HSGM, FIRST_CLICKS, "NoC_20@85"),
                ("davis", HSGM, FIRST_CLICKS),
                ("berkeley", HSGM, FIRST_CLICKS),
            ],
        ),
    ],
    ids=["base", "seeds", "crowds", "focuscut", "every click", "first clicks"],
)
def test_the_differences_in_a_passage_are_those_of_its_runs(
    start: str, end: str, pairs: list[tuple[str, ...]]
) -> None:
    text = " ".join(PAGE.split(start)[1].split(end)[0].split())
    assert DIFFERENCE.findall(text) == [subtract(*pair) for pair in pairs]


def test_the_seconds_of_focuscut_are_those_of_its_run_and_of_ritms_second_training() -> None:
    runs = [find_run("davis", one) for one in (FOCUS, SECOND)]
    times = read_register(RESULTS, runs).times
    passage = PAGE.split("FocusCut compared with other rows")[1].split("\n\n")[0]
    printed = re.findall(r"\b\d\.\d{3}\b", passage)
    found = [times[store.parse_digest(run.path)] for run in runs]
    assert printed == [f"{time.seconds:.3f}" for time in found]
    assert len({time.processor for time in found}) == 1


HUMAN = PAGE.split("## Clicks like people's")[1].split("\n## ")[0]


def list_human_games() -> list[tuple[str, str, list[str]]]:
    """Return the model, data set and figures of each row of the table of clicks like people's."""
    rows, model = [], ""
    for name, dataset, *figures in re.findall(
        r"^\| (.*?) ?\| (GrabCut|Berkeley|DAVIS) \| (.*) \| (.*) \| (.*) \|$", HUMAN, re.MULTILINE
    ):
        model = name.strip("`").replace(" --weights pack", ", pack weights") or model
        rows.append((model, dataset.lower(), figures))
    return rows


@pytest.mark.parametrize(("model", "dataset", "figures"), list_human_games())
def test_figures_with_clicks_like_peoples_are_those_of_the_runs(
    model: str, dataset: str, figures: list[str]
) -> None:
    seeds = ("", ", seed 1", ", seed 2")
    (study,) = group_runs([find_run(dataset, f"{model}, clicker human{seed}") for seed in seeds])
    centre = find_baseline(study)
    assert centre is not None
    (row,) = make_study_rows([study], [centre])
    noc, std, low, high = (row[f"noc@90{end}"] for end in ("", "_std", "_low", "_high"))
    (base,) = make_study_rows(group_runs([centre]), [centre])
    assert figures == [
        f"{base['noc@90']:.2f}",
        f"{noc:.2f} ± {std:.2f} [{low:.2f}, {high:.2f}]",
        f"{row['dsb']:.1f}",
    ]


def test_the_table_of_clicks_like_peoples_has_every_model_on_every_set() -> None:
    assert len(list_human_games()) == 4 * 3


def test_differences_between_clickers_are_those_of_their_runs() -> None:
    pairs = [
        ("davis", model, f"{model}, clicker human{seed}")
        for model in (BASE, PACK, "csfpn-lite")
        for seed in ("", ", seed 1", ", seed 2")
    ]
    assert DIFFERENCE.findall(" ".join(HUMAN.split())) == [subtract(*pair) for pair in pairs]
