"""Two networks: a coarse one sees the whole image, a refiner sees a crop around the last click."""

from functools import partial

import torch
from torch import nn

from isbench import ModelCard, Prediction
from isbench.nn.clickmaps import draw_disks, encode_points
from isbench.nn.network import example_image, example_points
from isbench.nn.runtime.compute import build_networks, inference

CROP = 24  # side of the crop, in pixels


class Coarse(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.coarse = nn.Sequential(nn.Conv2d(5, width, 3, padding=1), nn.ReLU())
        self.coarse_head = nn.Conv2d(width, 1, 1)

    def forward(self, image, points):  # (B, 3, H, W), (B, 2K, 5) -> logits, features
        maps = draw_disks(points, image.shape[-2:], 3)
        features = self.coarse(torch.cat([image, maps], dim=1))
        return self.coarse_head(features), features  # (B, 1, H, W), (B, width, H, W)

    def example_inputs(self, size, points):
        return example_image(size, 3), example_points(size, points)


class Refiner(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width
        self.refiner = nn.Conv2d(3 + width + 1, 1, 3, padding=1)

    def forward(self, image, features, logits):  # three crops -> logits (B, 1, h, w)
        return (self.refiner(torch.cat([image, features, logits], dim=1)),)

    def example_inputs(self, size, points):
        image = example_image(size, 3)
        return image, image[:, :1].repeat(1, self.width, 1, 1), image[:, :1]


def make_networks(width):
    return {"coarse": Coarse(width), "refiner": Refiner(width)}


class Two:
    def __init__(self, width, *, runtime):
        self.runtime = runtime
        self.networks = build_networks(partial(make_networks, width), runtime)

    def begin(self, image):
        return torch.tensor(image.transpose(2, 0, 1)[None], device=self.runtime.device) / 255

    def start(self, encoded, initial):
        return encoded

    def predict(self, turns):
        with inference(self.runtime):
            return [Prediction(self._mask(*turn), turn.state) for turn in turns]

    def _mask(self, image, clicks):
        points = encode_points(clicks).to(image.device)
        logits, features = self.networks["coarse"](image, points)
        top, left = (max(0, at - CROP // 2) for at in clicks[-1][:2])
        crop = ..., slice(top, top + CROP), slice(left, left + CROP)
        (logits[crop],) = self.networks["refiner"](image[crop], features[crop], logits[crop])
        return (logits[0, 0] > 0).cpu().numpy()


card = ModelCard(name="toy-two", build=Two, options={"width": 8}, networks=make_networks)
