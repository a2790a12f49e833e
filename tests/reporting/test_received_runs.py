"""Run files from anybody are data: nothing that they name is imported."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from isbench.datasets import load_dataset
from isbench.evaluation.runner import run
from isbench.models.loading import load_model
from isbench.models.registry import load_recorded_card, load_trusted_cards
from isbench.papers.record_check import DEPTHS, check_runs
from isbench.storage import store
from isbench.types import Rules
from tests.support import toys

Isbench = Callable[..., tuple[int, str, str]]
EVIL = """
from pathlib import Path
Path(__file__).with_name("IMPORTED").touch()
from dataclasses import replace
from baselines.nearest import card as nearest
card = replace(nearest, name="evil")
"""
# each needs the model of a run, or its data set, its clicker or its rules
COMMANDS = (
    ("report",),
    ("report", "--html", "page.html"),
    ("report", "--table", "biou"),
    ("report", "--table", "all"),
    ("report", "--checklist"),
    ("report", "--plot", "biou_k"),
    ("report", "--plot", "pictures"),
    ("compare", "RUN", "RUN"),
    ("compare", "RUN", "RUN", "--html", "page.html"),
    ("merge", "runs", "--out", "merged"),
    ("migrate", "runs"),
)


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Record a short run in a folder that also has the module `evilmod`; return the run's file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    (tmp_path / "evilmod.py").write_text(EVIL)
    monkeypatch.delitem(sys.modules, "evilmod", raising=False)
    return run("nearest", load_dataset("sample", limit=2), Rules(2, 1.01), out="runs").path


def rewrite(path: Path, **fields: Any) -> Path:
    """Change fields of the spec in a run file's first line, and its name; return the new path."""
    first, _, games = gzip.decompress(path.read_bytes()).partition(b"\n")
    record = json.loads(first)
    record["spec"].update(fields)
    return write_named(path, json.dumps(record).encode() + b"\n" + games)


def write_named(path: Path, content: bytes) -> Path:
    """Write a run file in the place of another, named as its first line says."""
    first = content.partition(b"\n")[0] + b"\n"
    path.unlink()
    named = path.with_name(f"nearest-{sha256(first).hexdigest()[:12]}.jsonl.gz")
    named.write_bytes(gzip.compress(content))
    return named


def was_imported(folder: Path) -> bool:
    return (folder / "IMPORTED").exists() or "evilmod" in sys.modules


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_imports_what_a_run_file_names(
    isbench: Isbench, received: Path, command: tuple[str, ...]
) -> None:
    for name in ("evilmod:card", "evilmod"):
        for changes in (
            {"model": name},
            {"dataset": name},
            {
                "preset": name,
                "backend": f"{name}-cpu",
                "weights": name,
                "options": {"card": name},
                "rules": {"max_clicks": 2, "stop_iou": 1.01, "clicker": name, "seed": 0},
            },
        ):
            received = rewrite(received, **{"model": "nearest", "dataset": "sample", **changes})
            isbench(*(str(received) if word == "RUN" else word for word in command))
            assert not was_imported(received.parents[2]), changes
            assert str(Path.cwd()) not in sys.path, changes


def test_the_check_of_records_skips_a_model_that_is_not_installed(received: Path) -> None:
    received = rewrite(received, model="evilmod:card")
    (finding,) = check_runs([store.read(received)], received.parents[1], DEPTHS["ci"], None)
    assert (finding.kind, finding.lacking) == ("skipped", True)
    assert not was_imported(received.parents[2])


def test_the_message_names_the_model_and_the_option(isbench: Isbench, received: Path) -> None:
    received = rewrite(received, model="evilmod:card")
    code, _, error = isbench("report", "--table", "biou")
    assert (code, error.count("\n")) == (2, 1)
    assert "'evilmod:card', which is not installed" in error
    assert "(--trust-model)" in error


@pytest.mark.parametrize("recorded", ["evilmod:card", "evil"])
def test_a_trusted_card_is_used_for_its_runs(
    isbench: Isbench, received: Path, recorded: str
) -> None:
    received = rewrite(received, model=recorded)
    code, _, error = isbench("report", "--table", "biou", "--trust-model", "evilmod:card")
    assert code == 0, error
    code, _, error = isbench("report", "--html", "page.html", "--trust-model", "evilmod:card")
    assert (code, error) == (0, "")
    assert was_imported(received.parents[2])


def test_trust_is_for_models_that_are_not_installed(isbench: Isbench, received: Path) -> None:
    code, _, error = isbench("report", "--trust-model", "nearest")
    assert code == 2
    assert "wanted package.module:card" in error
    code, _, error = isbench("compare", str(received), str(received), "--trust-model", "none:card")
    assert code == 2
    assert "cannot be imported" in error


def test_an_installed_model_keeps_its_name(
    received: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evilmod.py").write_text(EVIL.replace('name="evil"', 'name="nearest"'))
    trusted = load_trusted_cards(["evilmod:card"])
    assert load_recorded_card("nearest", trusted).place != "evilmod:card"
    assert load_recorded_card("evilmod:card", trusted).place == "evilmod:card"


def test_a_card_that_the_user_names_is_still_played(received: Path) -> None:
    assert load_model("evilmod:card").name == "evil"


def test_an_option_that_the_model_lacks_is_refused(isbench: Isbench, received: Path) -> None:
    received = rewrite(received, options={"hook": "os.system"})
    code, _, error = isbench("report", "--table", "biou")
    assert code == 2
    assert "hook" in error


def test_a_received_shard_is_merged_inside_the_folder(tmp_path: Path) -> None:
    data = toys.blobs(4)
    for number in (1, 2):
        run(toys.card, data, Rules(2, 1.01), out=tmp_path / "parts", shard=(number, 2))
    spec = store.read(store.find_shards(tmp_path / "parts")[0]).spec
    out = tmp_path / "a" / "out"
    for name in ("..", ".", "../..", "/etc", "..\\.."):
        path = store.locate_run(out, replace(spec, dataset=name))
        assert path.resolve().parent.parent == out


def test_the_current_folder_is_not_searched_for_extensions(received: Path, tmp_path: Path) -> None:
    about = tmp_path / "evil-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    points = "[isbench.models]\nevil = evilmod:card\n[isbench.metrics]\nevil = evilmod:card\n"
    (about / "entry_points.txt").write_text(points)
    done = subprocess.run(
        [sys.executable, "-m", "isbench", "report"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "IMPORTED").exists()


def spoil(kind: str, path: Path, sealed: bytes) -> None:
    """Put a thing that is no run file at a path."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        data = {
            "empty": b"",
            "torn": sealed[:-20],
            "text": b"hello",
            "twice": sealed + sealed,
            "bytes after it": sealed + b"more",
            "no lines": gzip.compress(b""),
        }
        path.write_bytes(data[kind])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize(
    "kind",
    ["folder", "pipe", "loop", "link to a device", "empty", "torn", "text", "twice",
     "bytes after it", "no lines"],
)  # fmt: skip
def test_what_is_no_run_file_is_named_and_leaves_the_others_alone(
    isbench: Isbench, received: Path, kind: str
) -> None:
    path = received.with_name("evil-0123456789ab.jsonl.gz")
    spoil(kind, path, received.read_bytes())
    code, out, err = isbench("report")
    assert code == 0
    assert "nearest" in out
    assert f"left out: {path}" in err or f"left out: cannot read {path}" in err
    received.unlink()
    code, _, err = isbench("report")  # the reason is said when no run is left, too
    assert code == 2
    assert err.count("\n") == 1
    assert str(path) in err
    code, _, err = isbench("report", str(path))
    assert code == 2
    assert err.count("\n") == 1
    assert str(path) in err


@pytest.mark.slow
@pytest.mark.parametrize("where", ["model", "dataset", "key", "damaged key"])
def test_names_in_run_files_cannot_command_the_terminal(
    isbench: Isbench, received: Path, where: str
) -> None:
    name = "a\x1b]0;owned\x07\x9b2J"
    first, *games = gzip.decompress(received.read_bytes()).splitlines()
    record, game = json.loads(first), json.loads(games[0])
    if where in ("model", "dataset"):
        record["spec"][where] = name
    else:
        game["key"] = name
    if where == "damaged key":
        games.append(json.dumps(game).encode())
    lines = [json.dumps(record).encode(), json.dumps(game).encode(), *games[1:], b""]
    received = write_named(received, b"\n".join(lines))
    for command in (*COMMANDS, ("reproduce", "--check", "--results", "runs")):
        code, out, err = isbench(*(str(received) if one == "RUN" else one for one in command))
        assert code in (0, 1, 2)
        assert not {"\x1b", "\x07", "\x9b"} & {*out, *err}, command
