"""Checkpoints that were changed or damaged: refused, never followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from isbench.errors import IsbenchError
from isbench.training.checkpoints import FILE
from isbench.training.loop import take_steps
from isbench.training.training_run import open_training
from isbench.training.weights import start_from
from tests.support.tiny import RECIPE, Tiny, card

PLAN = replace(RECIPE, checks=replace(RECIPE.checks, validation=0))


@pytest.fixture(scope="module")
def saved(toy_pack: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The checkpoint after two steps."""
    folder = tmp_path_factory.mktemp("saved")
    with open_training(card, PLAN, toy_pack, folder) as run:
        steps = take_steps(run)
        next(steps), next(steps)
        run.checkpoint()
    state: dict[str, Any] = torch.load(folder / FILE, weights_only=True)
    return state


def resume(toy_pack: str, folder: Path, state: object) -> int:
    """Return the step that a training resumes after, having taken one more."""
    torch.save(state, folder / FILE)
    with open_training(card, PLAN, toy_pack, folder, resume=True) as run:
        at = run.step
        next(take_steps(run))
    return at


def change(state: dict[str, Any], place: str, make: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a copy with a value replaced; `place` names it by keys, "*" standing for any."""
    key, _, rest = place.partition("/")
    found: Any = next(iter(state)) if key == "*" else int(key) if key.isdigit() else key
    copy: Any = list(state) if isinstance(state, list) else dict(state)
    copy[found] = change(copy[found], rest, make) if rest else make(copy[found])
    return copy


def nest(value: torch.Tensor) -> torch.Tensor:
    return torch.nested.nested_tensor([value.flatten()[:1], value.flatten()[:1]])


FAULTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "negative step": ("step", lambda _: -1),
    "step beyond the end": ("step", lambda _: 10**9),
    "fractional step": ("step", lambda _: 1.5),
    "step of a truth value": ("step", lambda _: True),
    "step as a text": ("step", lambda _: "2"),
    "about that is no text": ("about", lambda _: 3),
    "about that is no JSON": ("about", lambda _: "{"),
    "about without a recipe": ("about", lambda _: "{}"),
    "network that is a list": ("network", lambda value: [*value.values()]),
    "network with a missing tensor": ("network", lambda value: dict([*value.items()][1:])),
    "network with a number": ("network/*", lambda _: 1),
    "network with another shape": ("network/*", lambda value: value.flatten()[:1]),
    "network with a sparse tensor": ("network/*", lambda value: value.to_sparse()),
    "network with a nested tensor": ("network/*", nest),
    "mean that is missing": ("mean", lambda _: {}),
    "moments that are missing": ("optimiser/state/0/exp_avg", lambda _: None),
    "moments of another shape": ("optimiser/state/0/exp_avg", lambda value: value.flatten()[:1]),
    "moments of a larger shape": ("optimiser/state/0/exp_avg_sq", lambda _: torch.zeros(9, 9, 9)),
    "counts of another shape": ("optimiser/state/0/step", lambda _: torch.zeros(3)),
    "moments under another name": ("optimiser/state/0", lambda _: {"step": torch.ones(())}),
    "settings of the optimiser": ("optimiser/param_groups/0/betas", lambda _: (2.0, "a")),
    "groups that are missing": ("optimiser/param_groups", lambda _: []),
    "optimiser that is a list": ("optimiser", lambda _: []),
    "scale that is no number": ("scaler", lambda _: {"scale": "a"}),
    "best that is a text": ("best", lambda _: "a"),
    "sums that are too few": ("sums", lambda _: [1.0]),
    "origin that is no text": ("origin", lambda _: 1),
    "validation that may be due": ("validation_due", lambda _: 1),
}


@pytest.mark.filterwarnings("ignore:.*(sparse|nested)")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_was_changed_is_refused(
    fault: str, saved: dict[str, Any], toy_pack: str, tmp_path: Path
) -> None:
    with pytest.raises(IsbenchError, match=r"training\.pt is damaged: .*; start again in another"):
        resume(toy_pack, tmp_path, change(saved, *FAULTS[fault]))


def test_a_checkpoint_with_further_or_missing_fields_is_refused(
    saved: dict[str, Any], toy_pack: str, tmp_path: Path
) -> None:
    without = {key: value for key, value in saved.items() if key != "mean"}
    for state in ({**saved, "more": 1}, without, [saved], 3):
        with pytest.raises(IsbenchError, match="is damaged"):
            resume(toy_pack, tmp_path, state)
    assert resume(toy_pack, tmp_path, saved) == 2


def test_a_checkpoint_with_a_changed_byte_is_refused(
    saved: dict[str, Any], toy_pack: str, tmp_path: Path
) -> None:
    torch.save(saved, tmp_path / FILE)
    content = bytearray((tmp_path / FILE).read_bytes())
    value = saved["network"]["first.bias"].numpy().tobytes()
    content[content.index(value)] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with (
        pytest.raises(IsbenchError, match=r"the checksum of .* is wrong"),
        open_training(card, PLAN, toy_pack, tmp_path, resume=True),
    ):
        pass


def test_whole_numbers_in_place_of_weights_are_refused(tmp_path: Path) -> None:
    state = Tiny().state_dict()
    save_file({key: value.to(torch.int8) for key, value in state.items()}, tmp_path / "w")
    with pytest.raises(IsbenchError, match=r"contain int8 numbers in .*; wanted float32"):
        start_from(Tiny(), tmp_path / "w")
    counts = {key: one for key, one in state.items() if not one.is_floating_point()}
    save_file(counts, tmp_path / "w")
    with pytest.raises(IsbenchError, match="no tensor matches"):
        start_from(Tiny(), tmp_path / "w")


@pytest.mark.parametrize(
    "changes", [{"optimiser": "sgd"}, {"optimiser": "adam"}, {"precision": "fp16"}]
)
def test_every_kind_of_training_resumes(
    changes: dict[str, str], toy_pack: str, tmp_path: Path
) -> None:
    plan = replace(PLAN, **changes)  # type: ignore[arg-type]
    with open_training(card, plan, toy_pack, tmp_path) as run:
        next(take_steps(run))
        run.checkpoint()
        left = run.optimiser.state_dict()
    with open_training(card, plan, toy_pack, tmp_path, resume=True) as run:
        found = run.optimiser.state_dict()
        assert (run.step, found["param_groups"]) == (1, left["param_groups"])
        assert found["state"].keys() == left["state"].keys()
        next(take_steps(run))
