"""The vocabulary: the frozen values and protocols that every other module speaks.

No behaviour beyond a line or two, and nothing imported but numpy. (row, col) everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) RGB, read-only
Mask: TypeAlias = NDArray[np.bool_]  # (H, W)
Scalar: TypeAlias = bool | int | float | str  # an option's value
Encoded: TypeAlias = Any  # what a model keeps of an image, shared by its objects
State: TypeAlias = Any  # what a model keeps of an object between clicks, never mutated


class Click(NamedTuple):
    """One click of the user on the object (positive) or on what is not the object."""

    row: int
    col: int
    positive: bool


@dataclass(frozen=True, eq=False)
class Sample:
    """One object of one image."""

    key: str  # "<image>#<object>", stable for ever
    image: Image
    truth: Mask  # the object; never true where `ignore` is
    ignore: Mask  # not scored and never clicked
    initial: Mask | None = None  # the mask to start from, in correction tasks


@dataclass(frozen=True, eq=False)
class Dataset:
    """Objects by key, image-major, loaded one at a time; picklable when `load` is."""

    name: str
    keys: tuple[str, ...]
    load: Callable[[str], Sample]
    files: Mapping[str, Path] = field(default_factory=dict)  # all that decides the content, by name
    zoom_target: int = 400  # longer side of a zoomed-in crop, in pixels [RITM]
    longest_side: int = 0  # of an image as networks see it, in pixels; 0: as it is
    limit: int | None = None  # set when only the first objects are kept
    notes: tuple[str, ...] = ()  # what the reader left out, and why


class Turn(NamedTuple):
    """All that a model is ever told: its own state and every click so far, oldest first."""

    state: State
    clicks: tuple[Click, ...]


class Prediction(NamedTuple):
    """A model's answer: a (H, W) bool mask and the state for the next turn."""

    mask: Mask
    state: State


class Predictor(Protocol):
    """A model at work. It never sees the truth, and it never changes what it is given."""

    def begin(self, image: Image) -> Encoded:
        """Once an image: whatever all its objects share."""

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        """Once an object: the state before the first click."""

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Once a round: one answer a turn, in order, for any number of objects."""


@dataclass(frozen=True)
class File:
    """A file to be had from any of its mirrors; a hash or size that nobody published is None."""

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size: int | None = None  # bytes
    md5: str | None = None  # where that is all that was published


@dataclass(frozen=True)
class Runtime:
    """How a network is computed, and with which weights; all of it is in the Spec."""

    weights: tuple[Path, ...] = ()  # none: drawn by lot from a fixed seed
    digest: str = "random"  # of the weights: sha256, of several files joined by "+"
    device: str = "cpu"
    precision: str = "fp32"  # or bf16, fp16: of what autocast lowers
    threads: int = 1  # of each process
    backend: str = "eager"

    @property
    def computed(self) -> str:
        """Return what computes: the backend and the kind of device."""
        return f"{self.backend}-{self.device.partition(':')[0]}"


@dataclass(frozen=True)
class Model:
    """A model's card: how to build its predictor, and what to know about it."""

    name: str
    build: Callable[..., Predictor]  # called with every option as a keyword, and `runtime` if any
    options: Mapping[str, Scalar] = field(default_factory=dict)  # name -> value
    network: Callable[..., Any] | None = None  # options to a torch module; None: it has none
    weights: Mapping[str, File] = field(default_factory=dict)  # published ones by name
    bundled: Mapping[str, Path] = field(default_factory=dict)  # those of the package by name
    unreleased: str = ""  # what to know of weights that isbench cannot fetch
    recipe: Any = None  # an isbench.training.Recipe: how its network is trained
    runtime: Runtime | None = None  # of a network; chosen by `weights.prepared`
    summary: str = ""
    source: str = ""  # paper or documentation
    licence: str = ""
    version: str = "1"  # of its behaviour: another one whenever its masks change
    libraries: Mapping[str, str] = field(default_factory=dict)  # versions that decide its masks
    place: str = ""  # "module:attribute" of the card, where the registry found it
    adaptive: bool = False  # learns from object to object: played serially, in order


@dataclass(frozen=True)
class Rules:
    """How a game is played. `presets` names the standard combinations."""

    max_clicks: int = 20
    stop_iou: float = 0.90  # the game ends at this IoU; above 1 never
    end_on_perfect: bool = False  # a mask without a wrong pixel ends the game
    reject_empty: bool = False  # an object without a scored pixel is refused at load
    clicker: str = "centre"
    seed: int = 0  # of the clickers that draw lots


@dataclass(frozen=True)
class Trajectory:
    """A game that was played: the clicks and, after each, (intersection, union) in pixels."""

    key: str
    clicks: tuple[Click, ...]
    overlap: tuple[tuple[int, int], ...]


class Game(NamedTuple):
    """A trajectory, the seconds `predict` took for each click, and its masks; empty if not kept."""

    trajectory: Trajectory
    seconds: tuple[float, ...]
    masks: tuple[Mapping[str, Any], ...] = ()  # after each click, as COCO's run lengths


@dataclass(frozen=True)
class Spec:
    """What identifies a run, all that decides its numbers; its digest names the run's file.

    The model's code is not part of it: a change that changes masks is a new `version`.
    """

    model: str
    version: str  # of the model's behaviour, as its card says
    libraries: Mapping[str, str]  # versions of what decides the model's masks, by name
    options: Mapping[str, Scalar]
    weights: str | None  # sha256; None for a model without weights
    dataset: str
    limit: int | None
    objects: int
    keys: str  # digest of the objects' keys, sorted
    fingerprint: str  # sha256 of the content
    decoder: str  # the library that decodes the images: another may move a click
    preset: str
    preset_digest: str
    rules: Rules
    backend: str | None  # of a network; None for a model without one
    precision: str | None
    threads: int
