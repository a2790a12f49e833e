"""A light feature pyramid decoder, coarse to fine (Lin et al., arXiv:1612.03144)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from isbench.nn.backbones.deeplab import Separable
from isbench.nn.stem import resize_bilinear


class Pyramid(nn.Module):
    """Maps at strides 4, 8, ... to one map (B, channels, H/4, W/4).

    Starts from the mean of the coarsest map; each scale then adds its own map to the upsampled sum
    and smooths it.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.context = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[-1], channels, 1), nn.ReLU()
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.smooth = nn.ModuleList(Separable(channels, channels) for _ in widths)

    def forward(
        self, scales: Sequence[Tensor], coarse: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the finest map; `coarse` may transform the map at stride 8."""
        return self.smooth_last(self.join(scales, coarse))

    def join(
        self, scales: Sequence[Tensor], coarse: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the sum at the finest scale, before it is smoothed; see `forward`."""
        return join_scales(scales, self.context, self.laterals, self.smooth, coarse)

    def smooth_last(self, joined: Tensor) -> Tensor:
        """Return the finest map of the sum that `join` returns."""
        y: Tensor = self.smooth[0](joined)
        return y


def join_scales(
    scales: Sequence[Tensor],
    context: nn.Module,
    laterals: nn.ModuleList,
    smooth: nn.ModuleList,
    coarse: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Return the sum at the finest scale of a pyramid's parts, before `smooth[0]`.

    `coarse` may transform the map at stride 8.
    """
    y: Tensor = context(scales[-1])  # (B, channels, 1, 1), broadcast over the coarsest scale
    for k in reversed(range(1, len(scales))):
        y = smooth[k](resize_bilinear(y, scales[k].shape[-2:]) + laterals[k](scales[k]))
        if k == 1 and coarse is not None:
            y = coarse(y)
    joined: Tensor = resize_bilinear(y, scales[0].shape[-2:]) + laterals[0](scales[0])
    return joined
