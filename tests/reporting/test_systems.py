"""Several systems on several data sets: tests, corrections, ranks, and lines to quote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isbench.errors import IsbenchError
from isbench.metrics import compare_paired, find_metric
from isbench.models.registry import load_card
from isbench.reporting.chosen_runs import _take_plain, choose_newest, choose_systems
from isbench.reporting.labels import has_defaults
from isbench.reporting.quotes import format_p, quote_systems
from isbench.reporting.rank_plot import plot_critical_difference
from isbench.reporting.system_tables import collect_systems, make_means_table, make_tests_table
from isbench.reporting.systems import System, compare_systems
from isbench.storage.records import decode_trajectories
from isbench.storage.store import Run, parse_digest
from tests.reporting.test_plots import LONG, check_layout, make_runs
from tests.support.compared import make_run
from tests.support.toys import trajectory
from tests.test_docs import ROOT

FIRST = [3, 5, 2, 8, 4, 6, 3, 7, 2, 9]
SHIFTS = {"ours": 0, "other": 2, "worst": 6}


def make_systems(sizes: tuple[int, ...] = (10, 8, 6)) -> list[System]:
    """Return systems of which the first needs the fewest clicks on every object."""
    return [
        System(
            name,
            {
                f"set{k}": make_run([c + shift for c in FIRST[:size]], name, f"set{k}")
                for k, size in enumerate(sizes)
            },
        )
        for name, shift in SHIFTS.items()
    ]


def test_each_test_is_the_paired_comparison_of_its_data_set() -> None:
    found = compare_systems(make_systems())
    (figure,) = found.figures
    assert figure.name == "NoC_20@90"
    assert [(test.other, test.dataset) for test in figure.tests] == [
        (other, f"set{k}") for other in (1, 2) for k in range(3)
    ]
    a = np.array(FIRST, float)
    images = [f"i{n}" for n in range(10)]
    assert figure.tests[0].difference == compare_paired(a, a + 2, images)
    assert [test.means[0] for test in figure.overall] == [figure.means[:, 0].mean()] * 2
    assert (figure.overall[1].difference.mean, figure.overall[1].difference.wins) == (-6.0, 24)


def test_p_values_are_corrected_over_systems_data_sets_and_figures_together() -> None:
    metrics = [find_metric("noc@90"), find_metric("iou@5")]
    holm = compare_systems(make_systems(), metrics)
    p_values = [test.difference.p_value for one in holm.figures for test in one.tests]
    adjusted = [test.adjusted for one in holm.figures for test in one.tests]
    assert len(p_values) == 12
    assert min(adjusted) == pytest.approx(12 * min(p_values))
    milder = compare_systems(make_systems(), metrics, "benjamini-hochberg")
    assert all(
        test.adjusted <= other.adjusted
        for one, two in zip(milder.figures, holm.figures, strict=True)
        for test, other in zip(one.tests, two.tests, strict=True)
    )
    with pytest.raises(IsbenchError, match="did you mean holm"):
        compare_systems(make_systems(), correction="holms")


def test_systems_rank_over_data_sets_and_over_images_by_what_is_better() -> None:
    found = compare_systems(make_systems(), [find_metric("noc@90"), find_metric("iou@5")])
    noc, iou = found.figures
    assert noc.over_datasets.means.tolist() == noc.over_images.means.tolist() == [1.0, 2.0, 3.0]
    assert iou.over_datasets.means.tolist() == [1.0, 2.0, 3.0]
    assert (noc.over_datasets.blocks, noc.over_images.blocks) == (3, 24)


def test_failures_are_counted_in_objects() -> None:
    (figure,) = compare_systems(make_systems((10,)), [find_metric("nof@90")]).figures
    assert figure.means.tolist() == [[0.0, 0.0, 0.0]]
    never = System("never", {"set0": make_run([21] * 10, "never", "set0")})
    (figure,) = compare_systems([never, *make_systems((10,))], [find_metric("nof@90")]).figures
    assert figure.means.tolist() == [[10.0, 0.0, 0.0, 0.0]]


def test_objects_without_a_value_are_counted_and_left_out() -> None:
    lost = {"ours": [0.1, 0.2, 0.0, 0.3], "other": [0.2, 0.0, 0.1, 0.1]}  # 0: no click loses
    systems = []
    for name, losses in lost.items():
        games = [
            trajectory(f"image{n:03d}#{n}", [0.5, 0.5 - loss] + [0.9] * 18)
            for n, loss in enumerate(losses)
        ]
        run = replace(make_run([1] * 4, name, "set0"), trajectories=decode_trajectories(games))
        systems.append(System(name, {"set0": run}))
    found = compare_systems(systems, [find_metric("mean_loss")])
    assert (found.objects, found.images) == ((2,), (2,))
    name = found.figures[0].name
    assert name == f"{find_metric('mean_loss').name} (mean over objects)"  # tables: over clicks
    left_out = f"2 of 4 objects of set0 are left out of {name}, which not every run has for them"
    assert left_out in found.notes
    assert "(2 objects)" in "".join(quote_systems(found))


def test_a_line_to_quote_says_figures_interval_test_and_correction() -> None:
    several = quote_systems(compare_systems(make_systems()))
    assert several[0] == (
        "ours has a NoC_20@90 of 4.77 and other of 6.77 as the mean of 3 data sets (24 objects): a "
        "difference of -2.00 (95 % interval -2.00 to -2.00; paired sign-flip test over 24 images, "
        "p < 0.001); ours is better on 3 and worse on 0 of 3 data sets, on 2 and 0 with p < 0.05 "
        "after Holm's correction."
    )
    assert len(several) == 2
    (single,) = quote_systems(compare_systems(make_systems((10,))[:2]))
    assert single.endswith("paired sign-flip test over 10 images, p = 0.002).")
    assert " on set0 (10 objects): a difference of -2.00 " in single
    assert "after Holm's correction" in quote_systems(compare_systems(make_systems((10,))))[0]
    assert (format_p(0.0001), format_p(0.0234)) == ("p < 0.001", "p = 0.023")


def test_tables_and_json_have_every_test() -> None:
    found = compare_systems(make_systems())
    means, tests = make_means_table(found), make_tests_table(found)
    assert [row[0] for row in means.rows] == list(SHIFTS)
    assert means.heads[-2:] == ("rank (data sets)", "rank (images)")
    assert len(tests.rows) == 2 * (3 + 1)
    assert any("critical difference" in note for note in means.notes)
    values = json.loads(json.dumps(collect_systems(found), allow_nan=False))
    assert len(values["figures"][0]["tests"]) == 8
    assert values["quotes"] == quote_systems(found)


def test_runs_over_other_objects_data_or_shorter_games_are_refused() -> None:
    ours, other, _ = make_systems((10,))
    base = other.runs["set0"]

    def change(**values: object) -> list[System]:
        return [ours, System("x", {"set0": replace(base, spec=replace(base.spec, **values))})]  # type: ignore[arg-type]

    with pytest.raises(IsbenchError, match="different objects"):
        compare_systems(change(keys="others"))
    with pytest.raises(IsbenchError, match="different files"):
        compare_systems(change(fingerprint="others"))
    with pytest.raises(IsbenchError, match="cannot tell NoC@90") as caught:
        compare_systems(change(rules=replace(base.spec.rules, stop_iou=0.8)))
    assert caught.value.setting == "metric"
    with pytest.raises(IsbenchError, match="1 systems to compare; wanted at least 2"):
        compare_systems([ours])


def test_systems_are_found_by_model_folder_and_digests() -> None:
    results = ROOT / "results"
    (a, b), notes = choose_systems(["nearest", "random-walker"], results)
    assert list(a) == list(b) == ["berkeley", "davis", "grabcut", "sample"]
    assert notes == []
    digests = "2c8f80ad729b,867640f26b54"  # of nearest on GrabCut and DAVIS
    (c, d), notes = choose_systems([digests, "random-walker"], results)
    assert {name: run.path for name, run in c.items()} == {
        name: a[name].path for name in ("grabcut", "davis")
    }
    assert [run.path for run in d.values()] == [b[name].path for name in d]
    assert notes == [
        f"{name} is left out: not every system has a run on it" for name in ("berkeley", "sample")
    ]
    (only, _), _ = choose_systems(["nearest", "random-walker"], results, ["davis"])
    assert list(only) == ["davis"]
    with pytest.raises(IsbenchError, match="no data set has a run of every system"):
        choose_systems(["2c8f80ad729b", "867640f26b54"], results)
    with pytest.raises(IsbenchError, match=r"davis matches \d+ runs; wanted one"):
        choose_systems([str(results / "davis"), "nearest"], results)


def test_of_several_runs_of_a_model_that_with_its_defaults_is_compared() -> None:
    (a, _), notes = choose_systems(["ritm-lite", "nearest"], ROOT / "results", ["davis"])
    spec, options = a["davis"].spec, load_card("ritm-lite").options
    changed = {key for key, value in spec.options.items() if value != options[key]}
    assert changed <= {"longest_side"}  # as it was recorded: no limit
    assert spec.rules.clicker == "centre"
    (note,) = notes
    digest = parse_digest(a["davis"].path)
    assert re.fullmatch(rf"ritm-lite has \d+ runs on davis; .*defaults is compared, {digest}", note)


@pytest.mark.parametrize(
    "values",
    [
        [{"weights": "a" * 64}, {"weights": "b" * 64}],
        [{"options": {"flip": False}}, {"options": {"zoom": False}}],
        [{"precision": "bf16"}, {"precision": "fp16"}],
    ],
)
def test_without_a_run_with_the_defaults_or_with_two_of_them_there_is_none_to_compare(
    values: list[dict[str, object]], tmp_path: Path
) -> None:
    (chosen, _), _ = choose_systems(["ritm-lite", "nearest"], ROOT / "results", ["grabcut"])
    run = chosen["grabcut"]
    assert has_defaults(run)
    changed = [
        replace(
            run,
            spec=replace(
                run.spec, **{**one, "options": {**run.spec.options, **one.get("options", {})}}
            ),
        )  # type: ignore[arg-type, dict-item]
        for one in values
    ]
    with pytest.raises(IsbenchError, match="ritm-lite matches 2 runs; wanted one"):
        _take_plain("ritm-lite", changed, [])
    assert _take_plain("ritm-lite", changed[:1], []) is changed[0]


def test_a_run_of_one_click_is_not_drawn_in_place_of_a_longer_one() -> None:
    long = make_run(FIRST, "m", "set0")
    rules = replace(long.spec.rules, max_clicks=1, stop_iou=0.9)
    newer = ({"started": "2999-01-01T00:00:00+00:00"},)
    whole = replace(long, spec=replace(long.spec, rules=replace(long.spec.rules, stop_iou=1.01)))
    short = replace(
        long, spec=replace(long.spec, rules=rules), meta=newer, path=Path("m-0.jsonl.gz")
    )
    assert choose_newest([short, whole]).runs == [whole]


def draw(count: int, datasets: int, long: bool = False) -> list[Run]:
    names = [f"{LONG if long and k % 2 else 'm'}-{k}" for k in range(count)]
    runs = [run for n in range(datasets) for run in make_runs(names, f"set{n}", objects=7)]
    return [replace(run, path=Path(run.path.parent, f"r-{k:012x}.jsonl.gz"))
            for k, run in enumerate(runs)]  # fmt: skip


@pytest.mark.parametrize("count", [2, 3, 5, 12, 30])
@pytest.mark.parametrize("datasets", [1, 3])
def test_the_plot_of_critical_differences_has_its_layout(count: int, datasets: int) -> None:
    figure = plot_critical_difference(draw(count, datasets, long=True), 20)
    check_layout(figure, least=0.35)  # two systems need little height
    assert len(figure.axes) == min(datasets, 2)


def test_every_system_of_the_plot_is_named_with_its_rank() -> None:
    figure = plot_critical_difference(draw(4, 3), 20)
    for panel in figure.axes:
        texts = [text.get_text() for text in panel.texts]
        for name in range(4):
            assert sum(text.startswith(f"m-{name} ") for text in texts) == 1


def test_the_plot_names_the_clicks_that_its_shortest_run_allows() -> None:
    runs = draw(2, 1)
    rules = replace(runs[0].spec.rules, max_clicks=10)
    short = [replace(runs[0], spec=replace(runs[0].spec, rules=rules)), runs[1]]
    for drawn, name in ((runs, "NoC_20@90"), (short, "NoC_10@90")):
        texts = [text.get_text() for text in plot_critical_difference(drawn, 20).texts]
        assert any(text.startswith(f"Mean rank by {name} over 7 images") for text in texts)


def test_the_plot_leaves_data_sets_out_that_not_every_system_played() -> None:
    runs = draw(3, 3)[:-1]
    figure = plot_critical_difference(runs, 20)
    assert any("Left out" in text.get_text() and "set2" in text.get_text()
               for text in figure.texts)  # fmt: skip
    with pytest.raises(IsbenchError, match="the runs are of 1 system; wanted at least 2"):
        plot_critical_difference(draw(1, 2), 20)
