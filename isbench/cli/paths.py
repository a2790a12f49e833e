"""Types of options for paths: `~` is the home folder, and a missing output folder is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from isbench.cli.streams import print_note


class PathType(click.Path):
    """A path in which a leading `~` or `~user` is the home folder, also if it was quoted."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fails for the home folder of an unknown user."""
        path = Path(str(super().convert(value, param, ctx)))
        try:
            return path.expanduser()
        except RuntimeError:  # no such user; a file may have this name
            self.fail(f"{value!r}: no user has this home folder; a file is ./{value}", param, ctx)


class OutputType(PathType):
    """A path to write to: a note says so if the folder that contains it has to be created."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = super().convert(value, param, ctx)
        if not path.parent.exists() and _is_given(param, ctx):
            print_note(f"folder {path.parent} does not exist and will be created")
        return path


def _is_given(param: click.Parameter | None, ctx: click.Context | None) -> bool:
    """Return whether the user gave a value; a default needs no note."""
    if param is None or ctx is None or param.name is None:
        return True
    return ctx.get_parameter_source(param.name) is not ParameterSource.DEFAULT


PATH = PathType()
OUTPUT = OutputType()
