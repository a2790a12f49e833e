"""Correction tasks: what a game starts from decides it, identifies its run and is checked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isbench.datasets.fingerprints import fingerprint_initial
from isbench.datasets.loading import load_sample
from isbench.datasets.verify import verify_dataset
from isbench.errors import DatasetError, IsbenchError
from isbench.evaluation.replay import check_data
from isbench.evaluation.replay_check import play_again
from isbench.evaluation.runner import run
from isbench.evaluation.spec import make_spec
from isbench.files.limits import read_first_line
from isbench.reporting.checklist import make_checklist
from isbench.reporting.labels import make_labels
from isbench.storage import store
from isbench.storage.records import encode_spec, parse_spec
from isbench.types import Dataset, Image, LoadedModel, Mask, Rules
from tests.support import toys

RULES = Rules(4, 1.01)
BLANK = toys.blobs(3)


def upper_half(key: str) -> Mask:
    mask = BLANK.load(key).truth.copy()
    mask[mask.shape[0] // 2 :] = False
    return mask


def left_half(key: str) -> Mask:
    mask = BLANK.load(key).truth.copy()
    mask[:, mask.shape[1] // 2 :] = False
    return mask


def nothing(key: str) -> Mask:
    return np.zeros_like(BLANK.load(key).truth)


UPPER, LEFT, EMPTY = (replace(BLANK, initial=start) for start in (upper_half, left_half, nothing))


class Starting(toys.Disks):
    """Remembers the masks that it starts from."""

    def begin(self, image: Image) -> tuple[int, ...]:
        return super().begin(image)

    def start(self, encoded: tuple[int, ...], initial: Mask | None) -> Mask:
        started_from.append(None if initial is None else initial.tobytes())
        return super().start(encoded, initial)


started_from: list[bytes | None] = []
MODEL = LoadedModel(replace(toys.card, build=Starting), toys.card.options)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_initial_mask_reaches_the_predictor_and_the_first_click(
    tmp_path: Path, workers: int
) -> None:
    played = run(toys.model, UPPER, RULES, out=tmp_path, workers=workers)
    for game in played.trajectories:
        truth, start = BLANK.load(game.key).truth, upper_half(game.key)
        row, col, positive = game.clicks[0]
        assert positive
        assert truth[row, col]
        assert not start[row, col]


def test_a_predictor_gets_the_mask_of_its_object_or_none(tmp_path: Path) -> None:
    for dataset in (UPPER, BLANK):
        started_from.clear()
        run(MODEL, dataset, RULES, out=tmp_path / "runs", recheck=0)
        wanted = [
            None if dataset.initial is None else dataset.initial(k).tobytes() for k in dataset.keys
        ]
        assert started_from == wanted


def test_two_starts_are_two_runs_and_equal_starts_are_one(tmp_path: Path) -> None:
    sets = (BLANK, UPPER, LEFT, EMPTY)
    paths = {run(toys.model, one, RULES, out=tmp_path).path for one in sets}
    assert len(paths) == len(sets)
    copies = replace(BLANK, initial=lambda key: upper_half(key).copy())
    assert run(toys.model, copies, RULES, out=tmp_path).path in paths


def test_the_fingerprint_is_that_of_all_pixels_and_of_the_shape() -> None:
    def wider(key: str) -> Mask:
        return upper_half(key).reshape(1, -1)

    def touched(key: str) -> Mask:
        mask = upper_half(key)
        mask[-1, -1] ^= key == BLANK.keys[-1]
        return mask

    prints = {fingerprint_initial(replace(BLANK, initial=f)) for f in (upper_half, wider, touched)}
    assert len(prints) == 3
    assert None not in prints
    assert fingerprint_initial(BLANK) is None
    backwards = replace(UPPER, keys=UPPER.keys[::-1])
    assert fingerprint_initial(backwards) == fingerprint_initial(UPPER)


def test_a_record_without_initial_masks_is_what_it_was_before() -> None:
    spec = make_spec(toys.model, BLANK, RULES, "content")
    started = make_spec(toys.model, UPPER, RULES, "content")
    assert replace(started, initial=None) == spec
    fields = encode_spec(spec)["spec"]
    assert "initial" not in fields
    assert encode_spec(started)["spec"] == {**fields, "initial": started.initial}


def test_the_fingerprint_is_in_the_first_line_and_read_back(tmp_path: Path) -> None:
    played = run(toys.model, UPPER, RULES, out=tmp_path)
    first = read_first_line(played.path)
    assert json.loads(first)["spec"]["initial"] == fingerprint_initial(UPPER)
    assert store.read(played.path).spec == played.spec
    spec = parse_spec(played.path, first)
    assert spec.initial == fingerprint_initial(UPPER)
    broken = first.replace(b'"initial":"', b'"initial":7,"was":"')
    with pytest.raises(IsbenchError, match="initial is a int; wanted str"):
        parse_spec(played.path, broken)


def test_games_with_initial_masks_replay(tmp_path: Path) -> None:
    played = run(toys.model, UPPER, RULES, out=tmp_path)
    for game in played.trajectories:
        assert play_again(toys.Disks(), load_sample(UPPER, game.key), RULES) == game
        assert play_again(toys.Disks(), BLANK.load(game.key), RULES) != game


@pytest.mark.parametrize("limit", [None, 2])
def test_masks_that_changed_are_noticed_when_a_run_is_read_with_its_data(
    tmp_path: Path, limit: int | None
) -> None:
    def cut(dataset: Dataset) -> Dataset:
        return replace(dataset, keys=dataset.keys[:limit], limit=limit)

    played = run(toys.model, cut(UPPER), RULES, out=tmp_path)
    content = str(played.spec.fingerprint)
    check_data(played.spec, UPPER, content)
    check_data(played.spec, cut(UPPER), content)
    for other in (LEFT, BLANK):
        with pytest.raises(IsbenchError, match="started from masks with sha256"):
            check_data(played.spec, other, content)
    plain = run(toys.model, cut(BLANK), RULES, out=tmp_path)
    with pytest.raises(IsbenchError, match="started from no masks"):
        check_data(plain.spec, UPPER, str(plain.spec.fingerprint))


def test_names_and_checklists_tell_runs_of_other_starts_apart(tmp_path: Path) -> None:
    runs = [run(toys.model, one, RULES, out=tmp_path) for one in (BLANK, UPPER)]
    start = str(runs[1].spec.initial)
    assert make_labels(runs) == ["disks", f"disks, initial masks {start[:8]}"]
    rows = {row[0]: row[1:] for row in make_checklist(runs).rows}
    assert [start[:12] in text for text in rows["data set"]] == [False, True]


def test_verify_measures_the_masks_that_objects_start_from() -> None:
    found = verify_dataset(UPPER).initial
    assert found is not None
    ious = []
    for key in UPPER.keys:
        truth, start = BLANK.load(key).truth, upper_half(key)
        ious.append((truth & start).sum() / (truth | start).sum())
    assert found.fingerprint == fingerprint_initial(UPPER)
    assert (found.lowest, found.highest) == (min(ious), max(ious))
    assert found.mean == pytest.approx(np.mean(ious))
    assert verify_dataset(BLANK).initial is None


def raise_error(key: str) -> Mask:
    raise ZeroDivisionError(key)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (raise_error, "initial raised ZeroDivisionError"),
        (lambda key: None, "initial returned a NoneType; wanted a"),
        (lambda key: upper_half(key).astype(np.uint8), "initial returned .* of uint8; wanted a"),
        (lambda key: upper_half(key)[None], "initial returned .* of bool; wanted a"),
    ],
)
def test_what_is_no_mask_is_the_data_set_s_fault(
    tmp_path: Path, start: Callable[[str], Mask], said: str
) -> None:
    with pytest.raises(DatasetError, match=f"object {BLANK.keys[0]}: {said}"):
        run(toys.model, replace(BLANK, initial=start), RULES, out=tmp_path)


def test_a_mask_of_another_size_names_the_object(tmp_path: Path) -> None:
    short = replace(BLANK, initial=lambda key: upper_half(key)[1:])
    with pytest.raises(IsbenchError, match=f"object {BLANK.keys[0]}: initial is .*; wanted"):
        run(toys.model, short, RULES, out=tmp_path)


def test_a_mask_that_no_fingerprint_covers_is_refused(tmp_path: Path) -> None:
    hidden = replace(BLANK, load=lambda k: replace(BLANK.load(k), initial=upper_half(k)))
    with pytest.raises(DatasetError, match="wanted it from the function `initial`"):
        run(toys.model, hidden, RULES, out=tmp_path)
