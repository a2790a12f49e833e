"""The vocabulary: the frozen values and protocols that all other modules use.

No behaviour beyond a few lines; imports numpy and the errors only. Coordinates are (row, col)
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from isbench.errors import IsbenchError, check_least

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) RGB, read-only
Mask: TypeAlias = NDArray[np.bool_]  # (H, W)
Scalar: TypeAlias = bool | int | float | str  # an option's value
Encoded: TypeAlias = Any  # a model's encoding of an image, shared by the objects of the image
State: TypeAlias = Any  # a model's state of one object between clicks; never mutated


class Click(NamedTuple):
    """A user's click: on the object (positive) or off it (negative)."""

    row: int
    col: int
    positive: bool


@dataclass(frozen=True, eq=False)
class Sample:
    """One object in one image."""

    key: str  # "<image>#<object>"; never changes
    image: Image
    truth: Mask  # the object; false wherever `ignore` is true
    ignore: Mask  # pixels that are not scored and never clicked
    initial: Mask | None = None  # the mask to start from, in correction tasks


@dataclass(frozen=True, eq=False)
class Dataset:
    """Objects by key, in image-major order, loaded one at a time; picklable if `load` is."""

    name: str
    keys: tuple[str, ...]
    load: Callable[[str], Sample]
    files: Mapping[str, Path] = field(default_factory=dict)  # files that decide the content
    zoom_target: int = 400  # longer side of a zoomed-in crop, in pixels [RITM]
    zoom_square: int = 448  # side of a crop that is always a square, in pixels [SimpleClick]
    longest_side: int = 0  # longer side of an image as networks see it, in pixels; 0: original size
    view_size: int = 384  # shorter side of a view as its network sees it, in pixels [FocusCut]
    limit: int | None = None  # set if only the first objects are kept
    notes: tuple[str, ...] = ()  # what the reader left out, and why
    place: str = (
        ""  # READER:PLACE with absolute paths, by which it is read again; "" if it has none
    )
    # by key, the (H, W) mask that an object starts from, in correction tasks; None: no mask.
    # Samples get it from here, never from `load`, since it is part of a run's identity
    initial: Callable[[str], Mask] | None = None


class Turn(NamedTuple):
    """All that a model gets for one answer: its own state and all clicks so far, oldest first."""

    state: State
    clicks: tuple[Click, ...]


class Prediction(NamedTuple):
    """A model's answer: a (H, W) bool mask and the state for the next turn."""

    mask: Mask
    state: State


class Predictor(Protocol):
    """A running model. It never sees the truth, and it never modifies its inputs.

    That of an adaptive card may also have `facts() -> Mapping[str, Scalar]`, which is asked after
    each game and recorded in the meta file, such as a digest of what it has learned.
    """

    def begin(self, image: Image) -> Encoded:
        """Encode an image. Called once per image; all its objects share the result."""

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        """Return the state before the first click. Called once per object."""

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Return one prediction per turn, in order. A call may mix any number of objects."""


@runtime_checkable
class PackingPredictor(Predictor, Protocol):
    """A predictor whose encodings of images can be kept on disk (`isbench run --cache`)."""

    def pack(self, encoded: Encoded) -> Mapping[str, NDArray[Any]]:
        """Return an encoding as arrays of bool, integer or float numbers, by name."""

    def unpack(self, arrays: Mapping[str, NDArray[Any]], image: Image) -> Encoded:
        """Return the encoding of an image from what `pack` returned: it gives the same masks.

        The arrays are new ones, which the predictor may keep or write to.
        """


@dataclass(frozen=True)
class File:
    """A file to download from any of its mirrors; an unpublished hash or size is None.

    Without a mirror it is downloaded by hand, from `page`.
    """

    name: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    size: int | None = None  # bytes
    md5: str | None = None  # set if this is the only published hash
    page: str = ""  # where its authors keep it, if not at a mirror


@dataclass(frozen=True)
class Runtime:
    """How a network is computed, and with which weights; all but `fallback` is in the Spec."""

    weights: tuple[Path, ...] = ()  # empty: randomly initialised from a fixed seed
    digest: str = "random"  # sha256 of the weights; those of several files are joined by "+"
    device: str = "cpu"
    precision: str = "fp32"  # or bf16, fp16: the precision that autocast lowers operations to
    threads: int = 1  # per process
    backend: str = "eager"
    gradients: bool = False  # passes run with autograd, as the card asks
    # the backend to take if `backend` does not give PyTorch's outputs; "": none, that is an error
    fallback: str = ""

    @property
    def backend_and_device(self) -> str:
        """Return the backend and the kind of device, such as "eager-cpu"."""
        return f"{self.backend}-{self.device.partition(':')[0]}"


@dataclass(frozen=True)
class ModelCard:
    """The static facts about a model, and how to build its predictor."""

    name: str
    build: Callable[..., Predictor]  # called with all options and any `runtime` as keywords
    options: Mapping[str, Scalar] = field(default_factory=dict)  # name -> default
    # what the options do, by name; those of isbench's own inference are known without it
    meanings: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    # from all options to torch modules by name, see `isbench.nn.network`; None: no network
    networks: Callable[..., Mapping[str, Any]] | None = None
    weights: Mapping[str, File] = field(default_factory=dict)  # published weights by name
    bundled: Mapping[str, Path] = field(default_factory=dict)  # weights in the package by name
    bundled_terms: str = field(default="", kw_only=True)  # the licence of those
    unreleased: str = ""  # a note on weights that isbench cannot download
    recipe: Any = None  # an isbench.training.Recipe: how its first network is trained
    summary: str = ""
    source: str = ""  # paper or documentation
    licence: str = ""
    # what its licence does not allow, such as "non-commercial use only"; said before a run
    restriction: str = ""
    version: str = "1"  # of the behaviour; it changes whenever the masks change
    # versions of those that decide its masks, by name; "": not installed
    libraries: Mapping[str, str] = field(default_factory=dict)
    place: str = ""  # "module:attribute" of the card, where the registry found it
    adaptive: bool = False  # learns from object to object: objects run serially, in order
    gradients: bool = False  # optimises during a game: passes run with autograd, on `eager`
    # options that were added after runs had been recorded, with the values that play as before: a
    # Spec leaves them out at these values, so that those runs keep their identity
    added_options: Mapping[str, Scalar] = field(default_factory=dict)
    auto_backend: str = ""  # what the backend `auto` stands for; "": the fastest exact one

    @property
    def default_weights(self) -> str | None:
        """Return the name of the weights it plays with unless others are chosen, None if none are.

        The first bundled ones, or published ones if there are no others.
        """
        names = (*self.bundled, *self.weights)
        return names[0] if self.bundled or len(names) == 1 else None


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to play: its card, the values of all options, and the runtime."""

    card: ModelCard
    options: Mapping[str, Scalar]
    runtime: Runtime | None = None  # None for a model without a network

    @property
    def name(self) -> str:
        """Return the name on the card."""
        return self.card.name


@dataclass(frozen=True, eq=False)
class ClickInput:
    """All that a clicker gets for one click. Its arrays are read-only."""

    key: str  # of the object
    image: Image  # (H, W, 3) uint8 RGB
    mask: Mask  # (H, W), the model's answer to the clicks so far
    truth: Mask  # (H, W), the object; false wherever `ignore` is true
    ignore: Mask  # (H, W), pixels that are not scored
    clicks: tuple[Click, ...]  # so far, oldest first
    rng: np.random.Generator  # seeded by the run's seed, the key and the number of the click
    seed: int = 0  # of the run


class Proposal(NamedTuple):
    """What a clicker may return instead of a click: a mark, or several clicks to choose from.

    Of several clicks the model answers each from the same state, and the game goes on from the
    answer with the lowest or highest IoU, the first of equals. The mark, such as "fallback", is
    kept with the number of the click in the meta file.
    """

    clicks: tuple[Click, ...]
    keep: Literal["lowest", "highest"] = "lowest"
    mark: str = ""


# pure; threads may call it concurrently
ClickFunction: TypeAlias = Callable[[ClickInput], Click | Proposal]


@dataclass(frozen=True)
class Clicker:
    """A simulated user's card: how to make the function that clicks, and facts about it."""

    name: str
    make: Callable[..., ClickFunction]  # called with all parameters as keywords
    parameters: Mapping[str, Scalar] = field(default_factory=dict)  # name -> default, in order
    version: str = "1"  # of the behaviour; it changes whenever the clicks change
    summary: str = ""
    source: str = ""  # paper or documentation
    stochastic: bool = False  # draws random numbers, so that another seed gives other games
    sees_answers: bool = False  # proposes several clicks for a turn and sees the answers to them
    # from the values of all parameters to those that are recorded, such as a file's sha256
    normalise: Callable[[Mapping[str, Scalar]], Mapping[str, Scalar]] | None = None


MOST_CLICKS = 1000  # of a game; tables have one number per object and click


@dataclass(frozen=True)
class Rules:
    """How a game is played. `protocol.PRESETS` names the standard combinations."""

    max_clicks: int = 20
    stop_iou: float = 0.90  # the game ends at this IoU; above 1: never
    end_on_perfect: bool = False  # a mask without a wrong pixel ends the game
    reject_empty: bool = False  # an object without a scored pixel is rejected at load
    clicker: str = "centre"  # a name, and parameters as in "jitter:2" or "jitter:sigma=2"
    seed: int = 0  # random seed for stochastic clickers

    def __post_init__(self) -> None:
        """Raise IsbenchError for values that no game can follow, or that no record can hold."""
        for rule in fields(self):
            value, kind = getattr(self, rule.name), type(rule.default)
            if type(value) is not kind and not (kind is float and type(value) is int):
                message = f"{rule.name} is a {type(value).__name__}; wanted {kind.__name__}"
                raise IsbenchError(message, setting=rule.name)
        check_least("max_clicks", self.max_clicks, 1)
        if self.max_clicks > MOST_CLICKS:
            message = f"max_clicks is {self.max_clicks}; wanted at most {MOST_CLICKS}"
            raise IsbenchError(message, setting="max_clicks")
        check_least("seed", self.seed, 0)
        if not self.stop_iou > 0:  # nan too
            message = f"stop_iou is {self.stop_iou}; wanted above 0, or above 1 for full games"
            raise IsbenchError(message, setting="stop_iou")


@dataclass(frozen=True)
class Trajectory:
    """A finished game: the clicks and, after each click, (intersection, union) in pixels."""

    key: str
    clicks: tuple[Click, ...]
    overlap: tuple[tuple[int, int], ...]


class Game(NamedTuple):
    """A trajectory, the seconds that `predict` took for each click, and the masks if kept.

    `note` is a message for the user about the model that played it. `facts` are those that an
    adaptive model states about itself after the game, for the meta file; None: it states none.
    `marks` are the numbers of the clicks, from 1, that the clicker marked, by mark; None: no marks.
    """

    trajectory: Trajectory
    seconds: tuple[float, ...]
    masks: tuple[Mapping[str, Any], ...] = ()  # after each click, as COCO run lengths
    note: str = ""
    facts: Mapping[str, Scalar] | None = None
    marks: Mapping[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Spec:
    """The identity of a run: all that decides its numbers. Its digest names the run's file.

    The model's code is not part of it: code that changes the masks needs a new `version`.
    """

    model: str
    version: str  # of the model's behaviour, from its card
    libraries: Mapping[str, str]  # versions of the libraries that decide the masks, by name
    options: Mapping[str, Scalar]
    weights: str | None  # sha256; None for a model without weights
    dataset: str
    limit: int | None
    objects: int
    keys: str  # digest of the sorted object keys
    fingerprint: str  # sha256 of the content
    decoder: str  # the library that decodes the images; another one may move a click
    preset: str
    preset_digest: str
    rules: Rules
    backend: str | None  # of the network; None for a model without one
    precision: str | None
    threads: int
    clicker_version: str = "1"  # of the clicker's behaviour, from its card
    initial: str | None = None  # sha256 of the masks that objects start from; None: no masks
