import numpy as np

from isbench import ModelCard, Prediction


class Threshold:
    """Segments the pixels that are about as bright as the clicked ones."""

    def __init__(self, tolerance):
        self.tolerance = tolerance

    # once per image: (H, W, 3) uint8 RGB -> whatever its objects share
    def begin(self, image):
        return image.astype(float).mean(axis=2)

    # once per object; initial is a (H, W) bool mask or None -> state
    def start(self, encoded, initial):
        return encoded

    # once per round: a list of turns -> a list of Prediction(mask, state), one per turn
    def predict(self, turns):
        return [Prediction(self._mask(grey, clicks), grey) for grey, clicks in turns]

    def _mask(self, grey, clicks):
        levels = [grey[row, col] for row, col, positive in clicks if positive] or [0.0]
        return np.abs(grey - np.mean(levels)) < self.tolerance


card = ModelCard(name="threshold", build=Threshold, options={"tolerance": 40.0})
