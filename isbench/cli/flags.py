"""The flag of the setting that an error names: the library speaks of values only."""

from __future__ import annotations

from collections.abc import Sequence

import click

from isbench.errors import IsbenchError

# settings whose flag has another name
_FLAGS = {"options": "--set", "settings": "--set", "urls": "--url"}


def format_error(error: IsbenchError, command: click.Command) -> str:
    """Return the message of an error, and the flag to change if the command has it."""
    flag = _FLAGS.get(error.setting, f"--{error.setting.replace('_', '-')}")
    has_flag = any(flag in option.opts for option in command.params)
    return f"{error} ({flag})" if has_flag else str(error)


def find_path(group: click.Command, words: Sequence[str]) -> str:
    """Return the words of a command line that name its command, after those of the group."""
    if not isinstance(group, click.Group) or not words:
        return ""
    command = group.get_command(click.Context(group), words[0])
    return "" if command is None else f" {words[0]}{find_path(command, words[1:])}"


def find_command(group: click.Command, words: Sequence[str]) -> click.Command:
    """Return the command that the words of a command line call."""
    if not isinstance(group, click.Group) or not words:
        return group
    command = group.get_command(click.Context(group), words[0])
    return group if command is None else find_command(command, words[1:])
