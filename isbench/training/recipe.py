"""How a network is trained: frozen values that a model's card holds. No torch, no disk.

What is here decides the weights, but for `Checks`; a training is resumed by the same recipe only.
Sources of the defaults: RITM (arXiv:2102.06583) and its released configurations.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from isbench.errors import IsbenchError

OPTIMISERS = ("adam", "adamw")
SCHEDULES = ("constant", "steps", "cosine", "one-cycle")
PRECISIONS = ("fp32", "bf16", "fp16")
INITIALS = ("gluon", "torch")


class Crop(NamedTuple):
    """Rows and columns that the network sees from a share of the schedule on."""

    rows: int
    cols: int
    start: float = 0.0


class Weighted(NamedTuple):
    """A name, or the beginning of one, and the factor that goes with it."""

    name: str
    factor: float


@dataclass(frozen=True)
class Range:
    """The smallest and the largest value to draw from, or any other two numbers."""

    low: float
    high: float


@dataclass(frozen=True)
class Augmentation:
    """Which part of which image a sample shows, and how it is turned and coloured.

    A view is the whole image with chance `whole`, the surroundings of the object with chance
    `around`, and else a crop of the image at a random scale that shows some of the object.
    """

    whole: float = 0.0
    around: float = 0.0
    margin: Range = Range(1.1, 3.0)  # of a view around an object to the object's box
    scale: Range = Range(0.75, 1.4)  # of a crop, in pixels of the crop to pixels of the image
    jitter: float = 0.0  # a whole view is larger than fitting by a factor of up to exp(this)
    stretch: float = 0.0  # rows against columns vary by a factor of up to exp(this)
    rotation: float = 3.0  # degrees either way
    rotate: float = 0.75  # chance of a rotation
    flip_horizontal: float = 0.5  # chance, left to right
    flip_vertical: float = 0.0  # chance, top to bottom
    quarter_turns: float = 0.0  # chance of a turn by 90, 180 or 270 degrees
    brightness: Range = Range(-0.25, 0.25)  # added, in shares of the full range
    contrast: Range = Range(-0.15, 0.4)  # multiplies by 1 + this
    shift: float = 10.0  # of each channel either way, in levels of 255
    jitter_colors: float = 0.75  # chance of brightness and contrast, and again of a shift
    grayscale: float = 0.0  # chance of an image without colour
    merge_objects: float = 0.15  # chance that two objects of an image are taken as one
    copy_paste: float = 0.0  # chance that the object is put onto another image
    least_area: int = 80  # smaller objects are not asked for, in pixels of the stored image
    least_seen: int = 25  # pixels of the object that a view shows, if it can
    shares: tuple[Weighted, ...] = ()  # chance of a source's images against the others'


@dataclass(frozen=True)
class ClickSampling:
    """How clicks are drawn for a sample; see `isbench.training.clicks`."""

    places: int = 24  # of each sign
    decay: float = 0.8  # chance of one more click against one less
    eroded: float = 0.9  # chance that positive clicks keep away from the border
    background: float = 0.1  # weights of what a negative click is drawn from
    others: float = 0.4
    ring: float = 0.5
    single: float = 0.0  # chance that a sample starts with one positive click, as games do
    centred: float = 0.0  # chance that its first positive click lies deep inside
    centre_depth: float = 1.7  # such a click is deeper than the deepest pixel by this divisor
    iterative: int = 3  # most clicks on the network's own errors before the step
    depth: float = 2.0  # these are deeper than the error's deepest pixel by this divisor
    threshold: float = 0.49  # probability that separates object from background


@dataclass(frozen=True)
class Checks:
    """How often a training is looked at and written down; decides nothing of the weights."""

    log: int = 20  # steps between two lines of the log
    checkpoint: int = 500  # steps between two checkpoints
    validation: int = 2000  # steps between two validations; 0 for none
    objects: int = 40  # of a validation
    clicks: int = 20  # of its games


@dataclass(frozen=True)
class Recipe:
    """All that decides a training but the network and the data."""

    steps: int = 0  # length of the training; 0: as `epochs` says
    epochs: int = 0
    epoch_samples: int = 0  # 0: as many as there are images
    batch: int = 28  # of all processes together
    crops: tuple[Crop, ...] = (Crop(320, 480),)
    optimiser: str = "adam"
    learning_rate: float = 5e-4
    betas: Range = Range(0.9, 0.999)
    weight_decay: float = 0.0
    multipliers: tuple[Weighted, ...] = ()  # of the learning rate; the longest prefix counts
    schedule: str = "steps"
    milestones: tuple[int, ...] = ()  # of "steps": a tenth from here on, in what the length is in
    warmup: float = 0.0  # share of the schedule; of "one-cycle" and "cosine"
    gradient_clip: float = 0.0  # largest norm; 0 for any
    ema: float = 0.0  # decay of the averaged weights; 0 for none
    freeze_norm: bool = False  # batch norms keep the statistics they have
    frozen_norms: str = ""  # so do those whose names begin like this, if anything
    precision: str = "fp32"  # of what autocast lowers
    compiled: bool = False
    nfl_alpha: float = 0.5
    nfl_gamma: float = 2.0
    aux_weight: float = 0.4  # of the auxiliary answer's loss, where there is one
    initial: str = "gluon"  # how convolutions are drawn, or "torch" for as torch does
    init: str = ""  # file of weights to start from
    seed: int = 0
    augmentation: Augmentation = Augmentation()
    click_sampling: ClickSampling = ClickSampling()
    checks: Checks = field(default=Checks())

    def total(self, images: int) -> int:
        """Return the length of the training in steps."""
        return self.steps or self.epochs * self.per_epoch(images)

    def per_epoch(self, images: int) -> int:
        """Return the steps of an epoch."""
        return max(1, (self.epoch_samples or images) // self.batch)

    def text(self) -> str:
        """Return the recipe as JSON, the same for the same recipe."""
        return json.dumps(asdict(self), sort_keys=True)

    def deciding(self) -> dict[str, Any]:
        """Return what decides the weights, as JSON reads it back."""
        values: dict[str, Any] = json.loads(self.text())
        del values["checks"]
        return values


def fill_defaults(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the weights; what an older recipe lacks gets its default.

    Recipes that isbench 0.1 wrote are read under the names that their values have today.
    """
    known = Recipe(steps=1).deciding()
    inner = {}
    for part, (former, names) in _FORMER.items():
        values = stored.get(part, stored.get(former, {}))
        inner[part] = known[part] | {names.get(key, key): one for key, one in values.items()}
    formers = {former for former, _ in _FORMER.values()}
    return known | {key: one for key, one in stored.items() if key not in formers} | inner


# what parts of a recipe, and their values, were called by isbench 0.1
_FORMER: dict[str, tuple[str, dict[str, str]]] = {
    "augmentation": (
        "views",
        {
            "turned": "rotate",
            "mirrored": "flip_horizontal",
            "upended": "flip_vertical",
            "quarters": "quarter_turns",
            "coloured": "jitter_colors",
            "grey": "grayscale",
            "merged": "merge_objects",
            "pasted": "copy_paste",
        },
    ),
    "click_sampling": ("lots", {}),
}


def check_recipe(recipe: Recipe) -> None:
    """Raise IsbenchError for a recipe that no training can follow."""
    faults = [
        f"{name} is {value!r}; wanted {wanted}"
        for name, value, kept, wanted in _wanted(recipe)
        if not kept
    ]
    if faults:
        raise IsbenchError(f"recipe: {'; '.join(faults)}")


def _wanted(recipe: Recipe) -> list[tuple[str, object, bool, str]]:
    seen, sampling, checks = recipe.augmentation, recipe.click_sampling, recipe.checks
    chances = {
        **{f"augmentation.{name}": getattr(seen, name) for name in _AUGMENTATION_CHANCES},
        **{f"click_sampling.{name}": getattr(sampling, name) for name in _SAMPLING_CHANCES},
        "warmup": recipe.warmup,
        "ema": recipe.ema,
        "nfl_alpha": recipe.nfl_alpha,
    }
    least = {
        "weight_decay": (recipe.weight_decay, 0),
        "gradient_clip": (recipe.gradient_clip, 0),
        "nfl_gamma": (recipe.nfl_gamma, 0),
        "aux_weight": (recipe.aux_weight, 0),
        "click_sampling.background": (sampling.background, 0),
        "click_sampling.others": (sampling.others, 0),
        "click_sampling.ring": (sampling.ring, 0),
        "click_sampling.background + others + ring": (
            sampling.background + sampling.others + sampling.ring,
            1e-9,
        ),
        "click_sampling.depth": (sampling.depth, 1),
        "click_sampling.centre_depth": (sampling.centre_depth, 1),
        "click_sampling.places": (sampling.places, 1),
        "augmentation.shares": (min((one.factor for one in seen.shares), default=0), 0),
        "multipliers": (min((one.factor for one in recipe.multipliers), default=0), 0),
        "steps": (recipe.steps, 0),
        "epoch_samples": (recipe.epoch_samples, 0),
        "batch": (recipe.batch, 1),
        "seed": (recipe.seed, 0),
    }
    named = {
        "optimiser": (recipe.optimiser, OPTIMISERS),
        "schedule": (recipe.schedule, SCHEDULES),
        "precision": (recipe.precision, PRECISIONS),
        "initial": (recipe.initial, INITIALS),
    }
    starts = [crop.start for crop in recipe.crops]
    sides = [side for crop in recipe.crops for side in crop[:2]]
    milestones = list(recipe.milestones)
    return [
        *((name, value, 0 <= value <= 1, "0 to 1") for name, value in chances.items()),
        *((name, value, value in known, f"one of {', '.join(known)}")
          for name, (value, known) in named.items()),
        *((name, value, low <= value < math.inf, f"at least {low}")
          for name, (value, low) in least.items()),
        ("augmentation.whole + augmentation.around", seen.whole + seen.around,
         seen.whole + seen.around <= 1, "at most 1"),
        ("epochs", recipe.epochs, (recipe.epochs > 0) != (recipe.steps > 0),
         "either steps or epochs above 0"),
        ("milestones", recipe.milestones, milestones == sorted(milestones)
         and all(0 <= one <= (recipe.steps or recipe.epochs) for one in milestones),
         "growing numbers, none beyond the length"),
        ("betas", recipe.betas, all(0 <= one < 1 for one in vars(recipe.betas).values()),
         "two numbers from 0 on, below 1"),
        ("learning_rate", recipe.learning_rate,
         0 < recipe.learning_rate < math.inf, "a number above 0"),
        ("crops", recipe.crops, bool(starts) and starts[0] == 0 and starts == sorted(starts)
         and min(sides, default=0) >= 32, "sides from 32 on, starts growing from 0"),
        ("click_sampling.iterative", sampling.iterative,
         0 <= sampling.iterative <= sampling.places,
         "0 to click_sampling.places"),
        ("augmentation.scale", seen.scale, 0 < seen.scale.low <= seen.scale.high,
         "low,high above 0"),
        ("augmentation.margin", seen.margin, 0 < seen.margin.low <= seen.margin.high,
         "low,high above 0"),
        ("checks", checks, min(checks.log, checks.checkpoint, checks.clicks) >= 1
         and min(checks.validation, checks.objects) >= 0, "counts"),
    ]  # fmt: skip


_AUGMENTATION_CHANCES = (
    "whole", "around", "jitter", "stretch", "rotate", "flip_horizontal", "flip_vertical",
    "quarter_turns", "jitter_colors", "grayscale", "merge_objects", "copy_paste",
)  # fmt: skip
_SAMPLING_CHANCES = ("decay", "eroded", "single", "centred", "threshold")


def with_length(recipe: Recipe, *, steps: int = 0, epochs: int = 0) -> Recipe:
    """Return the recipe in so many steps or epochs; milestones keep their share of it."""
    old, new = recipe.steps or recipe.epochs, steps or epochs
    milestones = tuple(-(-milestone * new // old) for milestone in recipe.milestones)
    return replace(recipe, steps=steps, epochs=epochs, milestones=milestones)
