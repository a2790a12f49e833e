"""The cards of FocusCut."""

from __future__ import annotations

from dataclasses import replace

from baselines.libraries import find_opencv_version, find_torch_version
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_VIEW
from isbench.training import recipes
from isbench.types import File, ModelCard

_PAGE = "https://github.com/frazerlin/focuscut"
_SOURCE = "FocusCut: Diving into a Focus View in Interactive Segmentation, CVPR 2022"
_LIBRARIES = {
    "opencv": find_opencv_version(),
    "torch": find_torch_version(),
}


def _make_card(depth: int) -> ModelCard:
    return ModelCard(
        f"focuscut-r{depth}",
        LazyFunction("baselines.focuscut.predictor:build_predictor", (depth,)),
        {"view_size": 0, "rounds": 3, "threshold": 0.5},
        LazyFunction("baselines.focuscut.network:make_networks", (depth,)),
        weights={"sbd": File(f"focuscut-resnet{depth}.pth", page=_PAGE)},
        recipe=recipes.FOCUSCUT,
        summary=f"FocusCut: focus views of clicks, on DeepLabV3+, ResNet-{depth}",
        source=_SOURCE,
        licence="CC BY-NC 4.0",
        restriction="non-commercial use only",
        libraries=_LIBRARIES,
    )


r50 = _make_card(50)
r101 = _make_card(101)

# What the paper says about samples, clicks and the loss (see `recipes.FOCUSCUT`); the rest is that
# of the other models on this trunk, also how many clicks there are, and rounds of clicks on the
# network's errors, for which the paper keeps the masks of the last epoch.
_LITE = replace(
    recipes.LITE_TUNED,
    nfl_gamma=recipes.FOCUSCUT.nfl_gamma,
    augmentation=replace(
        recipes.LITE_TUNED.augmentation, focus=recipes.FOCUSCUT.augmentation.focus
    ),
    click_sampling=replace(
        recipes.FOCUSCUT.click_sampling, single=recipes.LITE_TUNED.click_sampling.single
    ),
)

lite = ModelCard(
    "focuscut-lite",
    LazyFunction("baselines.focuscut.lite:build_predictor"),
    {"view_size": LITE_VIEW, "rounds": 3, "threshold": 0.5},
    LazyFunction("baselines.focuscut.lite:make_networks"),
    unreleased="this version ships without trained weights",
    recipe=_LITE,
    summary="FocusCut's focus views with RITM's network on EfficientNet-Lite0",
    source=_SOURCE,
    licence="MIT",
    libraries=_LIBRARIES,
)
