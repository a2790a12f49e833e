"""Everything about one model, for `isbench models NAME`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from isbench.errors import IsbenchError
from isbench.models.known_weights import list_weights
from isbench.models.option_meanings import LEFT_TO_DATA, find_meaning
from isbench.models.registry import describe_missing_library
from isbench.models.weights import NO_WEIGHTS, RANDOM, find_weights_folder
from isbench.options import format_option
from isbench.training.weight_card import read_card
from isbench.types import File, ModelCard, Scalar


def print_details(terminal: Console, card: ModelCard) -> None:
    """Print a model's facts, its weights and where they are kept, and its options."""
    terminal.print(card.name, style="bold", soft_wrap=True)
    _print_columns(terminal, list(_list_facts(card)))
    if card.networks is not None:
        terminal.print("  weights (--weights NAME)")
        _print_columns(terminal, list(_list_weights(card)), indent=4)
    if card.options:
        terminal.print("  options (--set NAME=VALUE)")
        _print_columns(terminal, list(_list_options(card)), indent=4)


def _format_default(key: str, value: Scalar) -> str:
    """Return an option's default as a user would type it, or what it stands for."""
    if LEFT_TO_DATA.get(key) == value:
        return "the data set's"
    return format_option(value)


def _print_columns(terminal: Console, rows: Sequence[Sequence[str]], indent: int = 2) -> None:
    """Print rows of text, if there are any; the last column is wrapped below itself."""
    if not rows:
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(width=indent - 2)
    for _ in rows[0][1:]:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row("", *row)
    terminal.print(table)


def _list_facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    yield from (
        (name, text)
        for name, text in (
            ("what", card.summary),
            ("source", card.source),
            ("licence", card.licence),
            ("restriction", card.restriction),
        )
        if text
    )
    if card.libraries:
        yield (
            "libraries",
            ", ".join(f"{name} {version}".rstrip() for name, version in card.libraries.items()),
        )
    if missing := describe_missing_library(card):
        yield "missing", missing
    if card.recipe is not None:
        yield "training", f"isbench train {card.name}"


def _list_weights(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Yield the name of each set of weights, and its file, size and place."""
    for name, path in card.bundled.items():
        size = f", {_format_size(path.stat().st_size)}" if path.is_file() else ""
        yield name, f"{_mark_default(card, name)}{path.name}{size}, comes with isbench"
        yield from _list_terms(card, path)
    try:
        here = {one.name: one.path for one in list_weights(card) if one.path is not None}
        fault = ""
    except IsbenchError as error:
        here, fault = {}, str(error)
    for name, file in card.weights.items():
        at = f"; here: {here[name]}" if name in here else ""
        yield name, f"{_mark_default(card, name)}{_describe_file(file)}{at}"
    if not card.bundled and not card.weights:
        yield "none", card.unreleased or NO_WEIGHTS
    if fault:
        yield "", fault
    yield RANDOM, "untrained, initialised from a fixed seed"


def _mark_default(card: ModelCard, name: str) -> str:
    """Return the remark that weights are those a model is played with if none are named."""
    return "default: " if card.default_weights == name else ""


def _list_terms(card: ModelCard, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the licence of a bundled file, and what the file says about its data and its start."""
    try:
        terms = read_card(path)
    except IsbenchError:
        terms = {}
    known = card.bundled_terms or terms.get("licence") or "not stated"
    yield "", f"  licence: {known}"
    if (data := terms.get("licence")) and data != known:
        yield "", f"  training data: {data}"
    if origin := terms.get("origin"):
        yield "", f"  trained from: {_shorten_digests(origin)}"


def _shorten_digests(text: str) -> str:
    """Return a text with every SHA-256 cut to its first 12 digits, as in tables."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", text)


def _describe_file(file: File) -> str:
    """Return a file's name and size, and its mirrors or the page that links it."""
    size = "" if file.size is None else f", {_format_size(file.size)} ({file.size:,} bytes)"
    if file.urls:
        place = "\n  or ".join([f"downloaded from\n     {file.urls[0]}", *file.urls[1:]])
    else:
        place = (
            f"downloaded by hand from {file.page or 'its authors'}, then --weights FILE, or saved "
            f"in {find_weights_folder()} to use the name"
        )
    return f"{file.name}{size}, {place}"


def _format_size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _list_options(card: ModelCard) -> Iterator[tuple[str, str, str]]:
    for name, default in card.options.items():
        yield name, _format_default(name, default), find_meaning(card, name)
