"""What a network consists of, as bytes: equal for networks that compute the same, in any process.

Not here: the code of its classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in the representation of functions and objects


def describe_value(value: Any) -> Iterator[bytes]:
    """Yield the bytes that describe a network, or any value that one has as an attribute.

    All attributes of a module count, not only its tensors: networks with equal tensors can differ
    in an option. An object without a representation of its own is described by its attributes.
    """
    yield from _describe(value, {})


def _describe(value: Any, seen: dict[int, int]) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield f"tensor {value.dtype} {tuple(value.shape)}\n".encode()
        # bytes, since NumPy has no bfloat16
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield f"array {value.dtype} {value.shape}\n".encode()
        yield value.tobytes()
        return
    parts = _list_parts(value)
    if parts is None:
        yield f"{_ADDRESS.sub('', repr(value))}\n".encode()
        return
    if id(value) in seen:  # shared, or a cycle
        yield f"see {seen[id(value)]}\n".encode()
        return
    seen[id(value)] = len(seen)
    yield f"{type(value).__qualname__} of {len(parts)}\n".encode()
    for key, part in parts:
        yield f"{key}: ".encode()
        yield from _describe(part, seen)


def _list_parts(value: Any) -> list[tuple[str, Any]] | None:
    """Return what a value consists of, with names; None for one that its text describes."""
    if isinstance(value, Mapping):
        return [(_ADDRESS.sub("", repr(key)), part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(str(number), part) for number, part in enumerate(value)]
    if isinstance(value, Set):
        return [(text, None) for text in sorted(map(repr, value))]
    plain: Any = type(value).__repr__
    if isinstance(value, nn.Module) or plain is object.__repr__:
        return sorted(vars(value).items()) if hasattr(value, "__dict__") else None
    return None
