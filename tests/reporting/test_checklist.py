"""The checklist: what a run records, filled in; what it does not, blank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from isbench import protocol
from isbench.datasets import load_dataset
from isbench.datasets.fingerprints import fingerprint
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.reporting import checklist
from isbench.reporting.tables import compute_figures
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import Rules

Isbench = Callable[..., tuple[int, str, str]]


def items(played: Run) -> dict[str, str]:
    return {row[0]: row[1] for row in checklist.make_checklist([played]).rows}


def test_what_a_run_records_is_filled_in(tmp_path: Path) -> None:
    dataset = load_dataset("sample", limit=5)
    played = run(load_model("nearest"), dataset, Rules(4, 0.85), out=tmp_path)
    filled, row = items(played), compute_figures(played, 4)
    assert filled["data set"].startswith("sample: 5 objects on ")
    assert filled["data set"].endswith("the first 5 only")
    assert filled["fingerprint of the data"] == fingerprint(dataset)
    assert protocol.digest_preset(played.spec.rules) in filled["protocol"]
    assert filled["games end"] == "at IoU 0.85"
    assert filled["NoC@85 [95 % interval]"].startswith(f"{row['noc@85']:.2f} [")
    assert filled["NoF@85, never reached"] == str(row["nof@85"])
    assert filled["seconds per click"].startswith(f"{row['seconds_per_click']:.4f}, ")
    assert "processors busy" in filled["seconds per click"]
    assert filled["digest of the run"] == store.digest_spec(played.spec)
    assert filled["versions"].startswith("isbench ")


def test_hardware_is_what_played_not_what_only_replayed(tmp_path: Path) -> None:
    played = run(load_model("nearest"), load_dataset("sample", limit=2), Rules(4), out=tmp_path)
    session = {"processor": "one", "versions": {"torch": "1"}}
    later = {"processor": "another", "versions": {"torch": "2"}}
    for meta, hardware, versions in (
        ((session, {**later, "rechecked": 2}), "one", "torch 1"),
        ((session, later), "one; another", "torch 1; torch 2"),
        ((session, session), "one", "torch 1"),
    ):
        filled = items(replace(played, meta=meta))
        assert (filled["hardware"], filled["versions"]) == (hardware, versions)


def test_what_it_does_not_record_is_blank(tmp_path: Path) -> None:
    dataset = load_dataset("sample", limit=2)
    played = run(load_model("nearest"), dataset, Rules(4, 0.85), out=tmp_path)
    filled = items(replace(played, meta=(), seconds={}))
    for item in (
        "NoC@90 [95 % interval]",  # the games ended before
        "NoF@90, never reached",
        "sha256 of the weights",
        "zoom-in",
        "mirror image (flip)",
        "seconds per click",
        "hardware",
        "versions",
    ):
        assert filled[item] == ""


def test_it_is_printed_for_papers(isbench: Isbench, tmp_path: Path) -> None:
    dataset = load_dataset("sample", limit=2)
    for model in ("nearest", "grabcut"):
        run(load_model(model), dataset, Rules(2), out=tmp_path)
    for form, mark in (("markdown", "| State | "), ("latex", "\\begin{tabular}{lll}")):
        code, out, _ = isbench("report", "--runs", tmp_path, "--checklist", "--format", form)
        assert code == 0
        assert mark in out
        assert out.count("digest of the run") == 1
