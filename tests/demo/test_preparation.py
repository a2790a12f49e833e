"""What the demo does before a first click: models are built, images prepared; no answer changes."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

from isbench.datasets.catalogue import list_sample_images
from isbench.datasets.image_io import read_image
from isbench.demo.models import DemoModel, build_models
from isbench.demo.server import DemoState
from isbench.errors import IsbenchError
from isbench.evaluation.session import PredictorSession
from isbench.models.loading import load_model
from isbench.models.registry import DEFAULT_MODEL, load_card
from isbench.types import Click, Image, Mask, Prediction, Turn
from tests.support import toys
from tests.support.demo import ask, demo, encode, find_first_image, list_images, make_model, serve
from tests.support.waiting import HUNG, wait_until

Isbench = Callable[..., tuple[int, str, str]]
IMAGE = encode(np.full((9, 12, 3), 2, np.uint8))
WIDE = encode(np.full((9, 30, 3), 2, np.uint8))


@dataclass
class Counting:
    """Disks; it knows the shapes of the images that it encoded and those that it predicted for."""

    encoded: list[tuple[int, ...]] = field(default_factory=list)
    predicted: list[tuple[int, ...]] = field(default_factory=list)
    disks: toys.Disks = field(default_factory=toys.Disks)

    def begin(self, image: Image) -> tuple[int, ...]:
        self.encoded.append(image.shape[:2])
        return self.disks.begin(image)

    def start(self, encoded: tuple[int, ...], initial: Mask | None) -> Mask:
        return self.disks.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        self.predicted += [turn.state.shape for turn in turns]
        return self.disks.predict(turns)


def post(address: str, path: str, image: str, clicks: Sequence[Any], model: str = "toy") -> Any:
    question = {"image": image, "model": model, "clicks": list(clicks)}
    return ask(address + path, json.dumps(question).encode())


def test_without_images_the_page_shows_those_of_the_sample() -> None:
    with demo("--model", "nearest") as address:
        listed = list_images(address)
        assert [one["name"] for one in listed] == [path.name for path in list_sample_images()]
        for one, path in zip(listed, list_sample_images(), strict=True):
            assert (one["rows"], one["cols"]) == read_image(path).shape[:2]
            assert ask(f"{address}images/{one['id']}")[0] == 200


@pytest.mark.parametrize("compiles", [False, True])
def test_the_first_click_on_a_prepared_image_encodes_nothing(compiles: bool) -> None:
    predictor = Counting()
    state = DemoState({"toy": make_model(predictor, compiles=compiles)})
    state.add_image("a", IMAGE)
    with serve(state) as address:
        image = find_first_image(address)
        for _ in range(2):
            assert post(address, "preparations", image, [])[0] == 204
        assert predictor.encoded == [(9, 12)]
        assert predictor.predicted == [(9, 12)] * compiles
        assert post(address, "answers", image, [[3, 4, 1]])[0] == 200
    assert predictor.encoded == [(9, 12)]
    assert predictor.predicted == [(9, 12)] * (1 + compiles)


def test_a_model_that_compiles_is_tried_once_for_each_shape() -> None:
    predictor = Counting()
    state = DemoState({"toy": make_model(predictor, compiles=True)})
    for data in (IMAGE, WIDE, IMAGE, WIDE):
        state.prepare(state.add_image("a", data), "toy")
    assert predictor.predicted == [(9, 12), (9, 30)]


@pytest.mark.parametrize("model", ["nearest", "grabcut"])
def test_preparing_changes_no_answer(model: str) -> None:
    noise = encode(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    games = ([(3, 3, True)], [(3, 3, True), (10, 20, False)], [(15, 5, True)])
    found = []
    for prepares in (False, True):
        predictor = build_models([load_model(model)], pool := ThreadPoolExecutor(1))[model].session
        state = DemoState({model: DemoModel(predictor, compiles=True)})
        place = state.add_image("a", noise)
        for game in games:
            if prepares:
                state.prepare(place, model)
            found.append(state.answer(place, model, [Click(*one) for one in game]).mask)
        pool.shutdown()
    assert all(map(np.array_equal, found[:3], found[3:]))


def test_preparing_starts_no_object_of_an_adaptive_model() -> None:
    learner = toys.Learner()
    state = DemoState({"toy": make_model(learner, adaptive=True, compiles=True)})
    place = state.add_image("a", IMAGE)
    state.prepare(place, "toy")
    assert learner.seen == 0
    state.answer(place, "toy", [Click(1, 1, True)])
    assert learner.seen == 1


def test_the_page_opens_and_others_answer_while_a_model_is_built() -> None:
    session: Future[PredictorSession] = Future()
    state = DemoState({"toy": make_model(toys.Disks()), "slow": DemoModel(session)})
    state.add_image("a", IMAGE)
    with serve(state) as address, ThreadPoolExecutor(100) as pool:
        image = find_first_image(address)
        waiting = [
            pool.submit(post, address, path, image, [[1, 1, 1]], "slow")
            for path in ("preparations", "answers") * 20
        ]
        for _ in range(5):
            assert ask(address)[0] == 200
            assert post(address, "answers", image, [[2, 2, 1]])[0] == 200
        assert not any(one.done() for one in waiting)
        session.set_result(PredictorSession(toys.Disks()))
        assert [one.result(HUNG)[0] for one in waiting] == [204, 200] * 20


def test_a_model_that_cannot_be_built_ends_the_command(isbench: Isbench) -> None:
    code, out, error = isbench(
        "demo", "--model", "tests.support.toys:unbuildable", "--no-browser", "--port", 0
    )
    assert (code, error.count("\n")) == (2, 1), error
    assert "model unbuildable cannot be built" in error
    assert out.startswith("http://127.0.0.1:")


def test_requests_for_a_model_that_cannot_be_built_say_why() -> None:
    with ThreadPoolExecutor(1) as pool:
        models = build_models([load_model(toys.unbuildable), load_model(toys.card)], pool)
    state = DemoState(models)
    state.add_image("a", IMAGE)
    with serve(state) as address:
        image = find_first_image(address)
        for path in ("preparations", "answers"):
            status, said, _ = post(address, path, image, [[1, 1, 1]], "unbuildable")
            assert (status, b"cannot be built" in said) == (500, True)
            assert post(address, path, image, [[1, 1, 1]], "disks")[0] in (200, 204)


def test_a_question_that_nobody_waits_for_is_not_computed() -> None:
    entered, released, asked = Event(), Event(), []

    def answer(turns: Sequence[Turn]) -> list[Prediction]:
        asked.append(turns[0].clicks)
        entered.set()
        released.wait(HUNG)
        return [Prediction(turn.state[..., 0] > 0, turn.state) for turn in turns]

    state = DemoState({"toy": make_model(toys.Broken(answer))})
    state.add_image("a", IMAGE)
    with serve(state) as address, ThreadPoolExecutor() as pool:
        image = find_first_image(address)
        first = pool.submit(post, address, "answers", image, [[1, 1, 1]])
        assert entered.wait(HUNG)
        body = json.dumps({"image": image, "model": "toy", "clicks": [[2, 2, 1]]}).encode()
        port = int(address.partition("127.0.0.1:")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), HUNG) as gone:
            gone.sendall(
                b"POST /token/answers HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            assert ask(address)[0] == 200  # the server has read what was sent before
        assert ask(address)[0] == 200  # and has seen that the connection was closed
        released.set()
        assert first.result(HUNG)[0] == 200
        assert post(address, "answers", image, [[3, 3, 1]])[0] == 200
    assert [clicks[0][:2] for clicks in asked] == [(1, 1), (3, 3)]


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ({"model": "other"}, 404),
        ({"image": "other"}, 404),
        ({"clicks": None}, 400),
        ({"clicks": [[99, 0, 1]]}, 400),
        ({"model": 3}, 400),
    ],
)
def test_preparations_that_make_no_sense_are_refused(question: Any, status: int) -> None:
    state = DemoState({"toy": make_model(toys.Disks())})
    state.add_image("a", IMAGE)
    with serve(state) as address:
        whole = {"image": find_first_image(address), "model": "toy", "clicks": [], **question}
        found, said, headers = ask(f"{address}preparations", json.dumps(whole).encode())
        assert found == status
        assert said.count(b"\n") == 0
        assert "Content-Security-Policy" in headers
        assert ask(f"{address}preparations")[0] == 405
        origin = {"origin": "http://evil.example"}
        assert ask(f"{address}preparations", json.dumps(whole).encode(), **origin)[0] == 403


def test_an_image_that_a_model_cannot_encode_is_one_line() -> None:
    class Failing(toys.Disks):
        def begin(self, image: Image) -> tuple[int, ...]:
            raise ValueError("too plain")

    state = DemoState({"toy": make_model(Failing())})
    state.add_image("a", IMAGE)
    with serve(state) as address:
        status, said, _ = post(address, "preparations", find_first_image(address), [])
    assert (status, said.count(b"\n")) == (500, 0)
    assert b"too plain" in said


def test_the_default_model_comes_with_weights() -> None:
    assert load_card(DEFAULT_MODEL).bundled


def test_an_unreadable_image_is_said_before_anything_is_built(
    isbench: Isbench, tmp_path: Path
) -> None:
    code, out, error = isbench("demo", "--no-browser", tmp_path / "none.png")
    assert (code, out) == (2, "")
    assert "cannot read" in error


def test_models_are_built_in_order() -> None:
    with ThreadPoolExecutor(1) as pool:
        models = build_models([load_model(toys.card), load_model("nearest")], pool)
        wait_until(models["nearest"].session.done)
        assert models["disks"].session.done()
    assert list(models) == ["disks", "nearest"]
    with pytest.raises(IsbenchError, match="cannot be built"), ThreadPoolExecutor(1) as pool:
        build_models([load_model(toys.unbuildable)], pool)["unbuildable"].session.result()
