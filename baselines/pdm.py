"""Pixel diffusion of CDNet (Chen et al. 2021): an answer goes where neighbours have like colours.

Nothing here is learned. Equal to the official module (tests/baselines/test_cdnet.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DILATIONS = (1, 2, 4, 8)  # of the neighbourhoods in which the answer diffuses
STEPS = 5
DECIDED = 0.25  # an answer nearer to 0 than this, in [-1, 1], neither spreads nor resists
CLICKED = 10.0  # what a click weighs against answers in [-1, 1]


class _Window(nn.Module):
    """What 3x3 kernels see of a map at every dilation; the kernels are in official checkpoints."""

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, dilations * kernels, H, W), dilations slower, for (B, C, H, W)."""
        flat = x.flatten(0, 1)[:, None]  # (B * C, 1, H, W)
        seen = [
            F.conv2d(F.pad(flat, [dilation] * 4, "replicate"), self.kernel, dilation=dilation)
            for dilation in DILATIONS
        ]
        return torch.cat(seen, dim=1).reshape(*x.shape[:2], -1, *x.shape[-2:])


class Pdm(nn.Module):
    """Pixel diffusion module: answers go where neighbours have like colours; nothing is learned."""

    def __init__(self) -> None:
        super().__init__()
        cells = torch.eye(9).view(9, 1, 3, 3)  # each sees one cell of the window, row by row
        around = torch.cat([cells[:4], cells[5:]])
        self.aff_x = _Window(cells[4] - around)  # the centre less each neighbour
        self.aff_m = _Window(around)
        self.aff_std = _Window(cells)

    def forward(self, image: Tensor, logits: Tensor, drawn: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) refined by RGB in [0, 1] and the disks (B, 2, H, W)."""
        # half the precision would make unlike colours equal, and saves little here
        with torch.autocast(image.device.type, enabled=False):
            return self._refined(image.float(), logits.float(), drawn.float())

    def _refined(self, image: Tensor, logits: Tensor, drawn: Tensor) -> Tensor:
        deviation = self.aff_std(image).std(dim=2, keepdim=True)  # (B, 3, 1, H, W)
        unlike = self.aff_x(image).abs() / (1e-8 + 0.1 * deviation)  # (B, 3, 32, H, W)
        affinity = torch.softmax(-unlike.mean(dim=1), dim=1)  # (B, 32, H, W)
        answer = 2 * torch.sigmoid(logits) - 1
        spread = torch.where(answer.abs() > DECIDED, answer, 0.0)
        spread = spread + CLICKED * (drawn[:, :1] - drawn[:, 1:])
        for _ in range(STEPS):
            spread = (affinity * self.aff_m(spread)[:, 0]).sum(dim=1, keepdim=True)
        return spread + answer
