"""Short names of runs: unique, made from what differs, printable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.files.digests import digest_file
from isbench.models import registry
from isbench.models.registry import load_card
from isbench.reporting.chosen_runs import choose_runs
from isbench.reporting.labels import find_shared, format_count, make_labels
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Rules
from tests.test_docs import ROOT

RESULTS = ROOT / "results"


@pytest.fixture(scope="module")
def base() -> Run:
    return choose_runs(["c81fcec12a4b"], RESULTS).runs[0]


def vary(base: Run, changes: dict[str, Any], number: int) -> Run:
    """Return the run with another spec and another digest."""
    rules = changes.pop("rules", base.spec.rules)
    spec = replace(base.spec, rules=rules, **changes)
    return replace(base, spec=spec, path=Path(f"run-{number:012x}.jsonl.gz"))


def test_committed_runs_have_short_names() -> None:
    runs, _ = choose_runs([RESULTS / "davis"])
    names = dict(
        zip([store.parse_digest(run.path) for run in runs], make_labels(runs), strict=True)
    )
    assert names["26dfcf756327"] == "csfpn-mini"
    assert names["67405894c6e0"] == "csfpn-mini, 100 clicks"
    assert names["87e60a7ecedb"] == "csfpn-lite, 12760ca weights, no G2L"
    assert names["5238bbe62483"] == "ritm-lite, 0e5d688 weights, no flip"
    assert names["867640f26b54"] == "nearest"
    assert names["50770275fa0d"] == "csfpn-lite"
    assert names["278360a9725c"] == "csfpn-lite, 100 clicks"
    assert names["ea84b6f7aad1"] == "csfpn-lite, pack weights"
    assert names["b0f9a8cb6415"] == "csfpn-lite, pack weights, global clicks 0"
    assert max(name.count(",") for name in names.values()) <= 3
    assert all(len(name) < 45 or name.count(",") == 3 for name in names.values())
    assert not any("=" in name or "None" in name for name in names.values())


OPTIONS = st.dictionaries(
    st.sampled_from(["flip", "g2l", "zoom_target", "mode"]),
    st.one_of(st.booleans(), st.integers(0, 3), st.sampled_from(["a", "b"])),
)
CHANGES = st.fixed_dictionaries(
    {"model": st.sampled_from(["nearest", "csfpn-mini", "other:card"])},
    optional={
        "options": OPTIONS,
        "weights": st.sampled_from([None, "random", "ab" * 32, "cd" * 32]),
        "dataset": st.sampled_from(["sample", "davis"]),
        "limit": st.sampled_from([None, 1, 5]),
        "rules": st.builds(Rules, st.sampled_from([1, 20]), st.sampled_from([0.9, 1.01])),
        "threads": st.integers(1, 2),
        "version": st.sampled_from(["1", "2"]),
    },
)


@given(changes=st.lists(CHANGES, min_size=1, max_size=8), chosen=st.text(max_size=9))
def test_names_are_unique_on_a_data_set_and_printable(
    base: Run, changes: list[dict[str, Any]], chosen: str
) -> None:
    runs = [vary(base, dict(change), number) for number, change in enumerate(changes)]
    given_names = {"000000000000": chosen, "000000000001": chosen}
    for labels in (make_labels(runs), make_labels(runs, given_names)):
        named = [(run.spec.dataset, label) for run, label in zip(runs, labels, strict=True)]
        assert len(set(named)) == len(named)
        assert all(label.isprintable() and label.strip() for label in labels)
    for run, label in zip(runs, make_labels(runs), strict=True):
        assert "None" not in label  # a chosen name may have it
        assert "1 clicks" not in label
        assert label.startswith(run.spec.model)
        assert ("random" in label) == (run.spec.weights == "random")
        assert ("first" in label) == (run.spec.limit is not None)


def test_weights_with_a_given_name_are_always_named(base: Run) -> None:
    runs = [
        vary(base, {"model": "fcanet-lite", "weights": weights}, number)
        for number, weights in enumerate(["ab" * 32, "cd" * 32])
    ]
    names = {"ab" * 32: "table5", "ef" * 32: "other"}
    assert make_labels(runs[:1]) == ["fcanet-lite"]
    assert make_labels(runs[:1], weights=names) == ["fcanet-lite, table5 weights"]
    assert make_labels(runs, weights=names)[0] == "fcanet-lite, table5 weights"


def test_weights_that_are_not_the_default_are_named_even_alone(base: Run) -> None:
    card = load_card("csfpn-lite")
    default, other = (digest_file(path) for path in card.bundled.values())
    labels = [
        make_labels([vary(base, {"model": "csfpn-lite", "weights": weights}, 1)])
        for weights in (default, other, "ab" * 32, None)
    ]
    names = ["", ", pack weights", ", abababa weights", ""]
    assert labels == [[f"csfpn-lite{name}"] for name in names]
    runs = [  # of a model without a default
        vary(base, {"model": "ritm-hrnet18", "weights": weights}, number)
        for number, weights in enumerate(("ab" * 32, "cd" * 32))
    ]
    assert make_labels(runs[:1]) == ["ritm-hrnet18"]
    assert make_labels(runs) == ["ritm-hrnet18, abababa weights", "ritm-hrnet18, cdcdcdc weights"]


def test_what_all_runs_share_is_said_once(base: Run) -> None:
    runs = [vary(base, {"model": name, "limit": 5}, k) for k, name in enumerate("ab")]
    assert find_shared(runs) == {"limit": "first 5 objects"}
    assert make_labels(runs, shared=find_shared(runs)) == ["a", "b"]
    assert find_shared([base]) == {}


def test_an_option_that_records_lack_where_it_plays_as_before_is_named_in_others(
    base: Run,
) -> None:
    recorded: tuple[dict[str, Any], ...] = ({}, {"cascade": 2}, {"cascade": 4})
    runs = [
        vary(base, {"model": "ritm-mini", "options": {"flip": True, **one}}, k)
        for k, one in enumerate(recorded)
    ]
    plain, *others = make_labels(runs)
    assert plain == "ritm-mini"
    assert all(
        "cascade" in label and number in label for label, number in zip(others, "24", strict=True)
    )


def test_a_name_in_a_record_is_never_imported(
    base: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evilmod.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry.sys, "path", [*registry.sys.path])
    options = ({"a": True}, {"a": False})
    runs = [
        vary(base, {"model": "evilmod:card", "options": one}, k) for k, one in enumerate(options)
    ]
    assert make_labels(runs) == ["evilmod:card", "evilmod:card, no a"]
    assert str(tmp_path) not in registry.sys.path


def test_counts_are_written_as_people_write_them() -> None:
    assert [format_count(n, "click") for n in (0, 1, 2, 1600)] == [
        "0 clicks", "1 click", "2 clicks", "1,600 clicks",
    ]  # fmt: skip


def test_the_digest_of_a_file_of_clicks_is_shortened(base: Run) -> None:
    clicker = f"replay:file=clicks.csv,sha256={'ab' * 32},dataset="
    rules = replace(base.spec.rules, clicker=clicker)
    (_, label) = make_labels([base, vary(base, {"rules": rules}, 1)])
    assert label.endswith("clicker replay:file=clicks.csv,sha256=abababa,dataset=")
