"""Every registered model keeps the contract; the contract's check catches who does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isbench.errors import IsbenchError, PredictorError
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.models.registry import check_card, list_model_names, load_card, parse_options
from isbench.testing import check_predictor
from isbench.types import File, Image, ModelCard, Prediction, Predictor, Scalar, Turn
from tests.support import toys
from tests.support.models import mark_heavy

OURS = [name for name in list_model_names() if not name.startswith("toy-")]


@pytest.mark.parametrize("name", mark_heavy(OURS))
def test_every_model_keeps_the_contract(name: str) -> None:
    card = load_card(name)
    # the inputs of networks: the trial images are small
    small = {"zoom_target": 64, "zoom_square": 224, "size": 64, "view_size": 64}
    if card.options.get("overview"):
        small["overview"] = 64
    smaller = {key: side for key, side in small.items() if key in card.options}
    check_predictor(replace(card, options={**card.options, **smaller}))


@pytest.mark.parametrize("name", OURS)
def test_every_card_says_what_it_is(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.summary
    assert card.source
    assert card.licence


class Mutating(toys.Disks):
    """Writes into the state it was given."""

    def _answer(self, turn: Turn) -> Prediction:
        answer = super()._answer(turn)
        turn.state[:] = ~turn.state
        return answer


class Forgetful(toys.Broken):
    """Counts its calls instead of the clicks."""

    calls = 0

    def predict(self, turns: Sequence[Turn]) -> Any:
        self.calls += 1
        return [Prediction(np.full(t.state.shape[:2], self.calls % 2 == 0), t.state) for t in turns]


class Painting(toys.Broken):
    """Paints on the image."""

    def begin(self, image: Image) -> Image:
        image = image.view()
        image.flags.writeable = True
        image[:] = 0
        return image


class Crowded(toys.Disks):
    """Mixes up the turns of one call."""

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        answers = super().predict(turns)
        first = answers[0]
        return [
            a._replace(mask=first.mask) if a.mask.shape == first.mask.shape else a for a in answers
        ]


@pytest.mark.parametrize(
    "build",
    [
        Mutating,
        lambda: Forgetful(None),
        Crowded,
        lambda: toys.Broken(toys.wrong_shape),
        lambda: toys.Broken(toys.wrong_dtype),
        lambda: toys.Broken(toys.too_few),
    ],
)
def test_the_check_catches_a_broken_contract(build: Any) -> None:
    with pytest.raises(PredictorError, match="model bad"):
        check_predictor(ModelCard("bad", build))


def test_images_cannot_be_painted_on() -> None:
    with pytest.raises(PredictorError, match=r"model painting: .* raised ValueError: .*WRITEABLE"):
        check_predictor(ModelCard("painting", lambda: Painting(None)))


def test_the_check_passes_a_good_model() -> None:
    check_predictor(toys.card)


@pytest.mark.parametrize(
    ("bundled", "published", "default"),
    [
        (("a",), (), "a"),
        (("b", "a"), ("c",), "b"),
        ((), ("c",), "c"),
        ((), ("c", "d"), None),
        ((), (), None),
    ],
)
def test_default_weights_are_the_first_bundled_or_the_only_published_ones(
    bundled: Sequence[str], published: Sequence[str], default: str | None
) -> None:
    card = replace(
        load_card("nearest"),
        bundled={name: Path(name) for name in bundled},
        weights={name: File(name) for name in published},
    )
    assert card.default_weights == default


def test_options_are_read_as_their_defaults_are() -> None:
    card = ModelCard("m", toys.Disks, {"on": False, "count": 1, "share": 0.5, "word": "a"})
    given = {"on": "on", "count": "7", "share": "2", "word": "b"}
    options = parse_options(card, given)
    assert options == {"on": True, "count": 7, "share": 2.0, "word": "b"}
    assert isinstance(options["share"], float)
    assert parse_options(card, options) == options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"raduis": "3"}, "did you mean radius"),
        ({"radius": "big"}, "option radius of disks is 'big'; wanted a whole number"),
        ({"radius": "2.5"}, "wanted a whole number"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        parse_options(toys.card, given)


def refuse(**options: Scalar) -> Predictor:
    raise ValueError("wanted another colour")


def test_a_model_that_refuses_its_options_says_so() -> None:
    card = ModelCard("moody", refuse, options={"colour": 1})
    said = r"model moody cannot be built .*colour.*ValueError: wanted another colour"
    with pytest.raises(IsbenchError, match=said):
        build_predictor(load_model(card))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("grabcutt", "no model named 'grabcutt'; did you mean grabcut"),
        ("no.such.module:card", "cannot be imported: ModuleNotFoundError"),
        ("tests.support.toys:nothing", "cannot be imported: AttributeError"),
        ("tests.support.toys:not_a_card", "is a int; wanted an isbench.ModelCard"),
        ("tests.support.toys:", "wanted a name or package.module:card"),
    ],
)
def test_a_name_that_is_no_model_is_refused(name: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        load_card(name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": {"pack": File("a.pth")}}, "weights pack of twice are both bundled and"),
        ({"weights": {"random": File("a.pth")}}, "which stands for an untrained network"),
        ({"bundled": {"random": Path("a.pth")}}, "which stands for an untrained network"),
    ],
)
def test_weights_of_two_meanings_are_refused(changes: dict[str, Any], said: str) -> None:
    card = replace(load_card("ritm-mini"), name="twice", **changes)
    with pytest.raises(IsbenchError, match=said):
        check_card(card)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": None}, "options of odd is None; wanted a mapping by name"),
        ({"libraries": ["torch"]}, r"libraries of odd is \['torch'\]; wanted a mapping by name"),
        ({"libraries": {"torch": None}}, "has 'torch': None; wanted a name and a text"),
        ({"weights": {"a": "b.pth"}}, "has 'a': 'b.pth'; wanted a name and a File"),
        ({"bundled": {"a": "b.pth"}}, "has 'a': 'b.pth'; wanted a name and a Path"),
        ({"meanings": {"flip": 3}}, "has 'flip': 3; wanted a name and a text"),
        ({"summary": None}, "summary of odd is None; wanted a text"),
    ],
)
def test_a_card_with_a_field_of_another_kind_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        check_card(replace(ModelCard("odd", toys.Learner), **changes))


def test_an_adaptive_model_is_checked_by_playing_twice() -> None:
    check_predictor(toys.learner)

    class Forgetful(toys.Learner):
        made = 0

        def __init__(self) -> None:
            Forgetful.made += 1
            self.seen = Forgetful.made

    with pytest.raises(PredictorError, match="when a new predictor played the same games"):
        check_predictor(replace(toys.learner, build=Forgetful))
