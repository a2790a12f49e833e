"""Messages for command lines that cannot be parsed, and for lists where an option is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from click.core import ParameterSource

from isbench.cli.streams import print_note
from isbench.errors import IsbenchError

_PLAIN = re.compile(r"[\w.@+-]+(:[\w.]+)?")  # a name, PAPER:TABLE or package.module:card
_URL = re.compile(r",\s*\w+://")
_SETTING = re.compile(r",\s*[\w.]+=")


def format_usage_error(error: click.ClickException, path: str) -> str:
    """Return the message of an error of click, and the command whose help says more.

    `path` is the command, such as "isbench run".
    """
    if not isinstance(error, click.UsageError):
        return error.format_message()
    context = error.ctx
    if isinstance(error, click.MissingParameter) and context is not None:
        missing = _list_missing(context)
        return f"{path.partition(' ')[2]} needs {' and '.join(missing)}; see `{path} --help`"
    return f"{error.format_message().rstrip('.')}; see `{path} --help`"


def _list_missing(context: click.Context) -> list[str]:
    """Return the parameters that a command requires and did not get, as its help shows them."""
    return [
        parameter.opts[0]
        if isinstance(parameter, click.Option)
        else str(parameter.make_metavar(context)).removesuffix("...")
        for parameter in context.command.get_params(context)
        if parameter.required and not context.params.get(str(parameter.name))
    ]


def refuse_lists(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> Sequence[str]:
    """Return the values of an option or argument that takes one name each time.

    A callback for click. Raises IsbenchError for names that are joined by commas.
    """
    for value in values:
        if _is_list(parameter, value):
            raise IsbenchError(f"{value!r} is a list; {_describe_repetition(parameter, value)}")
    return values


def _is_list(parameter: click.Parameter, value: str) -> bool:
    """Whether a value is several names or URLs; what follows READER: may have commas."""
    first, comma, _ = value.partition(",")
    if not comma:
        return False
    is_name = _PLAIN.fullmatch(first.strip()) and (
        ":" not in first or parameter.name in ("models", "trust_models")
    )
    return bool(is_name or _URL.search(value))


def _describe_repetition(parameter: click.Parameter, value: str) -> str:
    words = [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(parameter, click.Option):
        flag = parameter.opts[0]
        return f"repeat {flag}: {' '.join(f'{flag} {word}' for word in words)}"
    return f"separate them by spaces: {' '.join(words)}"


@contextmanager
def suggest_repetition(settings: Sequence[str]) -> Iterator[None]:
    """Add to an error that --set is repeated if one of the settings looks like several."""
    try:
        yield
    except IsbenchError as error:
        for setting in settings:
            if _SETTING.search(setting):
                first = re.sub(_SETTING, lambda found: f" --set {found[0][1:].strip()}", setting)
                message = f"{error}; to give several, repeat --set: --set {first}"
                raise IsbenchError(message, setting=error.setting) from error
        raise


def note_unused(uses: Mapping[str, bool]) -> None:
    """Say which options were given without effect; `uses` has whether each parameter is used."""
    unused = [
        option.opts[0]
        for option in click.get_current_context().command.params
        if not uses.get(str(option.name), True) and is_given(option.name)
    ]
    if unused:
        print_note(f"without effect on what is asked for: {', '.join(unused)}")


def is_given(name: str | None) -> bool:
    """Return whether a parameter of the current command is on the command line."""
    source = click.get_current_context().get_parameter_source(str(name))
    return source is ParameterSource.COMMANDLINE
