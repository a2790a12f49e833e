"""One array of a MATLAB 5 file, read in Python: a damaged file raises ValueError and nothing else.

SciPy's reader, which is compiled, can end the process on such a file. Not here: other versions of
the format, and arrays other than real numbers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER = 128  # bytes
_UNPACKED = 1 << 24  # bytes of the largest variable that is unpacked
_INTEGERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 12: "i8", 13: "u8"}
_NUMBERS = {**_INTEGERS, 7: "f4", 9: "f8"}  # types of elements
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _FIRST_NUMERIC, _LAST_NUMERIC = 2, 6, 15  # classes of arrays
_COMPLEX = 0x0800


class _Element(NamedTuple):
    """A piece of the file: its type and its bytes."""

    kind: int
    data: bytes


class _Matrix(NamedTuple):
    """An array: its class, whether it is complex, its shape and name, and what follows."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str
    rest: Iterator[_Element]


def read_field(data: bytes, variable: str, field: str) -> NDArray[Any]:
    """Return a field of a 1x1 struct in a file's bytes, a real array as MATLAB shapes it.

    Raises ValueError for a file that is damaged or of another kind.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("it is no MATLAB 5 file")
    if data[_HEADER - 4 : _HEADER - 2] in (b"\0\2", b"\2\0"):
        raise ValueError("it is a MATLAB 7.3 file: save it with -v7")
    for element in _split(data[_HEADER:], order):
        matrix = _open_matrix(_unpack(element, order), order)
        if matrix.name == variable:
            return _read_array(_find_field(matrix, field, order), order)
    raise ValueError(f"it has no variable {variable}")


def _split(data: bytes, order: str) -> Iterator[_Element]:
    """Yield the elements that follow each other."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it is cut short")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start, end = at + 8, at + 8 + size
        if kind >> 16:  # a small element: 16 bits each for its size and type, then up to 4 bytes
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = at + 4, at + 4 + size
            if size > 4:
                raise ValueError("it has a small element of more than 4 bytes")
            at += 8
        else:
            at = end + (0 if kind == _COMPRESSED else -size % 8)
        if end > len(data):
            raise ValueError("it is cut short")
        yield _Element(kind, data[start:end])


def _unpack(element: _Element, order: str) -> _Element:
    """Return the element in a compressed one."""
    if element.kind != _COMPRESSED:
        return element
    packed = zlib.decompressobj()
    try:
        data = packed.decompress(element.data, _UNPACKED)
    except zlib.error as error:
        raise ValueError(f"its compressed data are damaged ({error})") from error
    if packed.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {_UNPACKED >> 20} MiB")
    if not packed.eof:
        raise ValueError("its compressed data are cut short")
    return next(_split(data, order), _Element(0, b""))


def _open_matrix(element: _Element, order: str) -> _Matrix:
    """Return the array in an element; its numbers or fields are read later."""
    if element.kind != _MATRIX:
        raise ValueError("it has something else than an array")
    if not element.data:
        return _Matrix(0, False, (0, 0), "", iter(()))
    parts = _split(element.data, order)
    flags, shape = (_read_integers(next(parts, None), order) for _ in range(2))
    name = next(parts, None)
    if len(flags) < 1 or len(shape) < 2 or name is None or (shape < 0).any():
        raise ValueError("it has an array without a shape")
    first = int(flags[0])
    text = name.data.decode("utf-8", "replace")
    return _Matrix(first & 0xFF, bool(first & _COMPLEX), tuple(map(int, shape)), text, parts)


def _find_field(matrix: _Matrix, field: str, order: str) -> _Matrix:
    """Return a field of a 1x1 struct."""
    if matrix.kind != _STRUCT or prod(matrix.shape) != 1:
        raise ValueError(f"{matrix.name} is no single struct")
    width = _read_integers(next(matrix.rest, None), order)
    names = next(matrix.rest, None)
    if len(width) != 1 or width[0] < 1 or names is None:
        raise ValueError(f"{matrix.name} has no fields")
    step = int(width[0])
    starts = range(0, len(names.data), step)
    listed = [names.data[at : at + step].partition(b"\0")[0] for at in starts]
    for name, element in zip(listed, matrix.rest, strict=False):
        if name == field.encode():
            return _open_matrix(element, order)
    raise ValueError(f"{matrix.name} has no field {field}")


def _read_array(matrix: _Matrix, order: str) -> NDArray[Any]:
    """Return the numbers of an array."""
    if not _FIRST_NUMERIC <= matrix.kind <= _LAST_NUMERIC or matrix.is_complex:
        raise ValueError("it is no array of real numbers")
    numbers = _read_numbers(next(matrix.rest, None), order)
    if len(numbers) != prod(matrix.shape):
        raise ValueError(f"it has {len(numbers)} numbers; wanted {prod(matrix.shape)}")
    return numbers.reshape(matrix.shape, order="F")


def _read_integers(element: _Element | None, order: str) -> NDArray[Any]:
    numbers = _read_numbers(element, order)
    if numbers.dtype.kind == "f":
        raise ValueError("it has fractions where whole numbers should be")
    return numbers


def _read_numbers(element: _Element | None, order: str) -> NDArray[Any]:
    """Return the numbers of an element, in the type they are stored in."""
    if element is None or element.kind not in _NUMBERS:
        raise ValueError("it lacks numbers where they should be")
    kind = np.dtype(order + _NUMBERS[element.kind])
    if len(element.data) % kind.itemsize:
        raise ValueError("it has a part of a number")
    return np.frombuffer(element.data, kind)
