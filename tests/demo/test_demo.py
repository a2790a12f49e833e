"""The demo: who is answered, what is refused, and a person's clicks in a real browser."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette")

from isbench.datasets import load_dataset
from isbench.demo import games, images
from isbench.demo.images import UPLOAD, Refused, open_image
from isbench.demo.server import DemoState
from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.engine import play
from isbench.evaluation.session import PredictorSession
from isbench.metrics import count_overlap
from isbench.models.loading import load_model
from isbench.models.predictor import build_predictor
from isbench.storage.masks import decode_rle
from isbench.types import Click, Prediction, Rules, Sample, Turn
from tests.support import toys
from tests.support.browser import chromium, complaints
from tests.support.demo import ask, demo, encode, find_first_image, make_model
from tests.support.waiting import wait_until

Isbench = Callable[..., tuple[int, str, str]]
PHOTO = next((Path(__file__).parents[2] / "isbench/datasets/sample/images").glob("astronaut.*"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with demo("--model", "nearest", str(PHOTO)) as found:
        yield found


def answer(address: str, **question: Any) -> tuple[int, bytes]:
    status, body, _ = ask(f"{address}answers", json.dumps(question).encode())
    return status, body


def test_only_who_has_the_address_is_answered(address: str) -> None:
    assert ask(address)[0] == 200
    root = address.rpartition("/")[0].rpartition("/")[0]
    for path in ("/", "/x/", "/demo.js", "/images", f"/{'a' * 32}/"):
        assert ask(root + path)[0] == 404
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        assert ask(address, host=host)[0] == 400
    assert address.startswith("http://127.0.0.1:")


def test_no_path_is_opened(address: str) -> None:
    for path in ("images/../../pyproject.toml", "images/%2e%2e%2fpyproject.toml", "images/etc"):
        assert ask(address + path)[0] == 404
    for image in ("../pyproject.toml", "/etc/passwd", str(PHOTO)):
        assert answer(address, image=image, model="nearest", clicks=[[1, 1, 1]])[0] == 404


def test_pages_may_load_from_the_server_alone(address: str) -> None:
    headers = ask(address)[2]
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert headers["Referrer-Policy"] == "no-referrer"


def test_clicks_are_answered_as_in_a_game(address: str) -> None:
    dataset = load_dataset("sample")
    sample = dataset.load(next(key for key in dataset.keys if key.startswith("astronaut")))
    (game,) = play(build_predictor(load_model("nearest")), [sample], Rules(4, 1.01))
    image = find_first_image(address)
    clicks = [[*click[:2], int(click[2])] for click in game.trajectory.clicks]
    # forwards, back as by undo, and forwards again
    for count in (1, 2, 3, 4, 2, 1, 4):
        status, body = answer(address, image=image, model="nearest", clicks=clicks[:count])
        assert status == 200
        found = count_overlap(decode_rle(json.loads(body)["mask"]), sample.truth, sample.ignore)
        assert found == game.trajectory.overlap[count - 1]


def make_state() -> DemoState:
    return DemoState({"nearest": make_model(build_predictor(load_model("nearest")))})


def test_another_click_after_undo_is_another_game() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    state = make_state()
    place = state.add_image("a", encode(image))
    a, b, c = Click(3, 3, True), Click(10, 20, True), Click(15, 5, False)
    for clicks in ([a, b], [a, c], [c], [a, b, c], [a]):
        mask, _ = state.answer(place, "nearest", clicks)
        fresh = make_state()
        wanted, _ = fresh.answer(fresh.add_image("a", encode(image)), "nearest", clicks)
        assert np.array_equal(mask, wanted)


def test_a_model_that_raises_can_be_asked_again() -> None:
    def answer(turns: Sequence[Turn]) -> list[Prediction]:
        if len(turns[0].clicks) == 2:
            raise ValueError("two are too many")
        return [Prediction(turn.state[..., 0] > len(turn.clicks), turn.state) for turn in turns]

    state = DemoState({"moody": make_model(toys.Broken(answer))})
    place = state.add_image("a", encode(np.full((4, 4, 3), 2, np.uint8)))
    one, two = Click(0, 0, True), Click(1, 1, True)
    for _ in range(2):
        with pytest.raises(PredictorError, match="the demo: the model raised ValueError: two are"):
            state.answer(place, "moody", [one, two])
    mask, seconds = state.answer(place, "moody", [one])
    assert mask.all()
    assert seconds is None  # cached


def test_a_session_has_a_limit_and_takes_no_images_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "SESSION_IMAGES", 3)
    state, data = make_state(), encode(np.zeros((4, 4, 3), np.uint8))
    given = [state.add_image(str(k), data) for k in range(12)]
    own = {who: [state.add_image("", data, who) for _ in range(3)] for who in ("a", "b")}
    for who in own:
        with pytest.raises(Refused, match="3 images are open, the most of a session"):
            state.add_image("", data, who)
        listed = [identity for identity, _ in state.images.list(who)]
        assert listed == [*given, *own[who]]
    for place in (*given, *own["a"], *own["b"]):
        state.answer(place, "nearest", [Click(0, 0, True)])


def test_idle_sessions_make_room_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    state, data = make_state(), encode(np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setattr(images, "TOTAL_BYTES", 2 * images.LEAST)
    first, second = (state.add_image("", data, who) for who in ("a", "b"))
    with pytest.raises(Refused, match="the demo holds at most"):
        state.add_image("", data, "c")
    monkeypatch.setattr(images, "IDLE", 0.0)
    state.images.find(first)  # now b is idle for longer
    state.add_image("", data, "c")
    state.answer(first, "nearest", [Click(0, 0, True)])
    with pytest.raises(Refused, match="no longer loaded"):
        state.answer(second, "nearest", [Click(0, 0, True)])


def test_few_images_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PIXELS", 100)
    state = make_state()
    made = [np.full((7, 7, 3), k, np.uint8) for k in range(5)]
    places = [state.add_image("", encode(image)) for image in made]
    for place, image in zip(places * 2, made * 2, strict=True):
        assert np.array_equal(state.images.decode(place), image)
        assert len(state.images._decoded) <= 2


def test_a_file_that_was_given_is_read_again_and_noticed_if_it_changed(tmp_path: Path) -> None:
    state, path = make_state(), tmp_path / "a.png"
    path.write_bytes(encode(np.zeros((5, 6, 3), np.uint8)))
    place = state.images.add_file(path)
    state.images._decoded.clear()
    assert state.images.decode(place).shape == (5, 6, 3)
    state.images._decoded.clear()
    path.write_bytes(encode(np.zeros((6, 6, 3), np.uint8)))
    with pytest.raises(Refused, match=r"the file of a\.png changed"):
        state.answer(place, "nearest", [Click(5, 5, True)])
    path.unlink()
    with pytest.raises(IsbenchError, match="cannot read"):
        state.answer(place, "nearest", [Click(5, 5, True)])


@given(
    asked=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=8),
    kept=st.integers(1, 9),
)
def test_answers_do_not_depend_on_what_was_kept(asked: list[list[int]], kept: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    places = [Click(0, 0, True), Click(5, 4, True), Click(3, 1, False), Click(2, 2, True)]
    session = PredictorSession(build_predictor(load_model("nearest")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(games, "KEPT", 30 * kept)
        patch.setattr(games, "GAMES", 2)
        cache = games.GameCache()
        for number, choice in enumerate(asked):
            clicks = [places[k] for k in choice]
            found = cache.answer((str(number % 3), "nearest"), session, image, clicks)
            fresh = games.GameCache().answer(("a", "nearest"), session, image, clicks)
            assert np.array_equal(found.mask, fresh.mask)
            assert len(cache._games) <= 2


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"clicks": [[0, 9999, 1]]}, b"outside"),
        ({"clicks": [[-1, 0, 1]]}, b"outside"),
        ({"clicks": []}, b"wanted 1 to"),
        ({"clicks": [[0, 0, 1]] * 501}, b"wanted 1 to"),
        ({"clicks": [[0, 0]]}, b"wanted image, model and clicks"),
        ({"clicks": "abc"}, b"wanted image, model and clicks"),
        ({"clicks": [[float("inf"), 0, 1]]}, b"wanted image, model and clicks"),
        ({"clicks": [[0, float("nan"), 1]]}, b"wanted image, model and clicks"),
        ({"clicks": [[0.5, 0, 1]]}, b"wanted image, model and clicks"),
        ({"clicks": [[True, 0, 1]]}, b"wanted image, model and clicks"),
        ({"clicks": [[0, 0, "yes"]]}, b"wanted image, model and clicks"),
        ({"clicks": [[10**400, 0, 1]]}, b"outside"),
        ({"clicks": [[0, 0, 1]], "model": "\ud800"}, b"wanted image, model and clicks"),
        ({"clicks": [[0, 0, 1]], "image": ["a"]}, b"wanted image, model and clicks"),
        ({"clicks": [[0, 0, 1]], "model": {}}, b"wanted image, model and clicks"),
        ({"clicks": [[0, 0, 1]], "model": "csfpn-r101"}, b"no model named"),
    ],
)
def test_questions_that_make_no_sense_are_refused(
    address: str, question: dict[str, Any], said: bytes
) -> None:
    whole = {"image": find_first_image(address), "model": "nearest", **question}
    status, body = answer(address, **whole)
    assert status == (404 if b"named" in said else 400)
    assert said in body


def test_uploads_are_looked_at_first(address: str) -> None:
    _, data = cv2.imencode(".png", np.full((30, 40, 3), 99, np.uint8))
    status, body, _ = ask(f"{address}images", bytes(data))
    assert status == 200
    assert json.loads(body)["rows"] == 30
    place = json.loads(body)["id"]
    assert ask(f"{address}images/{place}")[2]["Content-Type"] == "image/jpeg"
    for wrong, code in ((b"no picture", 415), (b"<svg/>", 415), (bytes(UPLOAD + 1), 413)):
        status, said, _ = ask(f"{address}images", wrong)
        assert status == code
        assert said


def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    from io import BytesIO

    from PIL import Image

    made = BytesIO()
    Image.new("1", (40_000, 2_000)).save(made, "PNG")
    with pytest.raises(Refused, match="pixels are too many"):
        open_image(made.getvalue())


def test_what_cannot_be_served_is_one_line(isbench: Isbench, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for words, said in (
            (["--port", port], f"cannot listen on port {port}"),
            (["--port", 99999], "port 99999"),
            ([tmp_path / "none.jpg"], "cannot read"),
            (["--model", "nearst"], "did you mean nearest"),
        ):
            code, _, error = isbench("demo", "--model", "nearest", "--no-browser", *words)
            assert (code, error.count("\n")) == (2, 1), error
            assert said in error


@pytest.mark.slow
def test_a_person_segments_a_photo(tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    dataset = load_dataset("sample")
    sample = dataset.load(next(key for key in dataset.keys if key.startswith("astronaut")))
    (game,) = play_by_csfpn(sample)
    words = ("--model", "csfpn-mini", "--model", "nearest", str(PHOTO))
    with demo(*words) as address, chromium(tmp_path / "profile", 700, 700) as browser:
        browser.get(address)
        canvas = browser.find_element("id", "canvas")

        def wait(words: str) -> None:
            wait_until(lambda: words in browser.find_element("id", "status").text)

        def click(number: int) -> None:
            row, col, positive = game.trajectory.clicks[number]
            box = browser.execute_script(
                "const b = arguments[0].getBoundingClientRect(); return [b.width, b.height]", canvas
            )
            rows, cols = sample.truth.shape
            assert box[1] < rows  # the picture is shown smaller than it is
            x, y = (
                (col + 0.5) * box[0] / cols - box[0] / 2,
                (row + 0.5) * box[1] / rows - box[1] / 2,
            )
            chain = ActionChains(browser).move_to_element_with_offset(canvas, round(x), round(y))
            (chain.click() if positive else chain.context_click()).perform()

        def mask() -> Any:
            packed = browser.execute_script("return answer.rle")
            return decode_rle(packed)

        wait("Click on the object")
        click(0)
        wait("1 click,")
        first = mask()
        click(1)
        wait("2 clicks,")
        second = mask()
        both, either = count_overlap(second, sample.truth, sample.ignore)
        assert both / either > 0.7
        drawn = np.array(browser.execute_script("return clicks"))
        wanted = np.array([[*one[:2], int(one[2])] for one in game.trajectory.clicks])
        assert abs(drawn - wanted).max() <= 1  # the picture is smaller, so a pixel may be missed
        browser.save_screenshot(str(tmp_path / "demo.png"))
        ActionChains(browser).send_keys("z").perform()
        wait("1 click, cached")
        assert np.array_equal(mask(), first)
        browser.find_element("id", "reset").click()
        wait("Click on the object")
        assert not browser.find_element("id", "png").is_enabled()
        assert complaints(browser) == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1300, 900), (500, 800)])
def test_pictures_of_any_size_fill_the_window(tmp_path: Path, width: int, height: int) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    sizes = {"tiny.v2.png": (60, 80), "wide.png": (300, 2000), "tall.png": (2000, 300)}
    for name, (rows, cols) in sizes.items():
        (tmp_path / name).write_bytes(encode(np.full((rows, cols, 3), 99, np.uint8)))
    words = ("--model", "nearest", *(str(tmp_path / name) for name in sizes))
    with demo(*words) as address, chromium(tmp_path / "profile", width, height) as browser:
        browser.get(address)

        def run(script: str) -> Any:
            return browser.execute_script(f"return {script}")

        for number, (name, (rows, cols)) in enumerate(sizes.items()):
            run(f"($('image').value = {number}, $('image').dispatchEvent(new Event('change')))")
            said = f"{name}: {cols} x {rows} pixels"
            wait_until(lambda said=said: said in browser.find_element("id", "status").text)
            assert run("nameMask()") == f"{name.removesuffix('.png')}-mask"
            box = run("(({width, height}) => [width, height])(canvas.getBoundingClientRect())")
            main = run(
                "(({clientWidth: w, clientHeight: h}) => [w, h])(document.querySelector('main'))"
            )
            assert all(one <= most for one, most in zip(box, main, strict=True))
            assert any(one > most - 2 for one, most in zip(box, main, strict=True))
            assert abs(box[0] / box[1] - cols / rows) < 0.02 * cols / rows + 0.02
            assert run("document.documentElement.scrollWidth <= innerWidth")
            assert run("document.documentElement.scrollHeight <= innerHeight")
        browser.find_element("id", "removing").click()
        ActionChains(browser).click(browser.find_element("id", "canvas")).perform()
        wait_until(lambda: "1 click" in browser.find_element("id", "status").text)
        assert run("clicks[0][2]") == 0
        wait_until(lambda: not run("document.body.classList.contains('busy')"))
        assert complaints(browser) == []


def play_by_csfpn(sample: Sample) -> Any:
    return list(play(build_predictor(load_model("csfpn-mini")), [sample], Rules(2, 1.01)))


def test_the_picture_of_a_file_is_that_of_the_readers(tmp_path: Path) -> None:
    from PIL import Image

    from isbench.datasets.image_io import read_image

    with Image.open(PHOTO) as photo:
        for name, more in (("a.jpg", {}), ("a.webp", {}), ("a.bmp", {}), ("a.tif", {})):
            photo.save(tmp_path / name, **more)
        photo.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[photo])
    for path in tmp_path.iterdir():
        assert np.array_equal(open_image(path.read_bytes()), read_image(path))

    assert np.array_equal(open_image(PHOTO.read_bytes()), read_image(PHOTO))
    with pytest.raises(IsbenchError):
        read_image(PHOTO.with_name("none.png"))
