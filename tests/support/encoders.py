"""Models that encode an image before the clicks, and note each time they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from isbench.types import Image, Mask, ModelCard, Prediction, Turn


class Encoding(NamedTuple):
    """The features of an image, and a number."""

    features: NDArray[np.float32]  # (H, W, 3)
    bias: NDArray[np.float64]  # ()


class Encoder:
    """Finds the pixels whose features are near those of the positive clicks."""

    def __init__(self, *, folder: str, scale: float) -> None:
        self.folder, self.scale = folder, scale

    def begin(self, image: Image) -> Encoding:
        if self.folder:
            Path(self.folder, str(uuid4())).touch()
        features = np.sin(image.astype(np.float32) * np.float32(self.scale))
        return Encoding(features, np.array(0.1 * features.mean(dtype=np.float64)))

    def start(self, encoded: Encoding, initial: Mask | None) -> Encoding:
        return encoded

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        return [Prediction(self.mask(*turn), turn.state) for turn in turns]

    def mask(self, encoded: Encoding, clicks: Sequence[Any]) -> Mask:
        mask = np.zeros(encoded.features.shape[:2], bool)
        for row, col, positive in clicks:
            distance = np.abs(encoded.features - encoded.features[row, col]).sum(axis=2)
            mask[distance < 0.7 + encoded.bias] = positive
        return mask

    def pack(self, encoded: Encoding) -> Mapping[str, NDArray[Any]]:
        return encoded._asdict()

    def unpack(self, arrays: Mapping[str, NDArray[Any]], image: Image) -> Encoding:
        assert all(array.flags.writeable for array in arrays.values())
        return Encoding(**arrays)


class Forgetful(Encoder):
    """Loses its bias when it packs."""

    def unpack(self, arrays: Mapping[str, NDArray[Any]], image: Image) -> Encoding:
        return super().unpack({**arrays, "bias": np.array(0.4)}, image)


class Wordy(Encoder):
    """Packs what is no number."""

    def pack(self, encoded: Encoding) -> Mapping[str, NDArray[Any]]:
        return {"words": np.array(["a", "b"])}


OPTIONS = {"folder": "", "scale": 0.013}
card = ModelCard("encoder", Encoder, OPTIONS)
forgetful = ModelCard("forgetful", Forgetful, OPTIONS)
wordy = ModelCard("wordy", Wordy, OPTIONS)
