"""Reads files that `torch.save` wrote, without executing anything in them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_ZIP = b"PK\x03\x04"  # how a zip file starts


def load_torch_file(path: Path) -> Any:
    """Return the tensors and plain values of a file, on the CPU.

    Raises whatever torch raises for a damaged file or one with more than tensors and plain values,
    and zipfile.BadZipFile if a checksum is wrong, which torch does not look at.
    """
    # as an open file, since torch reads a path by its suffix
    with path.open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:  # older files are pickles
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong, or torch wrote none")
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)


def is_plain_tensor(value: object) -> bool:
    """Return whether a value is a tensor of numbers of one shape: not nested, sparse or quantized.

    A tensor on the device "meta" has no numbers.
    """
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_nested or value.is_quantized or value.is_meta)
    )
