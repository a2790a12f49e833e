"""Types of options for paths: `~` is the home folder, and outputs must be possible to write."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from isbench.cli.streams import print_note
from isbench.errors import IsbenchError
from isbench.files.home import expand_home


class PathType(click.Path):
    """A path in which a leading `~` or `~user` is the home folder, also if it was quoted."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fails for the home folder of an unknown user."""
        path = Path(str(super().convert(value, param, ctx)))
        if not str(value):
            self.fail("it is empty; wanted a path", param, ctx)
        try:
            return expand_home(path)
        except IsbenchError as error:
            self.fail(str(error), param, ctx)


class OutputType(PathType):
    """A path to write to, refused before any work if it cannot be written.

    A note says so if the folder that contains it has to be created.
    """

    def __init__(self, folder: bool | None) -> None:
        """Take whether it is a folder; None: either, which the command decides later."""
        super().__init__()
        self.folder = folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fails if it cannot be written."""
        path = super().convert(value, param, ctx)
        if fault := self.find_fault(path):
            self.fail(f"cannot write {path}: {fault}", param, ctx)
        if not path.parent.exists() and _is_given(param, ctx):
            print_note(f"folder {path.parent} does not exist and will be created")
        return path

    def find_fault(self, path: Path) -> str | None:
        """Return why a path cannot be written, None if it can."""
        try:
            return self._find_fault(path.absolute())
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.ENAMETOOLONG):
                raise
            return error.strerror

    def _find_fault(self, path: Path) -> str | None:
        if self.folder is False and path.is_dir():
            return "it is a folder; wanted the name of a file"
        if self.folder is True and path.exists() and not path.is_dir():
            return "it is a file; wanted the name of a folder"
        if path.is_dir():
            return None  # it may have all that is wanted
        if path.exists() and not path.is_file():
            return "it is a pipe or a device; wanted the name of a file"
        folder = next(one for one in path.parents if one.exists())
        if not folder.is_dir():
            return f"{folder} is a file; wanted a folder"
        # of the folder, also for a file that is there: it is replaced by a draft beside it
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"no permission to write to {folder}"
        return None


def _is_given(param: click.Parameter | None, ctx: click.Context | None) -> bool:
    """Return whether the user gave a value; a default needs no note."""
    if param is None or ctx is None or param.name is None:
        return True
    return ctx.get_parameter_source(param.name) is not ParameterSource.DEFAULT


PATH = PathType()
OUTPUT = OutputType(None)
OUTPUT_FILE = OutputType(False)
OUTPUT_FOLDER = OutputType(True)
