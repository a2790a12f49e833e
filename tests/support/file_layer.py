"""A layer between this process and its files that kills it, or fails, at the k-th operation.

Every operation on a path below one folder is counted: open, read, write, truncate, sync, close,
rename, unlink, mkdir, stat and lock. Only for a process of its own: the layer stays.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

# operations whose errors name the file
_NAMING = ("open", "replace", "rename", "unlink", "mkdir", "stat", "scandir")


class Fault(NamedTuple):
    """What happens at operation `at`, from 0."""

    at: int
    error: int = 0  # errno of an OSError; 0: the process is killed
    half: bool = False  # half of what is to be written is written before
    lasting: bool = False  # all later operations fail too


class Layer:
    """Counts the operations below a folder, and makes one of them fail."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.folder, self.fault = str(folder), fault
        self.names: list[str] = []  # of the operations so far

    def pass_through(self, name: str, path: object, write_half: Callable[[], None] = int) -> None:
        """Count an operation on a path; kill the process or raise OSError if it is its turn."""
        if isinstance(path, int) or not str(path).startswith(self.folder):
            return
        self.names.append(name)
        number = len(self.names) - 1
        fails = number >= self.fault.at if self.fault.lasting else number == self.fault.at
        if not fails:
            return
        if self.fault.half and number == self.fault.at:
            write_half()
        if not self.fault.error:
            os.kill(os.getpid(), signal.SIGKILL)
        place = (str(path),) if name in _NAMING else ()
        raise OSError(self.fault.error, os.strerror(self.fault.error), *place)


class File(io.FileIO):
    """A file whose operations are counted."""

    layer: Layer

    def write(self, data: Any, /) -> int:
        def write_half() -> None:
            super(File, self).write(bytes(data)[: len(bytes(data)) // 2])

        self.layer.pass_through("write", self.name, write_half)
        return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        self.layer.pass_through("truncate", self.name)
        return super().truncate(size)

    def close(self) -> None:
        if not self.closed:
            super().close()  # a close that fails has closed the file nevertheless
            self.layer.pass_through("close", self.name)

    def readinto(self, buffer: Any, /) -> int:
        self.layer.pass_through("read", self.name)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self.layer.pass_through("read", self.name)
        return super().readall()


def install(layer: Layer) -> None:
    """Put the layer under all files of this process."""
    File.layer = layer
    builtins.open = io.open = partial(_open, layer, io.open)
    for name in ("open", "replace", "rename", "unlink", "mkdir", "stat", "scandir"):
        setattr(os, name, partial(_call_by_path, layer, name, getattr(os, name)))
    os.fsync = partial(_call_by_number, layer, "sync", os.fsync)
    fcntl.flock = partial(_call_by_number, layer, "lock", fcntl.flock)


def _open(
    layer: Layer,
    plain: Any,
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    *others: Any,
    **more: Any,
) -> Any:
    if isinstance(file, int) or not str(file).startswith(layer.folder):
        return plain(file, mode, buffering, *others, **more)
    layer.pass_through("open", file)
    raw = File(os.fspath(file), mode.replace("b", "").replace("t", ""))
    if buffering == 0:
        return raw
    binary = io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)
    return binary if "b" in mode else io.TextIOWrapper(binary, *others, **more)


def _call_by_path(
    layer: Layer, name: str, plain: Any, path: Any = ".", *others: Any, **more: Any
) -> Any:
    layer.pass_through(name, path)
    return plain(path, *others, **more)


def _call_by_number(layer: Layer, name: str, plain: Any, file: Any, *others: Any) -> Any:
    number = file if isinstance(file, int) else file.fileno()
    link = f"/proc/self/fd/{number}"
    layer.pass_through(name, os.readlink(link) if os.path.lexists(link) else "")
    return plain(file, *others)
