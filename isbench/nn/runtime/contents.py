"""What a network consists of, as bytes: equal for networks that compute the same, in any process.

Not here: the code of its classes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import is_dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# in the representation of functions and objects
_ADDRESS = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)


def describe_value(value: Any) -> Iterator[bytes]:
    """Yield the bytes that describe a network, or any value that one has as an attribute.

    All attributes of a module count, not only its tensors: networks with equal tensors can differ
    in an option. So do the fields of data classes, the arguments of partial functions, and the
    attributes of objects without a representation of their own; other values count as their text.
    Raises RuntimeError for a tensor that has no plain memory, such as a sparse one.
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
        yield f"{_show(value)}\n".encode()
        return
    if not isinstance(value, tuple):  # equal tuples may be one object or several
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
        return [(_show(key), part) for key, part in value.items()]
    if isinstance(value, list | tuple | deque):
        return [(str(number), part) for number, part in enumerate(value)]
    if isinstance(value, Set):
        return [(text, None) for text in sorted(map(_show, value))]
    if isinstance(value, partial):
        return [("", value.func), ("args", value.args), ("keywords", value.keywords)]
    own: Any = type(value).__repr__
    if isinstance(value, nn.Module) or own is object.__repr__ or _is_data(value):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        parts = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        return sorted({**parts, **getattr(value, "__dict__", {})}.items())
    return None


def _is_data(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _show(value: Any) -> str:
    return _ADDRESS.sub("", repr(value))
