"""The cards of the baseline networks: RITM, CDNet, and the family of Table 4.

They are separate from the networks, since weights, recipes and descriptions on a card have no
effect on how masks are computed and should not change the source digests of the networks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from baselines.libraries import find_torch_version
from baselines.parts import Parts
from isbench.lazy_function import LazyFunction
from isbench.nn.backbones.sizes import LITE_SIDES, MINI_SIDES, W18, W18S, W32, Sizes
from isbench.nn.inference.options import CASCADE, OPTIONS
from isbench.training import ClickSampling, recipes
from isbench.training.terms import LITE_TERMS, MINI_TERMS
from isbench.types import File, ModelCard

_MINI = LazyFunction("isbench.nn.backbones.mini:Mini")
_LITE = LazyFunction("isbench.nn.backbones.lite:LiteTrunk")
# trained by this project on its training pack; each file contains a card with the details
_FOLDER = Path(__file__).parent / "weights"
_UNTRAINED = "this version ships without trained weights"
_UNRELEASED = "its weights were never released"
# of ritm-lite, which systems without a training of their own play too
LITE_WEIGHTS = {"pack": _FOLDER / "ritm-lite.safetensors"}
_LIBRARIES = {"torch": find_torch_version()}
_VERSION = "2"  # "1" drew disks from single-precision coordinates
# the schedule of the CSFPN paper, both for RITM's ResNet-101 and its own models
_ON_DEEPLAB = replace(recipes.SBD, multipliers=recipes.DEEPLAB_RATES)


def _make_ritm(name: str, what: str, trunk: LazyFunction, **more: Any) -> ModelCard:
    options_of_family = {"previous_mask": True, **more.pop("options", {})}
    return ModelCard(
        f"ritm-{name}",
        LazyFunction("baselines.ritm:build_predictor", (trunk,)),
        {**OPTIONS, **CASCADE, **options_of_family},
        LazyFunction("baselines.ritm:make_networks", (trunk,)),
        summary=f"RITM on {what}",
        source="arXiv:2102.06583",
        licence="MIT",
        version=_VERSION,
        libraries=_LIBRARIES,
        added_options=CASCADE,
        **more,
    )


def _make_hrnet(sizes: Sizes) -> LazyFunction:
    return LazyFunction("isbench.nn.backbones.hrnet:HRNet", (sizes,))


def _make_deeplab(depth: int, channels: int) -> LazyFunction:
    return LazyFunction("isbench.nn.trunk:deeplab", (depth, channels))


def _make_file(name: str, **known: Any) -> File:
    """Return a checkpoint of RITM's release, with its mirrors."""
    repository, copy = "ritm_interactive_segmentation", "ritm-interactive-segmentation"
    urls = (
        f"https://github.com/saic-vul/{repository}/releases/download/v1.0/{name}",
        f"https://github.com/SamsungLabs/{repository}/releases/download/v1.0/{name}",
        f"https://github.com/supervisely-ecosystem/{copy}/releases/download/v0.1/{name}",
    )
    return File(name, urls, **known)


ritm_hrnet18s = _make_ritm(
    "hrnet18s",
    "HRNet-18s with OCR",
    _make_hrnet(W18S),
    weights={"cocolvis": _make_file("coco_lvis_h18s_itermask.pth")},
    recipe=replace(recipes.RITM, batch=32),
)
ritm_hrnet18 = _make_ritm(
    "hrnet18",
    "HRNet-18 with OCR",
    _make_hrnet(W18),
    weights={
        "sbd": _make_file("sbd_h18_itermask.pth"),
        "cocolvis": _make_file(
            "coco_lvis_h18_itermask.pth", size=40_700_707, md5="6fb97de7ea32f4856f2e63d146a09f31"
        ),
    },
    recipe=recipes.RITM,
)
ritm_hrnet18_baseline = _make_ritm(
    "hrnet18-baseline",
    "HRNet-18 with OCR, without the previous mask as an input",
    _make_hrnet(W18),
    options={"previous_mask": False},
    weights={"cocolvis": _make_file("coco_lvis_h18_baseline.pth")},
    recipe=replace(
        recipes.RITM, epochs=120, milestones=(100, 115), click_sampling=ClickSampling(iterative=0)
    ),
)
ritm_hrnet32 = _make_ritm(
    "hrnet32",
    "HRNet-32 with OCR",
    _make_hrnet(W32),
    weights={"cocolvis": _make_file("coco_lvis_h32_itermask.pth")},
    recipe=replace(recipes.RITM, batch=32),
)
ritm_r34 = _make_ritm(
    "r34",
    "DeepLabV3+, ResNet-34",
    _make_deeplab(34, 128),
    options={"previous_mask": False},
    unreleased=_UNRELEASED,
    recipe=replace(_ON_DEEPLAB, click_sampling=ClickSampling(iterative=0)),
)
ritm_r50 = _make_ritm(
    "r50",
    "DeepLabV3+, ResNet-50",
    _make_deeplab(50, 128),
    unreleased=_UNRELEASED,
    recipe=_ON_DEEPLAB,
)
ritm_r101 = _make_ritm(
    "r101",
    "DeepLabV3+, ResNet-101",
    _make_deeplab(101, 256),
    unreleased=_UNRELEASED,
    recipe=_ON_DEEPLAB,
)
ritm_mini = _make_ritm(
    "mini",
    "this project's mini trunk",
    _MINI,
    options=MINI_SIDES,
    bundled={"pack": _FOLDER / "ritm-mini.safetensors"},
    bundled_terms=MINI_TERMS,
    recipe=recipes.MINI,
)
ritm_lite = _make_ritm(
    "lite",
    "EfficientNet-Lite0 (BS of Table 3)",
    _LITE,
    options=LITE_SIDES,
    bundled=LITE_WEIGHTS,
    bundled_terms=LITE_TERMS,
    recipe=recipes.LITE,
)


def _make_cdnet(depth: int, **more: Any) -> ModelCard:
    options = {key: OPTIONS[key] for key in ("zoom", "flip", "longest_side")}
    return ModelCard(
        f"cdnet-r{depth}",
        LazyFunction("baselines.cdnet:build_predictor", (depth,)),
        {**options, "threshold": 0.50, "size": 384},
        LazyFunction("baselines.cdnet:make_networks", (depth,)),
        recipe=recipes.CDNET,
        summary=f"CDNet (FDM and PDM) on DeepLabV3+, ResNet-{depth}",
        source="Conditional Diffusion for Interactive Segmentation, ICCV 2021",
        licence="Apache-2.0 (the README of its authors says MIT)",
        version=_VERSION,
        libraries=_LIBRARIES,
        **more,
    )


# its README links a folder on Google Drive but names no files: these are its names of the trainings
_CLICKSEG = "https://github.com/XavierCHEN34/ClickSEG"
cdnet_r34 = _make_cdnet(
    34,
    weights={
        "sbd": File("cdnet_res34_sbd.pth", page=_CLICKSEG),
        "cocolvis": File("cdnet_res34_cclvs.pth", page=_CLICKSEG),
    },
)
cdnet_r50 = _make_cdnet(50, unreleased="its authors released those of ResNet-34 only")
# CDNet's rule of clicks: its training has none on the network's own errors, so that the previous
# mask is always blank. The rest of the recipe is that of all networks inserted into ritm-lite.
cdnet_on_lite = ModelCard(
    "cdnet-lite",
    LazyFunction("baselines.cdnet_lite:build_predictor", (_LITE,)),
    {**OPTIONS, **CASCADE, **LITE_SIDES, "previous_mask": True},
    LazyFunction("baselines.cdnet_lite:make_networks", (_LITE,)),
    unreleased=_UNTRAINED,
    recipe=replace(
        recipes.LITE_TUNED,
        click_sampling=replace(recipes.LITE_TUNED.click_sampling, iterative=0),
    ),
    summary="CDNet's FDM and PDM inserted into ritm-lite",
    meanings={"previous_mask": "the previous mask is an input; off: blank, as in its training"},
    source="Conditional Diffusion for Interactive Segmentation, ICCV 2021",
    licence="MIT",
    libraries=_LIBRARIES,
    added_options=CASCADE,
)


def _make_baseline(
    name: str, what: str, trunk: LazyFunction, parts: Parts, **more: Any
) -> ModelCard:
    scales = " and ".join(["1/8"] * parts.low + ["1/2"] * parts.high)
    diffused = f" with FDM at {scales}" if scales else ""
    previous_mask = more.pop("previous_mask", True)
    return ModelCard(
        f"baseline-{name}",
        LazyFunction("baselines.baseline:build_predictor", (trunk, parts, previous_mask)),
        {**OPTIONS, **CASCADE, **more.pop("options")},
        LazyFunction("baselines.baseline:make_networks", (trunk, parts, previous_mask)),
        summary=f"Table 4's baseline on {what}{diffused}",
        source="BMVC 2023",
        licence="MIT",
        version=_VERSION,
        libraries=_LIBRARIES,
        added_options=CASCADE,
        **more,
    )


_on_r50 = partial(
    _make_baseline,
    what="ResNet-50",
    trunk=_make_deeplab(50, 128),
    previous_mask=False,
    options={"joined": False},
    unreleased="Table 4's networks were never released",
    recipe=_ON_DEEPLAB,
)
baseline_r50 = _on_r50("r50", parts=Parts())
baseline_r50_fdm = _on_r50("r50-fdm", parts=Parts(low=True))
baseline_r50_fdm2 = _on_r50("r50-fdm2", parts=Parts(low=True, high=True))
baseline_lite_fdm = _make_baseline(
    "lite-fdm",
    "EfficientNet-Lite0",
    _LITE,
    Parts(low=True, gain=0.0),
    options=LITE_SIDES,
    unreleased=_UNTRAINED,
    recipe=recipes.LITE_TUNED,
)
