"""Recipes shared by the cards: those of the papers and of the light models. No torch.

The papers' recipes hold what the papers state and what their released configurations contain. All
of them start from a backbone with ImageNet weights, which the user has to supply (`init=FILE`). The
differences from the papers are listed in docs/training.md.
"""

from __future__ import annotations

from dataclasses import replace

from isbench.training.recipe import (
    Augmentation,
    Checks,
    ClickSampling,
    Crop,
    Range,
    Recipe,
    Weighted,
)

HRNET_RATES = (
    Weighted("feature_extractor.", 0.1),
    Weighted("feature_extractor.conv3x3_ocr.", 1.0),
    Weighted("feature_extractor.ocr_distri_head.", 1.0),
)
DEEPLAB_RATES = (Weighted("feature_extractor.backbone.", 0.1),)

# RITM's code: with probability 1/2 one of three flips, with 1/2 zero to three quarter turns
SBD_VIEWS = Augmentation(
    scale=Range(0.75, 1.25),
    flip_horizontal=1 / 3,
    flip_vertical=1 / 3,
    quarter_turns=3 / 8,
    least_area=80,
)
COCO_VIEWS = Augmentation(scale=Range(0.75, 1.40), rotate=0.0, least_area=1000)

# RITM on COCO and LVIS: 230 epochs of 30,000 samples [Sofiiuk 2021 and its code]
RITM = Recipe(
    epochs=230,
    epoch_samples=30_000,
    milestones=(200, 220),
    augmentation=COCO_VIEWS,
    multipliers=HRNET_RATES,
)
# SBD, for several systems: batch 28, 320x480, Adam at 5e-4, a tenth at epochs 100 and 115
# [BMVC 2023]
SBD = Recipe(epochs=120, milestones=(100, 115), augmentation=SBD_VIEWS)
# CDNet, SBD: no clicks on its own errors [ICCV 2021]. The network brings the losses of its gate and
# of its latent answers.
CDNET = Recipe(
    epochs=120,
    milestones=(80, 105),
    batch=32,
    crops=(Crop(384, 384),),
    augmentation=SBD_VIEWS,
    click_sampling=ClickSampling(iterative=0),
    multipliers=DEEPLAB_RATES,
)
# FocalClick on COCO and LVIS: 230 epochs of 30,000 samples [Chen 2022 and its code]. Its crops are
# 0.3 to 1.3 of the image in each direction, resized to a square; here they have a random scale and
# are stretched.
FOCALCLICK = Recipe(
    epochs=230,
    epoch_samples=30_000,
    milestones=(190, 210),
    batch=32,
    crops=(Crop(256, 256),),
    augmentation=Augmentation(
        scale=Range(0.35, 1.35),
        stretch=0.5,
        rotate=0.0,
        flip_horizontal=0.3,
        flip_vertical=0.3,
        least_area=900,
        least_seen=1000,
    ),
    click_sampling=ClickSampling(centred=1.0),
    multipliers=(Weighted("feature_extractor.", 2.0),),
)
# FocusCut, SBD: SGD with a tenth less of the rate after every epoch [CVPR 2022 and its code]. Its
# loss is the sum of two cross-entropies, which we read as means over 8 samples and 8 focus views.
# Here a batch has about as many of each, and the loss is half the mean over all: a fourth of that
# sum, hence four times their rate 7e-3 and a fourth of their weight decay 5e-4, which is the same.
# The robot's first click and at most ten clicks of each sign are theirs; the numbers of clicks and
# the places of further ones are RITM's.
FOCUSCUT = Recipe(
    epochs=40,
    epoch_samples=2 * 8498,
    batch=16,
    crops=(Crop(384, 384),),
    optimiser="sgd",
    learning_rate=2.8e-2,
    weight_decay=1.25e-4,
    schedule="exponential",
    nfl_gamma=0.0,
    augmentation=replace(SBD_VIEWS, focus=0.5),
    click_sampling=ClickSampling(
        places=10, centred=1.0, centre_depth=1.0, threshold=0.5, binary_mask=True
    ),
)
# The light models, trained from scratch in hours on two cores: small crops first, whole images and
# objects at many scales, games that start with one click, few parts of things and of people.
MINI = Recipe(
    steps=4500,
    batch=16,
    crops=(Crop(128, 128), Crop(192, 192, 0.3), Crop(256, 256, 0.75)),
    optimiser="adamw",
    learning_rate=1e-3,
    weight_decay=1e-3,
    schedule="one-cycle",
    warmup=0.08,
    gradient_clip=1.0,
    ema=0.999,
    augmentation=Augmentation(
        whole=0.25,
        around=0.35,
        margin=Range(1.1, 3.5),
        scale=Range(0.5, 1.6),
        jitter=0.3,
        stretch=0.25,
        rotation=8,
        grayscale=0.05,
        merge_objects=0.1,
        copy_paste=0.15,
        least_area=150,
        least_seen=40,
        shares=(
            Weighted("ccp", 0.25),
            Weighted("carparts", 0.2),
            Weighted("butterfly", 0.5),
            Weighted("pennfudan", 0.7),
            Weighted("horses", 0.7),
        ),
    ),
    click_sampling=ClickSampling(single=0.35, centred=0.5),
    checks=Checks(log=50, checkpoint=250, validation=1000, objects=40),
)
# The models on EfficientNet-Lite: the backbone starts from ImageNet weights and learns slower. In
# the same time, many steps on small crops beat few on large ones (results/training/trials.csv).
LITE = replace(
    MINI,
    steps=62_500,
    crops=(Crop(128, 128), Crop(192, 192, 0.25), Crop(256, 256, 0.7)),
    warmup=0.03,
    ema=0.9995,
    init="imagenet",
    multipliers=(Weighted("feature_extractor.backbone.", 0.3),),
    checks=Checks(log=50, checkpoint=250, validation=2500, objects=40),
)
# Networks that add a part to ritm-lite start from its weights. The parts start without effect
# (ZeroConv2d, gates at 0), so such a network starts as good as ritm-lite. The statistics of the
# backbone have long settled then; frozen ones save a quarter of a step. A network that has learned
# gets worse on crops much smaller than those in games (results/training/crops.csv).
LITE_TUNED = replace(
    LITE,
    steps=6250,
    crops=(Crop(192, 192), Crop(256, 256, 0.6)),
    learning_rate=5e-4,
    ema=0.999,
    init="ritm-lite",
    frozen_norms="feature_extractor.backbone.",
)
