"""HRNetV2 (Wang et al., arXiv:1908.07919): branches at strides 4 to 32 that exchange features.

With its OCR head, as the RITM family builds it. Attribute names are the keys of the official
checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isbench.nn.backbones.branch_head import BranchHead
from isbench.nn.backbones.ocr import (
    Distribution,
    Logits,
    OcrOutput,
    aux_head,
    context,
    conv3x3_ocr,
)
from isbench.nn.backbones.resnet import BasicBlock, Bottleneck, chain
from isbench.nn.backbones.sizes import Sizes
from isbench.nn.stem import add_maps, resize_bilinear


def _conv_bn(
    in_channels: int, out_channels: int, stride: int = 1, kernel: int = 3
) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class Exchange(nn.Module):
    """A module of a stage: a chain of blocks per branch, then fusion of all branches."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_make_path(widths, source, to) for source in range(len(widths)))
            for to in range(len(widths))
        )

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Return one tensor per branch, with the shapes of `x`."""
        x = [branch(features) for branch, features in zip(self.branches, x, strict=True)]
        fused = []
        for to, paths in enumerate(self.fuse_layers):
            assert isinstance(paths, nn.ModuleList)
            total = None
            for source, path in enumerate(paths):
                contribution = resize_bilinear(path(x[source]), x[to].shape[-2:])
                total = contribution if total is None else total + contribution
            assert total is not None
            fused.append(torch.relu(total))
        return fused


def _make_path(widths: Sequence[int], source: int, to: int) -> nn.Module:
    """Return the layers between branch `source` and branch `to`."""
    if source == to:
        return nn.Identity()
    if source > to:  # to a finer branch; upsampled afterwards
        return nn.Sequential(*_conv_bn(widths[source], widths[to], kernel=1))
    steps = []
    for step in range(source, to):
        last = step == to - 1
        out_channels = widths[to] if last else widths[source]
        layers = _conv_bn(widths[source], out_channels, stride=2)
        steps.append(nn.Sequential(*layers, *([] if last else [nn.ReLU()])))
    return nn.Sequential(*steps)


class HRNet(nn.Module):
    """Backbone and OCR head: stem (B, 64, H/2, W/2), body (B, channels, H/4, W/4), and logits."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, ocr, bottlenecks, blocks, modules = sizes
        self.widths = widths = [width, 2 * width, 4 * width, 8 * width]
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
        self.stage2 = _make_stage(widths[:2], blocks, modules[0])
        self.transition2 = _new_branch(widths[:3])
        self.stage3 = _make_stage(widths[:3], blocks, modules[1])
        self.transition3 = _new_branch(widths)
        self.stage4 = _make_stage(widths, blocks, modules[2])
        self.aux_head = aux_head(self.channels)
        self.conv3x3_ocr = conv3x3_ocr(self.channels, ocr)
        self.ocr_distri_head = Distribution(2 * ocr, ocr)
        self.cls_head = nn.Conv2d(2 * ocr, 1, 1)
        self.branch_head: BranchHead | None = None

    def stem(self, image: Tensor, extra: Tensor | None) -> Tensor:
        """Return the first half of the stem with the click maps added, (B, 64, H/2, W/2)."""
        return add_maps(torch.relu(self.bn1(self.conv1(image))), extra)

    def body(self, low: Tensor) -> Tensor:
        """Return the concatenated branches of a stem, (B, 15 * width, H/4, W/4)."""
        branches = self._compute_branches(low)
        size = branches[0].shape[-2:]
        return torch.cat([resize_bilinear(branch, size) for branch in branches], dim=1)

    def _compute_branches(self, low: Tensor) -> list[Tensor]:
        x = self.layer1(torch.relu(self.bn2(self.conv2(low))))
        branches = [step(x) for step in self.transition1]
        branches = _run_stage(self.stage2, branches)
        branches = _run_stage(self.stage3, [*branches, self.transition2[-1](branches[-1])])
        return _run_stage(self.stage4, [*branches, self.transition3[-1](branches[-1])])

    def segment(self, low: Tensor) -> OcrOutput:
        """Return the outputs of the OCR head for a stem's features, at the size of the body's."""
        if self.branch_head is not None:
            output: OcrOutput = self.branch_head(self._compute_branches(low))
            return output
        features = self.body(low)
        aux = self.aux_head(features)
        x = self.conv3x3_ocr(features)
        x = self.ocr_distri_head(x, context(x, aux))
        return OcrOutput(self.cls_head(x), aux, x)

    def add_branch_head(self) -> None:
        """Let `segment` compute the same outputs, up to rounding, in fewer operations."""
        self.branch_head = BranchHead(
            self.widths, self.aux_head, self.conv3x3_ocr, self.ocr_distri_head, self.cls_head
        )

    def logits(self, features: Tensor, aux: Tensor) -> Logits:
        """Return both logits at the size of `features`; `aux` may be smaller."""
        aux = resize_bilinear(aux, features.shape[-2:])
        x = self.conv3x3_ocr(features)
        return Logits(self.cls_head(self.ocr_distri_head(x, context(x, aux))), aux)


def _make_stage(widths: Sequence[int], blocks: int, modules: int) -> nn.ModuleList:
    return nn.ModuleList(Exchange(widths, blocks) for _ in range(modules))


def _run_stage(stage: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    for module in stage:
        branches = module(branches)
    return branches


def _new_branch(widths: Sequence[int]) -> nn.ModuleList:
    """Return a transition: branches stay unchanged, and the last one also starts a coarser one."""
    unchanged = [nn.Identity() for _ in widths[:-1]]
    step = nn.Sequential(*_conv_bn(widths[-2], widths[-1], stride=2), nn.ReLU())
    return nn.ModuleList([*unchanged, nn.Sequential(step)])
