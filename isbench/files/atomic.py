"""Files written in one step: a reader sees the old file or the whole new one, never a part.

The draft of a file has a fixed name, so that one left by a killed process is replaced by the next.
Processes that may write the same file at the same time need a lock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from isbench.errors import IsbenchError, Remedy

REMEDY = Remedy("free some space, or choose another place")


@contextmanager
def open_atomically(path: Path, remedy: Remedy = REMEDY) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the `with` block ends.

    The bytes go to a draft in the same folder, which is created if it is missing, and reach the
    disk before the draft is renamed. If the block raises, the draft is removed and `path` stays as
    it was. A link stays one: the file that it leads to is replaced. Raises IsbenchError for a
    device or a pipe, which a file would replace, and with the remedy for any OSError in the block:
    only write there.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # unlike `Path.resolve`, it takes loops of links
    draft = path.with_name(f"{path.name}.tmp")
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "it is a pipe or a device; wanted the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise make_write_error(path, error, remedy) from error
        raise


def write_atomically(path: Path, data: bytes, remedy: Remedy = REMEDY) -> None:
    """Write a file like `open_atomically`."""
    with open_atomically(path, remedy) as file:
        file.write(data)


def make_write_error(path: Path, error: OSError, remedy: Remedy = REMEDY) -> IsbenchError:
    """Return the error for a file or folder that cannot be written."""
    if isinstance(error, IsADirectoryError) and path.is_dir():
        return IsbenchError(f"cannot write {path}: it is a folder; wanted the name of a file")
    if error.errno == errno.EINVAL and path.exists() and not path.is_file():
        return IsbenchError(f"cannot write {path}: {error.strerror}")
    message = f"cannot write {path}: {error.strerror or error}; {remedy.text}"
    return IsbenchError(message, setting=remedy.setting)
