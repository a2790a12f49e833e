"""How a network is trained: frozen values held by a model's card. No torch, no disk.

Everything here except `Checks` decides the weights, so a training can only be resumed with the same
recipe. Sources of the defaults: RITM (arXiv:2102.06583) and its released configurations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple

from isbench.errors import IsbenchError
from isbench.files.json_text import flatten_json, parse_json
from isbench.types import MOST_CLICKS

OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "steps", "cosine", "one-cycle", "exponential")
PRECISIONS = ("fp32", "bf16", "fp16")
INITIALS = ("gluon", "torch")


class Crop(NamedTuple):
    """The size of training crops from `start` on, a share of the schedule."""

    rows: int
    cols: int
    start: float = 0.0


class Weighted(NamedTuple):
    """A name or the prefix of one, and its factor."""

    name: str
    factor: float


@dataclass(frozen=True)
class Range:
    """The smallest and the largest value of a random draw, or any other pair of numbers."""

    low: float
    high: float


@dataclass(frozen=True)
class Augmentation:
    """Which part of which image a sample shows, and its geometric and colour augmentation.

    A view shows the whole image with probability `whole`, the surroundings of the object with
    probability `around`, and otherwise a crop at a random scale that contains part of the object.
    Before that, a sample is a focus view with probability `focus`.
    """

    whole: float = 0.0
    around: float = 0.0
    margin: Range = Range(1.1, 3.0)  # size of a view around an object, relative to the object's box
    scale: Range = Range(0.75, 1.4)  # of a crop, in crop pixels per image pixel
    jitter: float = 0.0  # a whole view is enlarged by a factor of up to exp(this)
    stretch: float = 0.0  # the aspect ratio changes by a factor of up to exp(this)
    rotation: float = 3.0  # largest rotation in degrees, in either direction
    rotate: float = 0.75  # probability of a rotation
    flip_horizontal: float = 0.5  # probability of a left-right flip
    flip_vertical: float = 0.0  # probability of a top-bottom flip
    quarter_turns: float = 0.0  # probability of a rotation by 90, 180 or 270 degrees
    brightness: Range = Range(-0.25, 0.25)  # added, as a fraction of the full range
    contrast: Range = Range(-0.15, 0.4)  # levels are multiplied by 1 + this
    shift: float = 10.0  # largest shift of a channel in either direction, in levels of 255
    jitter_colors: float = 0.75  # probability of brightness and contrast, and separately of a shift
    grayscale: float = 0.0  # probability of a greyscale image
    merge_objects: float = 0.15  # probability that two objects of an image are merged into one
    copy_paste: float = 0.0  # probability that the object is pasted onto another image
    crowds: float = 0.0  # probability that the object is one of many, see `isbench.training.crowds`
    least_area: int = 80  # smaller objects are skipped, in pixels of the stored image
    least_seen: int = 25  # fewest object pixels that a view should show
    focus: float = 0.0  # probability of a focus view, see `isbench.training.focus_views`
    focus_radius: Range = Range(0.2, 0.8)  # of such a view, relative to sqrt(the object's area)
    shares: tuple[Weighted, ...] = ()  # sampling weight of each source's images; 1 by default


@dataclass(frozen=True)
class ClickSampling:
    """How the clicks of a sample are drawn; see `isbench.training.clicks`."""

    places: int = 24  # most clicks of each sign
    decay: float = 0.8  # probability of k + 1 clicks relative to k
    eroded: float = 0.9  # probability that positive clicks avoid the object's border
    background: float = 0.1  # weights of the three regions of negative clicks
    others: float = 0.4
    ring: float = 0.5
    single: float = 0.0  # probability that a sample starts with one positive click, as games do
    centred: float = 0.0  # probability that the first positive click lies deep inside
    centre_depth: float = 1.7  # such a click is deeper than the largest depth divided by this
    iterative: int = 3  # most clicks on the network's own errors before a step
    depth: float = 2.0  # these are deeper than the error's largest depth divided by this
    threshold: float = 0.49  # probability that separates object from background
    binary_mask: bool = False  # the previous mask is 0 or 1 instead of a probability


@dataclass(frozen=True)
class Checks:
    """How often a training is logged, saved and validated; has no effect on the weights."""

    log: int = 20  # steps between two rows of the log
    checkpoint: int = 500  # steps between two checkpoints
    validation: int = 2000  # steps between two validations; 0: no validation
    objects: int = 40  # objects of a validation
    clicks: int = 20  # most clicks of its games


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training except the network and the data."""

    steps: int = 0  # length of the training; 0: given by `epochs`
    epochs: int = 0
    epoch_samples: int = 0  # 0: the number of images
    batch: int = 28  # across all processes
    crops: tuple[Crop, ...] = (Crop(320, 480),)
    optimiser: str = "adam"
    learning_rate: float = 5e-4
    betas: Range = Range(0.9, 0.999)  # the momentum of "sgd" is the first
    weight_decay: float = 0.0
    # of the learning rate; the longest prefix wins; 0 freezes
    multipliers: tuple[Weighted, ...] = ()
    schedule: str = "steps"
    milestones: tuple[int, ...] = ()  # of "steps": divide by 10 here; in steps or epochs
    rate_decay: float = 0.9  # of "exponential": multiply by this after every epoch
    warmup: float = 0.0  # share of the schedule; used by "one-cycle" and "cosine"
    gradient_clip: float = 0.0  # largest norm of the gradient; 0: no clipping
    ema: float = 0.0  # decay of the running mean of the weights; 0: no averaging
    freeze_norm: bool = False  # freeze the statistics of all batch norms
    frozen_norms: str = ""  # freeze those whose names start with this; "": none
    precision: str = "fp32"  # of operations run under autocast
    compiled: bool = False
    nfl_alpha: float = 0.5
    nfl_gamma: float = 2.0
    aux_weight: float = 0.4  # weight of the auxiliary loss, for networks that have one
    initial: str = "gluon"  # initialisation of convolutions; "torch": PyTorch's default
    init: str = ""  # weights to start from: a file, MODEL, MODEL:WEIGHTS, or "imagenet"
    seed: int = 0
    augmentation: Augmentation = Augmentation()
    click_sampling: ClickSampling = ClickSampling()
    checks: Checks = field(default=Checks())

    def count_steps(self, images: int) -> int:
        """Return the length of the training in steps."""
        return self.steps or self.epochs * self.count_steps_per_epoch(images)

    def count_steps_per_epoch(self, images: int) -> int:
        """Return the number of steps in an epoch."""
        return max(1, (self.epoch_samples or images) // self.batch)

    def format_json(self) -> str:
        """Return the recipe as JSON; equal recipes give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    def list_deciding_settings(self) -> dict[str, Any]:
        """Return the settings that decide the weights, as plain JSON values."""
        values: dict[str, Any] = json.loads(self.format_json())
        del values["checks"]
        return values


def fill_defaults(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the weights, with defaults for those a recipe lacks.

    Recipes written by isbench 0.1 are translated to today's names. Raises ValueError for a part
    that is not an object.
    """
    known = Recipe(steps=1).list_deciding_settings()
    inner = {}
    for part, (former, names) in _FORMER.items():
        values = stored.get(part, stored.get(former, {}))
        if not isinstance(values, dict):
            raise ValueError(f"{part} of the recipe is {values!r}; wanted an object")
        inner[part] = known[part] | {names.get(key, key): one for key, one in values.items()}
    former_names = {former for former, _ in _FORMER.values()}
    return known | {key: one for key, one in stored.items() if key not in former_names} | inner


def flatten_recipe(text: str) -> dict[str, Any]:
    """Return the settings of a recipe's JSON by name; those inside another have a dotted name.

    Settings that came later than the recipe have their defaults, which train as it did.
    """
    return flatten_json(fill_defaults(parse_json(text)))


# names of parts of a recipe, and of their settings, in isbench 0.1
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
    """Raise IsbenchError for a recipe with impossible values."""
    faults = [
        f"{name} is {format_setting(value)}; wanted {wanted}"
        for name, value, valid, wanted in _list_checks(recipe)
        if not valid
    ]
    if faults:
        raise IsbenchError(f"recipe: {'; '.join(faults)}", setting="settings")


def format_setting(value: object) -> str:
    """Return the value of a setting as `--set` takes it; text is quoted."""
    if isinstance(value, Crop):
        return f"{value.rows}x{value.cols}" + (f"@{value.start:g}" if value.start else "")
    if isinstance(value, Weighted):
        return f"{value.name}:{value.factor:g}"
    if isinstance(value, Range):
        return f"{value.low:g},{value.high:g}"
    if isinstance(value, tuple):
        return ",".join(map(format_setting, value)) or "empty"
    return repr(value)


def _list_checks(recipe: Recipe) -> list[tuple[str, object, bool, str]]:
    views, sampling, checks = recipe.augmentation, recipe.click_sampling, recipe.checks
    chances = {
        **{f"augmentation.{name}": getattr(views, name) for name in _AUGMENTATION_CHANCES},
        **{f"click_sampling.{name}": getattr(sampling, name) for name in _SAMPLING_CHANCES},
        "warmup": recipe.warmup,
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
        "augmentation.rotation": (views.rotation, 0),
        "augmentation.shift": (views.shift, 0),
        "augmentation.shares": (min((one.factor for one in views.shares), default=0), 0),
        "multipliers": (min((one.factor for one in recipe.multipliers), default=0), 0),
        "steps": (recipe.steps, 0),
        "epoch_samples": (recipe.epoch_samples, 0),
        "batch": (recipe.batch, 1),
        "seed": (recipe.seed, 0),
        "checks.log": (checks.log, 1),
        "checks.checkpoint": (checks.checkpoint, 1),
        "checks.clicks": (checks.clicks, 1),
        "checks.validation": (checks.validation, 0),
        "checks.objects": (checks.objects, 0),
    }
    sides = [side for crop in recipe.crops for side in crop[:2]]
    most = {  # far beyond what is of use, and below what fails in numpy, torch or memory
        "seed": (recipe.seed, 2**63 - 1),
        "batch": (recipe.batch, 2**16),
        "crops": (max(sides, default=0), 8192),
        "click_sampling.places": (sampling.places, 10_000),
        "augmentation.rotation": (views.rotation, 180),
        "augmentation.shift": (views.shift, 255),
        "augmentation.focus_radius": (views.focus_radius.high, 1000),
    }
    named = {
        "optimiser": (recipe.optimiser, OPTIMISERS),
        "schedule": (recipe.schedule, SCHEDULES),
        "precision": (recipe.precision, PRECISIONS),
        "initial": (recipe.initial, INITIALS),
    }
    starts = [crop.start for crop in recipe.crops]
    milestones = list(recipe.milestones)
    return [
        *((name, value, 0 <= value <= 1, "0 to 1") for name, value in chances.items()),
        *((name, value, value in known, f"one of {', '.join(known)}")
          for name, (value, known) in named.items()),
        *((name, value, low <= value, f"at least {low}")
          for name, (value, low) in least.items()),
        *((name, value, value <= high, f"at most {high}") for name, (value, high) in most.items()),
        ("augmentation.whole + augmentation.around", views.whole + views.around,
         views.whole + views.around <= 1, "at most 1"),
        (f"steps is {recipe.steps} and epochs", recipe.epochs,
         (recipe.epochs > 0) != (recipe.steps > 0), "exactly one of them above 0"),
        ("milestones", recipe.milestones, milestones == sorted(milestones)
         and all(0 <= one <= (recipe.steps or recipe.epochs) for one in milestones),
         "increasing numbers, none beyond the length"),
        ("betas", recipe.betas, all(0 <= one < 1 for one in vars(recipe.betas).values()),
         "two numbers of at least 0 and below 1"),
        ("learning_rate", recipe.learning_rate,
         recipe.learning_rate > 0, "a number above 0"),
        ("ema", recipe.ema, 0 <= recipe.ema < 1, "at least 0 and below 1"),
        ("rate_decay", recipe.rate_decay, 0 < recipe.rate_decay <= 1, "above 0, at most 1"),
        ("crops", recipe.crops, bool(starts) and starts[0] == 0 and starts == sorted(starts)
         and min(sides, default=0) >= 32, "sides of at least 32, starts increasing from 0"),
        ("click_sampling.iterative", sampling.iterative,
         0 <= sampling.iterative <= sampling.places,
         "0 to click_sampling.places"),
        ("augmentation.scale", views.scale, 0 < views.scale.low <= views.scale.high,
         "low,high above 0"),
        ("augmentation.margin", views.margin, 0 < views.margin.low <= views.margin.high,
         "low,high above 0"),
        ("augmentation.focus_radius", views.focus_radius,
         0 < views.focus_radius.low <= views.focus_radius.high, "low,high above 0"),
        ("checks.clicks", checks.clicks, checks.clicks <= MOST_CLICKS, f"at most {MOST_CLICKS}"),
        *((f"augmentation.{name}", value, value.low <= value.high, "low,high")
          for name, value in (("brightness", views.brightness), ("contrast", views.contrast))),
        *((name, value, not isinstance(value, float) or math.isfinite(value), "a finite number")
          for name, value in _list_numbers("", recipe)),
    ]  # fmt: skip


def _list_numbers(name: str, value: object) -> Iterator[tuple[str, float]]:
    """Yield every number of a recipe, or of a part of it, with the name of its setting."""
    if isinstance(value, int | float):
        yield name, value
    elif isinstance(value, tuple):
        for part in value:
            yield from _list_numbers(name, part)
    elif isinstance(value, Range):
        yield from _list_numbers(name, (value.low, value.high))
    elif is_dataclass(value):
        for one in fields(value):
            yield from _list_numbers(f"{name}.{one.name}".lstrip("."), getattr(value, one.name))


_AUGMENTATION_CHANCES = (
    "whole", "around", "jitter", "stretch", "rotate", "flip_horizontal", "flip_vertical",
    "quarter_turns", "jitter_colors", "grayscale", "merge_objects", "copy_paste",
    "crowds", "focus",
)  # fmt: skip
_SAMPLING_CHANCES = ("decay", "eroded", "single", "centred", "threshold")


def with_length(recipe: Recipe, *, steps: int = 0, epochs: int = 0) -> Recipe:
    """Return the recipe with another length; milestones keep their share of it."""
    old, new = recipe.steps or recipe.epochs, steps or epochs
    milestones = tuple(-(-milestone * new // old) for milestone in recipe.milestones)
    return replace(recipe, steps=steps, epochs=epochs, milestones=milestones)
