"""Pickles of plain values, read without running anything that they name.

A pickle is a program. It is scanned before it is run: only operations that make numbers, texts,
lists, tuples, dicts and numpy arrays of numbers are let through. The names of numpy stand for
functions of this file, so that no other function is called with what a file says.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OPERATIONS = frozenset(
    """
    PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE GET BINGET LONG_BINGET PUT BINPUT
    LONG_BINPUT MEMOIZE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING
    SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE
    SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2
    TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE BUILD
    """.split()  # noqa: SIM905
)
_MEMO = ("PUT", "LONG_BINPUT")
_KINDS = "biuf"  # of numpy arrays: bool, integers, floats
_LARGEST = 1 << 26  # bytes of an array


@dataclass
class PickledArray:
    """A numpy array as a pickle states it."""

    values: NDArray[Any] = field(default_factory=lambda: np.zeros(0))

    def __setstate__(self, state: Any) -> None:
        """Take what numpy says of an array; raises ValueError for anything else."""
        _, shape, kind, columns_first, data = state
        self.values = _make_array(data, kind, shape, "F" if columns_first else "C")


@dataclass
class _Type:
    """A numpy dtype of plain numbers."""

    code: str
    order: Any = "="  # one of < > = |

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"byte order {order!a:.20}")
        self.order = order

    @property
    def value(self) -> np.dtype[Any]:
        found = np.dtype(self.code)
        return found if self.order == "|" else found.newbyteorder(self.order)


class _Function:
    """A function that a pickle may call; unlike a plain one it has no attributes to set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("it sets attributes of a function")


def load_plain(data: bytes) -> Any:
    """Return the value of a pickle; arrays are `PickledArray`, and numpy's numbers are numbers.

    Raises ValueError for a pickle that is damaged, or that needs anything but plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about texts that only a broken pickle has
            _check_operations(pickletools.genops(data))
            return _Unpickler(io.BytesIO(data), encoding="latin-1").load()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (MemoryError, OverflowError) as error:
        raise ValueError("it contains a number or a size that is too large") from error
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(str(error) or "it ends too early") from error


def _check_operations(operations: Iterable[tuple[Any, Any, Any]]) -> None:
    """Raise ValueError for an operation that no plain value needs.

    A place in the memo is at most the number of operations, or unpickling would fill the memory.
    """
    for count, (operation, argument, _) in enumerate(operations):
        if operation.name not in _OPERATIONS:
            raise ValueError(f"it uses {operation.name}, which plain values do not need")
        if operation.name in _MEMO and not 0 <= int(argument) <= count:
            raise ValueError(f"it has a memo of {argument} places")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the function for a name of numpy; raises ValueError for any other."""
        # numpy 2 has renamed `core`; both names are in pickles
        found = _NAMES.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise ValueError(f"it needs {module}.{name}, which is not a plain value")
        return found


def _make_type(code: Any, *_: Any) -> _Type:
    if not isinstance(code, str) or len(code) > 3 or np.dtype(code).kind not in _KINDS:
        raise ValueError(f"an array of {code!a:.40}; wanted numbers")
    return _Type(code)


def _make_array(data: Any, kind: Any, shape: Any, order: Any = "C") -> NDArray[Any]:
    if isinstance(data, str):  # how Python 2 wrote bytes
        data = data.encode("latin-1")
    if not isinstance(kind, _Type) or not isinstance(data, (bytes, bytearray)):
        raise ValueError("an array without numbers")
    if len(data) > _LARGEST or not isinstance(shape, tuple) or order not in ("C", "F"):
        raise ValueError("an array of a wrong shape or size")
    return np.frombuffer(bytes(data), kind.value).reshape(shape, order=order)


def _make_scalar(kind: Any, data: Any) -> Any:
    return _make_array(data, kind, ()).item()


def _read_buffer(data: Any, kind: Any, shape: Any, order: Any) -> PickledArray:
    return PickledArray(_make_array(data, kind, shape, order))


def _encode(text: str, encoding: str) -> bytes:
    """Return the bytes of a text: so old protocols write them."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"a text in {encoding!a:.40}")
    return text.encode("latin-1")


def _refuse(*_: Any) -> Any:
    raise ValueError("it makes an array without its data")


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Function(lambda *_: PickledArray()),
    ("numpy.core.multiarray", "scalar"): _Function(_make_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Function(_read_buffer),
    ("numpy", "ndarray"): _Function(_refuse),  # named, but not called
    ("numpy", "dtype"): _Function(_make_type),
    ("_codecs", "encode"): _Function(_encode),
}
