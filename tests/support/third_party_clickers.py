"""Third-party clickers, good and bad; the fixture `third_party_clickers` installs them."""

from __future__ import annotations

import numpy as np

from isbench.evaluation.clickers.centre import centre
from isbench.types import Click, Clicker, ClickFunction, ClickInput


def make_tremble(sigma: float, first: bool) -> ClickFunction:
    if sigma < 0:
        raise ValueError("sigma is below 0")

    def click(given: ClickInput) -> Click:
        row, col, positive = centre(given)
        if first or given.clicks:
            rows, cols = given.truth.shape
            row = int(np.clip(row + np.rint(given.rng.normal(0, sigma)), 0, rows - 1))
            col = int(np.clip(col + np.rint(given.rng.normal(0, sigma)), 0, cols - 1))
            positive = bool(given.truth[row, col])
        return Click(row, col, positive)

    return click


def paint_mask(given: ClickInput) -> Click:
    given.mask[:] = True
    return Click(0, 0, True)


def paint_truth(given: ClickInput) -> Click:
    given.truth[0, 0] = True
    return Click(0, 0, True)


def fail(given: ClickInput) -> Click:
    raise KeyError("lost")


def remember(given: ClickInput) -> Click:
    SEEN.append(given)
    return centre(given)


def make_grouped(share: str, count: int) -> ClickFunction:
    return centre


SEEN: list[ClickInput] = []

tremble = Clicker("tremble", make_tremble, {"sigma": 2.0, "first": False}, "3")
grouped = Clicker("grouped", make_grouped, {"share": "1/10", "count": 5})
watching = Clicker("watching", lambda: remember)
numpy_like = Clicker("numpy-like", lambda: lambda g: (np.int64(1), np.uint8(2), np.bool_(True)))
paints_mask = Clicker("paints-mask", lambda: paint_mask)
paints_truth = Clicker("paints-truth", lambda: paint_truth)
failing = Clicker("failing", lambda: fail)
none = Clicker("none", lambda: lambda given: None)
far = Clicker("far", lambda: lambda given: Click(10**6, 0, True))
negative_row = Clicker("negative-row", lambda: lambda given: Click(-1, 0, True))
half = Clicker("half", lambda: lambda given: (0.5, 0, True))
unsigned = Clicker("unsigned", lambda: lambda given: (0, 0, 1))
pair = Clicker("pair", lambda: lambda given: (0, 0))
function_less = Clicker("function-less", lambda: 3)
misnamed = Clicker("other-name", lambda: centre)
no_version = Clicker("no-version", lambda: centre, version="")
comma = Clicker("comma", lambda: centre, {"word": "a,b"})
endless = Clicker("endless", lambda: centre, {"size": float("inf")})
spaced = Clicker("spaced", lambda: centre, {"a b": 1})
