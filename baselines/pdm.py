"""CDNet's pixel diffusion (Chen et al. 2021): logits spread to neighbours of similar colour.

Has no learned parameters. Equal to the official module (tests/baselines/test_cdnet.py).
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


class _Window(nn.Module):
    """Applies 3x3 kernels at every dilation; the kernels are part of official checkpoints."""

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, dilations * kernels, H, W) for (B, C, H, W), the kernel varying fastest."""
        flat = x.flatten(0, 1)[:, None]  # (B * C, 1, H, W)
        windows = [
            F.conv2d(F.pad(flat, [dilation] * 4, "replicate"), self.kernel, dilation=dilation)
            for dilation in DILATIONS
        ]
        return torch.cat(windows, dim=1).reshape(*x.shape[:2], -1, *x.shape[-2:])


def _full_precision(device: str) -> AbstractContextManager[object]:
    # some devices, such as the one that costs are counted on, have no autocast to turn off
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class Pdm(nn.Module):
    """Pixel diffusion module, without learned parameters."""

    def __init__(self) -> None:
        super().__init__()
        cells = torch.eye(9).view(9, 1, 3, 3)  # kernels that select one cell each, row by row
        neighbours = torch.cat([cells[:4], cells[5:]])
        self.aff_x = _Window(cells[4] - neighbours)  # the centre minus each neighbour
        self.aff_m = _Window(neighbours)
        self.aff_std = _Window(cells)

    def forward(self, image: Tensor, logits: Tensor, disks: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) refined by RGB in [0, 1] and the click disks (B, 2, H, W)."""
        # half precision would make different colours equal, and saves little here
        with _full_precision(image.device.type):
            return self._refine(image.float(), logits.float(), disks.float())

    def _refine(self, image: Tensor, logits: Tensor, disks: Tensor) -> Tensor:
        deviation = self.aff_std(image).std(dim=2, keepdim=True)  # (B, 3, 1, H, W)
        difference = self.aff_x(image).abs() / (1e-8 + 0.1 * deviation)  # (B, 3, 32, H, W)
        affinity = torch.softmax(-difference.mean(dim=1), dim=1)  # (B, 32, H, W)
        signed = 2 * torch.sigmoid(logits) - 1
        diffused = torch.where(signed.abs() > DECIDED, signed, 0.0)
        diffused = diffused + CLICKED * (disks[:, :1] - disks[:, 1:])
        for _ in range(STEPS):
            diffused = (affinity * self.aff_m(diffused)[:, 0]).sum(dim=1, keepdim=True)
        return diffused + signed
