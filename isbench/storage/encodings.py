"""Encodings of images on disk: arrays in safetensors files, which contain no code.

Not here: what decides an encoding, and when it is used (`isbench.evaluation.encoding_cache`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from isbench.errors import Remedy
from isbench.files.atomic import make_write_error, write_atomically
from isbench.files.json_text import parse_json
from isbench.files.limits import read_regular
from isbench.types import Image

Arrays: TypeAlias = Mapping[str, NDArray[Any]]  # bool, integer or float numbers by name

_REMEDY = Remedy("free some space, or choose another folder", "cache")
_FACTS, _LOCK = "facts.json", "lock"
_ENTRY = "isbench"  # of a file's metadata


class DamagedEncoding(Exception):
    """A file that is not the wanted encoding, or no longer."""


@dataclass(frozen=True)
class EncodingFolder:
    """A folder of encodings that the same facts decide, named by the model and their digest."""

    path: Path
    digest: str  # sha256 of the facts


def open_folder(root: Path, name: str, facts: Mapping[str, Any]) -> EncodingFolder:
    """Return the folder of a model's encodings, created if it is missing; the facts are in a file.

    Raises IsbenchError if it cannot be written.
    """
    text = json.dumps(facts, sort_keys=True, indent=1).encode() + b"\n"
    digest = sha256(text).hexdigest()
    folder = EncodingFolder(root / f"{name}-{digest[:12]}", digest)
    if _read(folder.path / _FACTS) != text:
        _write(folder.path / _FACTS, text)
    return folder


def digest_image(image: Image) -> str:
    """Return the sha256 of an image's size and colours, which names its encoding."""
    return sha256(f"{image.shape} {image.dtype}\n".encode() + image.tobytes()).hexdigest()


def read_encoding(folder: EncodingFolder, image: str) -> Arrays | None:
    """Return the arrays of an image by its digest, None if there are none; each may be written to.

    Raises DamagedEncoding for a file that cannot be read, has changed, or was made for another
    image or by other facts.
    """
    path = _find_path(folder, image)
    data = _read(path)
    if data is None:
        return None
    try:
        found = _read_metadata(data)
        if (found["facts"], found["image"]) != (folder.digest, image):
            raise DamagedEncoding(f"{path} is not the encoding of this image by this model")
        arrays = {name: array.copy() for name, array in load(data).items()}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedEncoding(f"{path} is damaged") from error
    if _digest_arrays(arrays) != found["checksum"]:
        raise DamagedEncoding(f"{path} is damaged")
    return arrays


def write_encoding(folder: EncodingFolder, image: str, arrays: Arrays) -> None:
    """Write the arrays of an image in one step; several processes may write the same.

    Raises IsbenchError if the file cannot be written, and SafetensorError, KeyError or ValueError
    for arrays that safetensors cannot hold.
    """
    native = {
        name: np.array(array, array.dtype.newbyteorder("="), order="C")
        for name, array in arrays.items()
    }
    metadata = {"facts": folder.digest, "image": image, "checksum": _digest_arrays(native)}
    # one entry, since safetensors writes several in any order
    data = save(native, {_ENTRY: json.dumps(metadata, sort_keys=True)})
    _write(_find_path(folder, image), data)


def _find_path(folder: EncodingFolder, image: str) -> Path:
    return folder.path / f"{image[:32]}.safetensors"


def _read_metadata(data: bytes) -> Mapping[str, str]:
    """Return what a safetensors file says about itself.

    Raises ValueError, KeyError or TypeError if it says nothing, or not in our words.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    found = parse_json(parse_json(data[8:end])["__metadata__"][_ENTRY])
    return {name: str(found[name]) for name in ("facts", "image", "checksum")}


def _digest_arrays(arrays: Arrays) -> str:
    digest = sha256()
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> bytes | None:
    """Return a file's bytes, None if it is missing, b"" if it cannot be read."""
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # drafts of the same file have the same name
        with FileLock(path.parent / _LOCK):
            write_atomically(path, data, _REMEDY)
    except NotImplementedError as error:  # a file system without locks
        raise make_write_error(path, OSError(str(error)), _REMEDY) from error
    except OSError as error:
        raise make_write_error(path, error, _REMEDY) from error
