"""The demo's page in a real browser: exact clicks, crisp masks, and what it says while it waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

from isbench.demo.server import DemoState
from isbench.types import Prediction, Predictor, Turn
from tests.support import toys
from tests.support.browser import chromium, complaints
from tests.support.demo import encode, make_model, serve
from tests.support.waiting import HUNG, wait_until

pytestmark = pytest.mark.slow

SMALL, LARGE = (60, 80), (1500, 2000)


class Gated:
    """Disks that wait for a permission at every answer, and know how many clicks they got."""

    def __init__(self) -> None:
        self.gate, self.asked, self.disks = Event(), list[int](), toys.Disks()
        self.begin, self.start = self.disks.begin, self.disks.start

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        self.asked.append(len(turns[0].clicks))
        assert self.gate.wait(HUNG)
        return self.disks.predict(turns)


class Page:
    """The demo's page in a browser."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def run(self, script: str) -> Any:
        return self.browser.execute_script(f"return {script}")

    def wait(self, words: str) -> None:
        wait_until(lambda: words in self.status())

    def status(self) -> str:
        return str(self.browser.find_element("id", "status").text)

    def click(self, row: float, col: float) -> None:
        """Click at a place of the picture, in its pixels."""
        self.run(
            "((row, col) => { const box = canvas.getBoundingClientRect(); canvas.dispatchEvent("
            "new MouseEvent('click', {bubbles: true, clientX: box.left + col * box.width / "
            "image.cols, clientY: box.top + row * box.height / image.rows})); })"
            f"({row}, {col})"
        )


@contextmanager
def open_page(
    folder: Path, predictor: Predictor, *sizes: tuple[int, int], dark: bool = False
) -> Iterator[Page]:
    state = DemoState({"toy": make_model(predictor)})
    for number, (rows, cols) in enumerate(sizes):
        grey = np.full((rows, cols, 3), 99, np.uint8)
        state.add_image(f"image{number}.png", encode(grey))
    with serve(state) as address, chromium(folder, 1000, 700, dark) as browser:
        browser.get(address)
        page = Page(browser)
        page.wait("Click on the object")
        yield page
        assert complaints(browser) == []


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["enlarged", "reduced"])
def test_the_middle_of_every_pixel_is_that_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    with open_page(tmp_path, toys.Disks(), size) as page:
        for scale in (1, 1.5, 2):
            page.browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": 1000, "height": 700, "deviceScaleFactor": scale, "mobile": False},
            )
            wait_until(lambda scale=scale: page.run("devicePixelRatio") == scale)
            wrong = page.run(
                """(() => {
                  const box = canvas.getBoundingClientRect(), wrong = [];
                  const { rows, cols } = image;
                  for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col += 7) {
                    const found = place({
                      clientX: box.left + (col + 0.5) * box.width / image.cols,
                      clientY: box.top + (row + 0.5) * box.height / image.rows,
                    });
                    if (found[0] !== row || found[1] !== col) wrong.push([row, col, ...found]);
                  }
                  return wrong;
                })()"""
            )
            assert wrong == []


def is_crisp(page: Page, scale: float) -> bool:
    """Say whether every pixel of the canvas is one of the screen."""
    box = "canvas.getBoundingClientRect()"
    return all(
        page.run(f"canvas.{side} === Math.round({scale} * {box}.{side})")
        for side in ("width", "height")
    )


@pytest.mark.parametrize("scale", [1.5, 2])
def test_the_canvas_follows_a_screen_of_other_pixels(tmp_path: Path, scale: float) -> None:
    with open_page(tmp_path, toys.Disks(), SMALL) as page:
        width, height = sides = page.run("[innerWidth, innerHeight]")
        page.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False},
        )
        wait_until(lambda: is_crisp(page, scale))
        assert page.run("[innerWidth, innerHeight]") == sides


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["enlarged", "reduced"])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_mask_is_drawn_where_clicks_hit_it(
    tmp_path: Path, size: tuple[int, int], scale: int
) -> None:
    with open_page(tmp_path, toys.Disks(size[0] // 4), size) as page:
        page.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1000, "height": 700, "deviceScaleFactor": scale, "mobile": False},
        )
        wait_until(lambda: page.run("devicePixelRatio") == scale)
        page.click(size[0] / 2, size[1] / 2)
        page.wait("1 click,")
        wait_until(lambda: is_crisp(page, scale))
        wrong, inside = page.run(
            """(() => {
              const ratio = devicePixelRatio, box = canvas.getBoundingClientRect();
              clicks.length = 0;  // without the signs of clicks
              paint();
              const { data } = brush.getImageData(0, 0, canvas.width, canvas.height);
              let wrong = 0, inside = 0;
              for (let y = 0; y < canvas.height; y++) for (let x = 0; x < canvas.width; x++) {
                const [row, col] = place({
                  clientX: box.left + (x + 0.5) / ratio, clientY: box.top + (y + 0.5) / ratio,
                });
                const [red, , , alpha] = data.subarray(4 * (y * canvas.width + x));
                const shown = alpha > 0 && (red === 255 || alpha === 128);  // not the dark line
                inside += shown;
                wrong += shown !== (answer.mask[row * image.cols + col] === 1);
              }
              return [wrong, inside];
            })()"""
        )
        assert wrong == 0
        assert inside > 1000


def test_a_sign_of_work_appears_only_after_a_while(tmp_path: Path) -> None:
    predictor = Gated()
    with open_page(tmp_path, predictor, SMALL) as page:
        assert page.run("getComputedStyle($('working')).display") == "none"
        assert page.run("$('status').getAttribute('aria-live')") == "polite"
        page.run(
            """(() => {
              globalThis.signs = [];
              new MutationObserver(() => signs.push([performance.now() - began, isWorking()]))
                .observe(document.body, { attributes: true });
              globalThis.began = performance.now();
            })()"""
        )
        page.click(30, 40)
        page.wait("Computing 1 click ...")
        assert page.run("getComputedStyle($('working')).display") != "none"
        assert [page.run(f"$('{name}').disabled") for name in ("png", "rle")] == [True, True]
        predictor.gate.set()
        page.wait("1 click,")
        assert page.run("getComputedStyle($('working')).display") == "none"
        (appeared, working), (_, still) = page.run("signs")
        assert (working, still) == (True, False)
        assert appeared >= 150
        assert [page.run(f"$('{name}').disabled") for name in ("png", "rle")] == [False, False]


def test_an_answer_in_time_shows_no_sign_of_work(tmp_path: Path) -> None:
    with open_page(tmp_path, toys.Disks(), SMALL) as page:
        page.run(
            """(() => {
              globalThis.signs = 0;
              new MutationObserver(() => signs++).observe(document.body, { attributes: true });
              globalThis.setTimeout = () => 1;  // no time passes
            })()"""
        )
        page.click(30, 40)
        page.wait("1 click,")
        assert page.run("signs") == 0


def test_clicks_in_the_meantime_are_asked_together(tmp_path: Path) -> None:
    predictor = Gated()
    with open_page(tmp_path, predictor, SMALL) as page:
        page.run(
            """(() => {
              globalThis.questions = [];
              const original = fetch;
              globalThis.fetch = (path, options) => {
                questions.push(JSON.parse(options.body).clicks.length);
                return original(path, options);
              };
            })()"""
        )
        for k in range(4):
            page.click(10 + 10 * k, 40)
        page.browser.find_element("id", "undo").click()
        wait_until(lambda: predictor.asked)
        assert page.run("clicks.length") == 3
        predictor.gate.set()
        page.wait("3 clicks,")
        assert page.run("questions") == [1, 3]
        assert predictor.asked == [1, 2, 3]
        page.browser.find_element("id", "undo").click()
        page.wait("2 clicks, cached")
        page.browser.find_element("id", "reset").click()
        page.wait("Click on the object")
        assert page.run("answer") is None


def test_another_image_gives_up_the_question(tmp_path: Path) -> None:
    predictor = Gated()
    with open_page(tmp_path, predictor, SMALL, (30, 40)) as page:
        page.click(30, 40)
        wait_until(lambda: predictor.asked)
        page.run("($('image').value = 1, $('image').dispatchEvent(new Event('change')))")
        wait_until(lambda: page.run("image.name") == "image1.png")
        predictor.gate.set()
        page.wait("Click on the object. image1.png: 40 x 30 pixels")
        assert page.run("[clicks.length, answer]") == [0, None]
        page.click(7.5, 9.5)
        page.wait("1 click,")
        assert page.run("clicks[0]") == [7, 9, 1]


def test_an_error_of_the_model_is_said_and_the_next_click_asks_again(tmp_path: Path) -> None:
    errors = [ValueError("one is too few")]

    def answer(turns: Sequence[Turn]) -> list[Prediction]:
        if errors:
            raise errors.pop()
        return [Prediction(turn.state[..., 0] > 0, turn.state) for turn in turns]

    with open_page(tmp_path, toys.Broken(answer), SMALL) as page:
        page.click(3, 4)
        page.wait("one is too few")
        assert not page.run("isWorking()")
        assert page.browser.find_element("id", "undo").is_enabled()
        page.click(5, 6)
        page.wait("2 clicks,")
        assert "status of 500" in " ".join(complaints(page.browser))  # the only one
