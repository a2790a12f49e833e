"""Conditions on a new run: how they are read, and when they pass, warn, cannot tell and fail."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.metrics import METRICS, Games, Metric, Values
from isbench.reporting.gate import EXIT_CODES, Verdict, find_outcome, judge, parse_condition
from isbench.reporting.gate_formats import collect_verdicts, format_junit, make_gate_table
from isbench.reporting.text_table import format_markdown
from tests.support.compared import make_run

CLICKS = [3, 5, 2, 8, 4, 6, 3, 7, 2, 9, 5, 4]


def decide(new: list[int], text: str, base: list[int] | None = None) -> Verdict:
    (verdict,) = judge(
        make_run(base or CLICKS, "base"), make_run(new, "new"), [parse_condition(text)]
    )
    return verdict


@pytest.mark.parametrize(
    ("text", "key", "limit", "relative"),
    [
        ("noc90 > +0.2", "noc@90", 0.2, False),
        ("NoC@90>0.2", "noc@90", 0.2, False),
        ("NoC_20@85 > 5%", "noc@85", 0.05, True),
        (" nof90 > 3 ", "nof@90", 3, False),
        ("iou@5 < -0.01", "iou@5", 0.01, False),
        ("iou5 < -1 %", "iou@5", 0.01, True),
        ("nof_ritm@90 > .5", "nof_ritm@90", 0.5, False),
        ("seconds_per_click > 10%", "seconds_per_click", 0.1, True),
    ],
)
def test_conditions_are_read_as_people_write_them(
    text: str, key: str, limit: float, relative: bool
) -> None:
    found = parse_condition(text)
    assert (found.metric.key, found.limit, found.relative) == (key, pytest.approx(limit), relative)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", 'wanted a metric, > or <, and a change, as in "noc90 > +0.2"'),
        ("noc90", "wanted a metric, > or <"),
        ("noc90 > much", "condition is 'noc90 > much'"),
        ("noc90 >= 0.2", "wanted a metric, > or <"),
        ("noc90 > 1e-3", "wanted a metric, > or <"),
        ("nocc@90 > 0.2", "did you mean noc@90?"),
        (
            "noc90 < -0.2",
            "would fail a better run: NoC@90 is better when lower; wanted noc@90 > +0.2",
        ),
        ("noc90 > -0.2", "wanted noc@90 > +0.2"),
        ("iou@5 > 1%", "IoU@5 is better when higher; wanted iou@5 < -1%"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(IsbenchError) as caught:
        parse_condition(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.setting == "fail_if"


@given(st.text(max_size=30))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    with suppress(IsbenchError):
        assert parse_condition(text).limit >= 0


def test_the_same_games_pass_however_few_they_are() -> None:
    assert decide(CLICKS, "noc90 > 0").outcome == "PASS"
    assert decide([4], "noc90 > 0", base=[4]).outcome == "PASS"


def test_a_run_that_is_clearly_worse_fails_only_beyond_the_limit() -> None:
    worse = [c + 2 for c in CLICKS]
    found = decide(worse, "noc90 > +0.2")
    assert (found.outcome, found.measured.change) == ("FAIL", 2.0)
    assert decide(worse, "noc90 > +1.9").outcome == "FAIL"
    assert decide(worse, "noc90 > +2").outcome == "WARN"
    assert decide(worse, "noc90 > 50%").outcome == "WARN"
    assert decide(worse, "noc90 > 10%").outcome == "FAIL"


def test_a_run_that_is_clearly_better_passes() -> None:
    assert decide(CLICKS, "noc90 > 0", base=[c + 2 for c in CLICKS]).outcome == "PASS"


def test_a_change_that_may_be_chance_is_inconclusive_and_says_what_the_objects_can_tell() -> None:
    noisy = [c + (9 if n == 0 else (-1) ** n) for n, c in enumerate(CLICKS)]
    found = decide(noisy, "noc90 > +0.2")
    assert found.measured.change > 0.2
    assert found.outcome == "INCONCLUSIVE"
    assert f"12 objects tell a change of {found.measured.smallest:.2g} or more" in found.reason
    assert decide(noisy, "noc90 > +15").outcome == "PASS"  # the interval excludes so much


def test_a_small_set_cannot_tell_even_a_large_change() -> None:
    found = decide([20] * 5, "noc90 > +0.2", base=[2] * 5)
    assert found.outcome == "INCONCLUSIVE"
    assert "a test over 5 images finds no difference; wanted 6 or more" in found.reason
    assert decide([2] * 5, "noc90 > +0.2", base=[20] * 5).outcome == "INCONCLUSIVE"
    assert decide([20] * 6, "noc90 > +0.2", base=[2] * 6).outcome == "FAIL"


def test_objects_of_one_image_are_no_independent_evidence() -> None:
    base, new = (make_run([c] * 30, name, images=5) for c, name in ((2, "base"), (4, "new")))
    (found,) = judge(base, new, [parse_condition("noc90 > 0.2")])
    assert (found.outcome, found.measured.images) == ("INCONCLUSIVE", 5)


def test_failures_are_counted_in_objects() -> None:
    worse = [*[21] * 8, *CLICKS[8:]]
    found = decide(worse, "nof90 > 3")
    assert (found.measured.base, found.measured.new, found.measured.change) == (0, 8, 8)
    assert found.outcome == "FAIL"
    assert decide(worse, "nof90 > 8").outcome == "WARN"


def test_a_figure_that_is_better_when_higher_fails_below_its_limit() -> None:
    worse = [c + 3 for c in CLICKS]
    found = decide(worse, "iou@5 < -0.01")
    assert found.measured.change < -0.01
    assert (found.outcome, found.limit) == ("FAIL", -0.01)
    assert decide(CLICKS, "iou@5 < -0.01", base=worse).outcome == "PASS"


def test_objects_without_a_value_are_left_out() -> None:
    def compute(games: Games) -> Values:
        return np.where(games.iou[:, 3] > 0.9, games.clicks * 1.0, np.nan)

    partly = Metric("Partly", "partly", compute)
    base, new = make_run(CLICKS, "base"), make_run([1, *CLICKS[1:]], "new")
    (found,) = judge(base, new, [parse_condition("partly > 1", [*METRICS, partly])])
    assert found.measured.objects == sum(c <= 4 for c in CLICKS)


def test_a_figure_that_a_run_cannot_tell_is_refused() -> None:
    base, new = make_run(CLICKS, "base"), make_run(CLICKS, "new")
    rules = replace(new.spec.rules, stop_iou=0.85)
    early = replace(new, spec=replace(new.spec, rules=rules))
    for text in ("noc90 > 1", "iou@5 < -1%"):
        with pytest.raises(IsbenchError, match=r"run new on made \(\w+\) cannot tell") as caught:
            judge(base, early, [parse_condition(text)])
        assert caught.value.setting == "fail_if"
    with pytest.raises(IsbenchError, match="cannot tell Seconds/click"):
        judge(base, new, [parse_condition("seconds_per_click > 10%")])


@given(st.lists(st.tuples(st.integers(1, 21), st.integers(1, 21)), min_size=1, max_size=14))
@settings(max_examples=30)
def test_a_better_run_never_fails_and_a_higher_limit_is_never_worse(
    pairs: list[tuple[int, int]],
) -> None:
    base, new = (list(clicks) for clicks in zip(*pairs, strict=True))
    outcomes = [decide(new, f"noc90 > {limit}", base=base).outcome for limit in (0, 1, 30)]
    order = ["PASS", "WARN", "INCONCLUSIVE", "FAIL"]
    if sum(map(lambda c: min(c, 20), new)) <= sum(map(lambda c: min(c, 20), base)):
        assert not {"FAIL", "WARN"} & set(outcomes)
    assert order.index(outcomes[0]) >= order.index(outcomes[2])
    assert outcomes[2] != "FAIL"


def test_the_worst_outcome_decides() -> None:
    good, doubtful = decide(CLICKS, "noc90 > 0"), decide([20] * 5, "noc90 > 0", base=[2] * 5)
    bad = decide([c + 2 for c in CLICKS], "noc90 > 0")
    assert find_outcome([good]) == "PASS"
    assert find_outcome([good, doubtful]) == "INCONCLUSIVE"
    assert find_outcome([doubtful, bad, good]) == "FAIL"
    assert EXIT_CODES == {"PASS": 0, "WARN": 0, "INCONCLUSIVE": 3, "FAIL": 1}


def test_every_format_has_every_verdict() -> None:
    verdicts = [
        decide(CLICKS, "noc90 > 0"),
        decide([c + 2 for c in CLICKS], "noc90 > 3"),
        decide([4], "noc90 > 0", base=[3]),
        decide([c + 2 for c in CLICKS], "noc90 > 0"),
    ]
    outcomes = ["PASS", "WARN", "INCONCLUSIVE", "FAIL"]
    assert [one.outcome for one in verdicts] == outcomes
    values = json.loads(json.dumps(collect_verdicts(verdicts), allow_nan=False))
    assert [one["outcome"] for one in values["conditions"]] == outcomes
    assert (values["outcome"], values["exit_code"]) == ("FAIL", 1)
    assert values["conditions"][2]["low"] is None  # one image has no interval
    table = make_gate_table(verdicts)
    assert [row[0] for row in table.rows] == outcomes
    assert "Outcome: FAIL" in format_markdown(table)
    suite = ElementTree.fromstring(format_junit(verdicts, "new \x1b against <base>"))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["4", "1", "1"]
    assert [[child.tag for child in case] for case in suite] == [
        ["system-out"], ["system-out"], ["skipped"], ["failure"],
    ]  # fmt: skip
