import numpy as np

from isbench import Click, Clicker
from isbench.evaluation.clickers.centre import centre


def make(sigma, first):
    if sigma < 0:
        raise ValueError("wanted a sigma of 0 or more")

    def click(given):
        row, col, positive = centre(given)
        if given.clicks or first:
            offset = np.rint(given.rng.normal(0, sigma, 2)).astype(int)
            rows, cols = given.truth.shape
            row, col = np.clip(np.add((row, col), offset), 0, (rows - 1, cols - 1))
            positive = given.truth[row, col]
        return Click(row, col, positive)

    return click


card = Clicker("shaky", make, parameters={"sigma": 2.0, "first": False}, stochastic=True)
