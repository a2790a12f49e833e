"""Standard output and error that are closed or full, or cannot encode a character."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

import click

from isbench.errors import IsbenchError


class OutputClosed(Exception):
    """The reader of standard output has closed it, as `| head -1` does."""


def prepare_streams() -> None:
    """Let this process write what it has to say, wherever its output goes.

    A stream that was closed writes to nowhere: without this, the next file that is opened would
    take its place, and what libraries print would land in it. Characters that the encoding lacks
    are written as escapes. A fault of standard output is an IsbenchError or OutputClosed; what
    standard error does not take is dropped, since there is no other place to say so.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)  # unlike the one that is opened, workers inherit it
            if nowhere != number:
                os.close(nowhere)
    sys.stdout = _wrap(_Output, sys.stdout, 1)
    sys.stderr = _wrap(_Messages, sys.stderr, 2)
    # Python returns to these when it ends
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]


def print_line(text: str) -> None:
    """Print a line on standard error.

    It may contain names from files of anybody: control characters, which could command a terminal,
    become escapes.
    """
    from isbench.reporting.text_table import escape_controls  # slow to import, and seldom needed

    click.echo(escape_controls(text), err=True)


def print_note(text: str) -> None:
    """Print a line on standard error that begins with the name of the command."""
    print_line(f"isbench: {text}")


def flush_output() -> None:
    """Write the rest of standard output; raises IsbenchError or OutputClosed if that fails."""
    if sys.stdout is not None:
        sys.stdout.flush()


def drop_output() -> None:
    """Let the rest of standard output go nowhere, so that Python does not fail on it at the end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Output(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _explain(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _explain(error) from error


class _Messages(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _explain(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return OutputClosed()
    return IsbenchError(
        f"cannot write to standard output: {error.strerror or error}; recorded results are kept"
    )


def _wrap(kind: type[io.TextIOWrapper], stream: object, number: int) -> io.TextIOWrapper:
    if not isinstance(stream, io.TextIOWrapper):  # None, if it was closed
        return kind(open(number, "wb", closefd=False), "utf-8", "backslashreplace")
    encoding, lines, through = stream.encoding, stream.line_buffering, stream.write_through
    return kind(
        stream.detach(), encoding, "backslashreplace", line_buffering=lines, write_through=through
    )
