"""Files read within limits: a file that was received may be of any size, or unpack to any size."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from isbench.errors import IsbenchError

LINE = 1 << 20  # most bytes of a line of a run or its meta file; a game of 1000 clicks has 50 kB
LIST = 1 << 26  # most bytes of a list of names, or another small file
_BLOCK = 1 << 16
# A packed file is refused once this much of it is unpacked at this ratio. Runs pack to 1/3, and
# runs whose games have twenty equal clicks each to 1/25.
_UNPACKED = 1 << 26
_RATIO = 50


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; raises OSError for a pipe or a device, which may never end.

    To open a pipe that nobody writes to would wait for good.
    """

    def opener(name: str, flags: int) -> int:
        number = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # not on Windows
        if stat.S_ISREG(os.fstat(number).st_mode):
            return number
        is_folder = stat.S_ISDIR(os.fstat(number).st_mode)
        os.close(number)
        if is_folder:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        raise OSError(errno.EINVAL, "it is a pipe or a device; wanted a file", name)

    return open(path, "rb", opener=opener)


def read_regular(path: Path) -> bytes:
    """Return the content of a file like `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_limited(path: Path, most: int = LIST) -> bytes:
    """Return the content of a file like `open_regular`, of which no more than `most` is read.

    Raises OSError, and ValueError if it has more than `most` bytes.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most // 1_000_000} MB")
    return data


def read_lines(path: Path, most: int = LINE, *, torn: bool = False) -> Generator[bytes]:
    """Yield the whole lines of a file, unpacked if its name ends in .gz; nothing if it is missing.

    A torn line at the end of a file that is not packed, as a killed process leaves it, is yielded
    only with `torn`.
    Raises IsbenchError for a file that cannot be read or unpacked, has a line of more than `most`
    bytes, or unpacks to much more than isbench ever packs.
    """
    packed = path.name.endswith(".gz")
    try:
        with open_regular(path) as file:
            if not packed:
                yield from _split(path, file, most, torn)
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield from _check_ratio(path, _split(path, unpacked, most, False), file)
    except FileNotFoundError:
        if packed:
            raise IsbenchError(f"{path} does not exist") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _make_damage_error(path, str(error)) from error
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error


def read_first_line(path: Path) -> bytes:
    """Return the first line of a file like `read_lines`, b"" if there is none; reads no more."""
    with closing(read_lines(path)) as lines:
        return next(lines, b"")


def find_whole_size(path: Path) -> int:
    """Return the size of a file up to its last line break, 0 if it is missing.

    Raises IsbenchError if it cannot be read.
    """
    try:
        with open_regular(path) as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _BLOCK)
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    return start + at + 1
                end = start
    except FileNotFoundError:
        pass
    except OSError as error:
        raise IsbenchError(f"cannot read {path}: {error.strerror or error}") from error
    return 0


def _split(path: Path, file: BinaryIO | gzip.GzipFile, most: int, torn: bool) -> Iterator[bytes]:
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise _make_damage_error(path, f"line {number} has more than {most // 1_000_000} MB")
        if torn or line.endswith(b"\n"):
            yield line
        elif isinstance(file, gzip.GzipFile):  # such a file appears whole or not at all
            raise _make_damage_error(path, f"line {number} has no end")


def _check_ratio(path: Path, lines: Iterator[bytes], packed: BinaryIO) -> Iterator[bytes]:
    size = 0
    for line in lines:
        size += len(line)
        if size > max(_UNPACKED, _RATIO * packed.tell()):
            raise _make_damage_error(path, f"it unpacks to more than {_RATIO} times its size")
        yield line


def _make_damage_error(path: Path, fault: str) -> IsbenchError:
    return IsbenchError(f"{path} is damaged ({fault}); restore it, or delete it and repeat the run")
