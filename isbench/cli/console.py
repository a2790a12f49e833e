"""The console that commands print text and tables to."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

# Wide enough that tables are never cut or wrapped in a pipe.
_PIPE_WIDTH = 1000


class _PlainConsole(Console):
    """A console for a pipe or file: wide, without colours, and without spaces at the ends of lines.

    The cells of a table are padded to the widest one of their column, which may be long.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        with self.capture() as printed:
            super().print(*objects, **options)
        lines = printed.get().removesuffix("\n").split("\n")
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in lines)


def make_console() -> Console:
    """Return a console for standard output: the terminal, or plain text in a pipe."""
    if sys.stdout.isatty():
        return Console(highlight=False, markup=False, emoji=False)  # a name may look like markup
    return _PlainConsole(
        width=_PIPE_WIDTH, highlight=False, markup=False, emoji=False, no_color=True
    )
