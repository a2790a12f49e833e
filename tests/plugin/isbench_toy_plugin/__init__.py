"""A stranger's model: what is about as bright as the clicked object."""

import numpy as np

from isbench import ModelCard, Prediction


class Threshold:
    def __init__(self, tolerance):
        self.tolerance = tolerance

    def begin(self, image):
        return image.astype(float).mean(axis=2)

    def start(self, encoded, initial):
        return encoded

    def predict(self, turns):
        return [Prediction(self._mask(grey, clicks), grey) for grey, clicks in turns]

    def _mask(self, grey, clicks):
        levels = [grey[row, col] for row, col, positive in clicks if positive] or [0.0]
        return np.abs(grey - np.mean(levels)) < self.tolerance


card = ModelCard(name="toy-threshold", build=Threshold, options={"tolerance": 40.0})
