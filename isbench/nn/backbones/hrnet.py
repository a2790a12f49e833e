"""HRNetV2 (Wang et al., arXiv:1908.07919): branches at strides 4 to 32 that exchange features.

With its OCR head, as the RITM family builds it. Attribute names are the keys of the official
checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isbench.nn.backbones.ocr import Distribution, Logits, aux_head, context, conv3x3_ocr
from isbench.nn.backbones.resnet import BasicBlock, Bottleneck, chain
from isbench.nn.stem import add_maps, resize_bilinear


def _conv_bn(inside: int, outside: int, stride: int = 1, kernel: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outside)]


class Exchange(nn.Module):
    """A module of a stage: a chain of blocks a branch, then every branch hears every other."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(widths, source, to) for source in range(len(widths)))
            for to in range(len(widths))
        )

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Return one tensor a branch, in the shapes of `x`."""
        x = [branch(one) for branch, one in zip(self.branches, x, strict=True)]
        fused = []
        for to, paths in enumerate(self.fuse_layers):
            assert isinstance(paths, nn.ModuleList)
            total = None
            for source, path in enumerate(paths):
                heard = resize_bilinear(path(x[source]), x[to].shape[-2:])
                total = heard if total is None else total + heard
            assert total is not None
            fused.append(torch.relu(total))
        return fused


def _path(widths: Sequence[int], source: int, to: int) -> nn.Module:
    """Return what a branch's features go through on their way to another branch."""
    if source == to:
        return nn.Identity()
    if source > to:  # to a finer branch; raised to its size afterwards
        return nn.Sequential(*_conv_bn(widths[source], widths[to], kernel=1))
    steps = []
    for step in range(source, to):
        last = step == to - 1
        outside = widths[to] if last else widths[source]
        layers = _conv_bn(widths[source], outside, stride=2)
        steps.append(nn.Sequential(*layers, *([] if last else [nn.ReLU()])))
    return nn.Sequential(*steps)


class Sizes(NamedTuple):
    """What distinguishes one HRNet from another."""

    width: int  # channels of the finest branch
    ocr: int  # half the channels of the context
    bottlenecks: int  # before the branches
    blocks: int  # a branch and module
    modules: tuple[int, int, int]  # of stages 2, 3 and 4


W18S = Sizes(18, 48, 2, 2, (1, 3, 2))
W18 = Sizes(18, 64, 4, 4, (1, 4, 3))
W32 = Sizes(32, 128, 4, 4, (1, 4, 3))


class HRNet(nn.Module):
    """Backbone and OCR head: stem (B, 3, H, W), body at H/4 and logits wherever one calls it."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, ocr, bottlenecks, blocks, modules = sizes
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.channels, self.low_channels = sum(widths), 64
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = chain(Bottleneck, 64, 64, bottlenecks)
        self.transition1 = nn.ModuleList(
            [
                nn.Sequential(*_conv_bn(256, widths[0]), nn.ReLU()),
                nn.Sequential(nn.Sequential(*_conv_bn(256, widths[1], stride=2), nn.ReLU())),
            ]
        )
        self.stage2 = _stage(widths[:2], blocks, modules[0])
        self.transition2 = _new_branch(widths[:3])
        self.stage3 = _stage(widths[:3], blocks, modules[1])
        self.transition3 = _new_branch(widths)
        self.stage4 = _stage(widths, blocks, modules[2])
        self.aux_head = aux_head(self.channels)
        self.conv3x3_ocr = conv3x3_ocr(self.channels, ocr)
        self.ocr_distri_head = Distribution(2 * ocr, ocr)
        self.cls_head = nn.Conv2d(2 * ocr, 1, 1)

    def stem(self, image: Tensor, extra: Tensor | None) -> Tensor:
        """Return the stem's first half with the clicks added, (B, 64, H/2, W/2)."""
        return add_maps(torch.relu(self.bn1(self.conv1(image))), extra)

    def body(self, low: Tensor) -> Tensor:
        """Return the concatenated branches for a stem, (B, 15 * width, H/4, W/4)."""
        x = self.layer1(torch.relu(self.bn2(self.conv2(low))))
        branches = [step(x) for step in self.transition1]
        branches = _through(self.stage2, branches)
        branches = _through(self.stage3, [*branches, self.transition2[-1](branches[-1])])
        branches = _through(self.stage4, [*branches, self.transition3[-1](branches[-1])])
        size = branches[0].shape[-2:]
        return torch.cat([resize_bilinear(branch, size) for branch in branches], dim=1)

    def logits(self, features: Tensor, aux: Tensor) -> Logits:
        """Return both answers at the features' size, where `aux` may have been smaller."""
        aux = resize_bilinear(aux, features.shape[-2:])
        x = self.conv3x3_ocr(features)
        return Logits(self.cls_head(self.ocr_distri_head(x, context(x, aux))), aux)


def _stage(widths: Sequence[int], blocks: int, modules: int) -> nn.ModuleList:
    return nn.ModuleList(Exchange(widths, blocks) for _ in range(modules))


def _through(stage: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    for module in stage:
        branches = module(branches)
    return branches


def _new_branch(widths: Sequence[int]) -> nn.ModuleList:
    """Return a transition: branches pass through, the last one begins a coarser one."""
    passing = [nn.Identity() for _ in widths[:-1]]
    step = nn.Sequential(*_conv_bn(widths[-2], widths[-1], stride=2), nn.ReLU())
    return nn.ModuleList([*passing, nn.Sequential(step)])
