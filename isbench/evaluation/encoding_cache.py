"""A predictor whose encodings of images are kept on disk and read again (`run --cache`).

An encoding is used again only if everything that may have decided it is the same, so that games are
those that would have been played without the cache. Not here: the files (`storage.encodings`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isbench.errors import IsbenchError, PredictorError
from isbench.lazy_function import LazyFunction
from isbench.models.source import digest_source
from isbench.storage.encodings import (
    DamagedEncoding,
    EncodingFolder,
    digest_image,
    open_folder,
    read_encoding,
    write_encoding,
)
from isbench.storage.environment import describe_environment
from isbench.types import (
    Encoded,
    Image,
    LoadedModel,
    Mask,
    PackingPredictor,
    Prediction,
    Predictor,
    State,
    Turn,
)

_ADDRESS = " at 0x"  # in the text of an object that does not say what it is


@dataclass(frozen=True)
class CachedPredictor:
    """A predictor that reads encodings from a folder, and writes those that are missing there."""

    predictor: PackingPredictor
    folder: EncodingFolder
    _notes: list[str] = field(default_factory=list)

    def begin(self, image: Image) -> Encoded:
        """Return the encoding of an image, from the folder if it is there and undamaged."""
        digest = digest_image(image)
        try:
            arrays = read_encoding(self.folder, digest)
        except DamagedEncoding as error:
            self._notes.append(f"{error}; it is computed and written again")
            arrays = None
        if arrays is not None:
            return self.predictor.unpack(arrays, image)
        encoded = self.predictor.begin(image)
        write_encoding(self.folder, digest, pack_arrays(self.predictor, encoded))
        return encoded

    def start(self, encoded: Encoded, initial: Mask | None) -> State:
        """Return the predictor's state."""
        return self.predictor.start(encoded, initial)

    def predict(self, turns: Sequence[Turn]) -> list[Prediction]:
        """Return the predictor's answers."""
        return self.predictor.predict(turns)

    def take_notes(self) -> list[str]:
        """Return the messages for the user since the last call."""
        notes = self._notes.copy()
        del self._notes[: len(notes)]
        return notes


def pack_arrays(predictor: PackingPredictor, encoded: Encoded) -> Mapping[str, Any]:
    """Return an encoding as arrays; raises PredictorError for what cannot be kept."""
    arrays: Any = predictor.pack(encoded)
    if not isinstance(arrays, Mapping):
        raise PredictorError(f"pack returned a {type(arrays).__name__}; wanted arrays by name")
    for name, array in arrays.items():
        if not isinstance(name, str) or not _is_kept(array):
            kind = getattr(array, "dtype", type(array).__name__)
            raise PredictorError(
                f"pack returned {name!r} of {kind}; wanted numpy arrays by name, of bool, integer "
                "or float numbers"
            )
    return arrays


def _is_kept(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and array.itemsize <= 8


def check_packing(model: LoadedModel, predictor: Predictor) -> None:
    """Raise IsbenchError for a model whose encodings cannot be kept."""
    if not isinstance(predictor, PackingPredictor):
        reason = "its predictor has no `pack` and `unpack`"
    elif model.card.adaptive:
        reason = "it learns from object to object"
    elif not digest_source(model.card):
        reason = "the source of its code cannot be read, so that a change would go unnoticed"
    elif _ADDRESS in str(_describe_build(model.card.build)):
        reason = "an argument of its builder has no text that says what it is (a __repr__)"
    else:
        return
    raise IsbenchError(
        f"model {model.name} has no encodings of images to keep: {reason}; leave cache out",
        setting="cache",
    )


def open_cache(model: LoadedModel, root: Path) -> EncodingFolder:
    """Return the folder of a model's encodings; raises IsbenchError if it cannot be written."""
    return open_folder(root, model.name, describe_encoder(model))


def cache_encodings(predictor: Predictor, model: LoadedModel, root: Path) -> CachedPredictor:
    """Return a model's predictor with its encodings kept in a folder.

    Raises IsbenchError for a model whose encodings cannot be kept, and a folder that cannot be
    written.
    """
    check_packing(model, predictor)
    assert isinstance(predictor, PackingPredictor)
    return CachedPredictor(predictor, open_cache(model, root))


def take_notes(predictor: Predictor) -> list[str]:
    """Return what a predictor with a cache has to say, nothing for another one."""
    return predictor.take_notes() if isinstance(predictor, CachedPredictor) else []


def describe_encoder(model: LoadedModel) -> Mapping[str, Any]:
    """Return all that may decide how this machine encodes an image with a model."""
    card, runtime, here = model.card, model.runtime, describe_environment()
    facts: dict[str, Any] = {
        "model": card.name,
        "version": card.version,
        "build": _describe_build(card.build),
        "code": digest_source(card),
        "options": dict(model.options),
        "libraries": {**here["versions"], **card.libraries},
        "processor": here["processor"],
    }
    if runtime is None:
        return facts
    from isbench.nn.runtime.compute import name_device  # imports torch, so only for networks

    return {
        **facts,
        "weights": runtime.digest,
        "backend": runtime.backend_and_device,
        "device": name_device(runtime.device),
        "precision": runtime.precision,
        "threads": runtime.threads,
    }


def _describe_build(build: Any) -> Any:
    """Return a builder and its arguments as text that is the same in every process."""
    if isinstance(build, partial):
        keywords = {name: _describe_build(value) for name, value in build.keywords.items()}
        return [_describe_build(build.func), *map(_describe_build, build.args), keywords]
    if isinstance(build, LazyFunction):
        return [build.place, *map(_describe_build, build.arguments)]
    if isinstance(build, (tuple, list)):
        return list(map(_describe_build, build))
    name = getattr(build, "__qualname__", None)
    return repr(build) if name is None else f"{build.__module__}.{name}"
