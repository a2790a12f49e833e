"""CDNet's pixel diffusion (Chen et al. 2021): logits spread to neighbours of similar colour.

Has no learned parameters. Equal to the official module (tests/baselines/test_cdnet.py), which
convolves with constant kernels; shifted views of the map are several times faster on a CPU.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DILATIONS = (1, 2, 4, 8)  # of the neighbourhoods of diffusion
STEPS = 5
DECIDED = 0.25  # predictions closer to 0 than this, in [-1, 1], do not spread
CLICKED = 10.0  # weight of a click relative to predictions in [-1, 1]
_SIDES = (-1, 0, 1)
_NEIGHBOURS = [  # offsets (row, col), dilation by dilation
    (dilation * row, dilation * col)
    for dilation in DILATIONS
    for row in _SIDES
    for col in _SIDES
    if (row, col) != (0, 0)
]


def refine_logits(image: Tensor, logits: Tensor, disks: Tensor) -> Tensor:
    """Return logits (B, 1, H, W) refined by RGB in [0, 1] and the click disks (B, 2, H, W)."""
    return diffuse_pixels(image, logits, disks) + _to_signed(logits)


def diffuse_pixels(image: Tensor, logits: Tensor, disks: Tensor) -> Tensor:
    """Return what spreads to each pixel, (B, 1, H, W) float32, without its own prediction.

    RGB is in [0, 1], (B, 3, H, W), and the click disks are (B, 2, H, W).
    """
    # half precision would make different colours equal, and saves little here
    with _full_precision(image.device.type):
        affinities = _compute_affinities(image.float())
        signed = _to_signed(logits)
        diffused = torch.where(signed.abs() > DECIDED, signed, 0.0)
        diffused = diffused + CLICKED * (disks[:, :1] - disks[:, 1:]).float()
        for _ in range(STEPS):
            diffused = _average(affinities, _shift(diffused))
        return diffused


def _to_signed(logits: Tensor) -> Tensor:
    """Return float32 predictions in [-1, 1]."""
    return 2 * torch.sigmoid(logits.float()) - 1


def _compute_affinities(image: Tensor) -> list[Tensor]:
    """Return the weight of each neighbour, (B, 1, H, W); those of a pixel sum to 1."""
    differences = [image - neighbour for neighbour in _shift(image)]
    total, squares = torch.zeros_like(image), torch.zeros_like(image)
    for difference in differences:
        total, squares = total + difference, torch.addcmul(squares, difference, difference)
    # the deviation of all 9 pixels at each dilation; the pixel itself differs by 0 from itself
    count = len(differences) + len(DILATIONS)
    deviation = ((squares - total.square() / count) / (count - 1)).sqrt()
    scale = 1 / (1e-8 + 0.1 * deviation)
    scaled = [(one.abs() * scale).mean(dim=1, keepdim=True) for one in differences]
    shares = torch.softmax(-torch.cat(scaled, dim=1), dim=1)  # (B, 32, H, W)
    return [shares[:, k : k + 1] for k in range(len(differences))]


def _shift(x: Tensor) -> list[Tensor]:
    """Return the neighbours of every pixel, (B, C, H, W) each; those outside repeat the border."""
    height, width, margin = x.shape[-2], x.shape[-1], max(DILATIONS)
    padded = F.pad(x, [margin] * 4, "replicate")
    return [
        padded[..., margin + row : margin + row + height, margin + col : margin + col + width]
        for row, col in _NEIGHBOURS
    ]


def _average(weights: list[Tensor], values: list[Tensor]) -> Tensor:
    total = torch.zeros_like(weights[0])
    for weight, value in zip(weights, values, strict=True):
        total = torch.addcmul(total, weight, value)
    return total


def _full_precision(device: str) -> AbstractContextManager[object]:
    # some devices, such as the one that costs are counted on, have no autocast to turn off
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class _Kernel(nn.Module):
    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)


class Pdm(nn.Module):
    """Pixel diffusion module, without learned parameters.

    Its buffers are part of official checkpoints and not used: they are constants.
    """

    def __init__(self) -> None:
        super().__init__()
        cells = torch.eye(9).view(9, 1, 3, 3)  # kernels that select one cell each, row by row
        neighbours = torch.cat([cells[:4], cells[5:]])
        self.aff_x = _Kernel(cells[4] - neighbours)
        self.aff_m = _Kernel(neighbours)
        self.aff_std = _Kernel(cells)

    def forward(self, image: Tensor, logits: Tensor, disks: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) refined by RGB in [0, 1] and the click disks (B, 2, H, W)."""
        return refine_logits(image, logits, disks)
