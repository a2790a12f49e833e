"""Which metrics there are: those of isbench, and those that packages add."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isbench.errors import IsbenchError
from isbench.metrics import METRICS, find_metric, list_metrics
from isbench.storage import store
from tests.support.packages import install_package

Isbench = Callable[..., tuple[int, str, str]]
METRIC = "from isbench import Metric\ndef take(games):\n    return games.clicks\n"


def test_without_packages_they_are_those_of_isbench() -> None:
    assert list_metrics() == METRICS


def test_those_of_packages_come_last_in_order_of_their_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"{METRIC}one = Metric('One', 'one', take)\n"
    points = {"isbench.metrics": {"b": "toy_metrics:one"}}
    install_package(monkeypatch, tmp_path / "toy", {"toy_metrics": code}, points)
    assert [metric.name for metric in list_metrics()[len(METRICS) :]] == ["One"]
    code = f"{METRIC}pair = (Metric('Two', 'two', take), Metric('Three', 'three', take))\n"
    points = {"isbench.metrics": {"a": "more_metrics:pair"}}
    install_package(monkeypatch, tmp_path / "more", {"more_metrics": code}, points)
    found = list_metrics()
    assert found[: len(METRICS)] == METRICS
    assert [metric.name for metric in found[len(METRICS) :]] == ["Two", "Three", "One"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("Metric('NoC@90', 'mine', take)", "two metrics are named 'NoC@90'"),
        (
            "Metric('Mine', 'noc@90', take)",
            "metrics NoC@90 and Mine both have the csv column 'noc@90'",
        ),
        (
            "Metric('Mine', 'noc@90_low', take, summary='sum')",
            "metrics NoC@90 and Mine both have the csv column 'noc@90_low'",
        ),
        ("3", "metric 'toy' of a package is a int; wanted an isbench.Metric or a tuple of them"),
        ("(take,)", "metric 'toy' of a package is a function"),
        ("Metric('Mine', 'mine', take, better='more')", "metric 'Mine' has better 'more'"),
        ("1 / 0", "metric 'toy' .* cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_a_metric_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, message: str
) -> None:
    module = f"toy_{tmp_path.name}"  # a name of its own, since Python keeps imported modules
    code = f"{METRIC}made = {made}\n"
    points = {"isbench.metrics": {"toy": f"{module}:made"}}
    install_package(monkeypatch, tmp_path / "toy", {module: code}, points)
    with pytest.raises(IsbenchError, match=message):
        list_metrics()


def test_a_metric_that_raises_hides_neither_the_run_nor_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isbench: Isbench
) -> None:
    code = "from isbench import Metric\nmade = Metric('Mine', 'm', lambda games: 1 / 0, view='noc')"
    points = {"isbench.metrics": {"toy": "raising_metric:made"}}
    install_package(monkeypatch, tmp_path / "toy", {"raising_metric": code}, points)
    words = ("--model", "nearest", "--dataset", "sample", "--limit", 1, "--out", tmp_path / "runs")
    code, printed, said = isbench("run", *words)
    assert code == 2
    assert "metric Mine raised ZeroDivisionError" in said
    (path,) = store.find(tmp_path / "runs")
    assert printed == f"nearest on sample: {path}\n"


def test_an_unknown_key_is_an_error_with_the_nearest() -> None:
    assert find_metric("noc@85").name == "NoC@85"
    with pytest.raises(IsbenchError, match=r"no metric named 'clics'; did you mean clicks\?"):
        find_metric("clics")
