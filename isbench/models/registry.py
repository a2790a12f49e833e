"""Models by name: built-in and third-party ones through entry points, or `package.module:card`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from isbench.errors import IsbenchError, make_unknown_error
from isbench.extensions import (
    Group,
    check_name_and_version,
    check_same_name,
    find_entry_point,
    find_package_of,
    import_object,
    list_names,
)
from isbench.extras import describe_missing
from isbench.models.weights import RANDOM
from isbench.options import is_recordable, parse_option
from isbench.types import File, ModelCard, Scalar

Trusted: TypeAlias = Mapping[str, ModelCard]  # name in run files -> card
NONE_TRUSTED: Trusted = MappingProxyType({})
DEFAULT_MODEL = "csfpn-lite"  # of `isbench demo`, `isbench predict` and `make run`
MODELS = Group("isbench.models", "model", ModelCard)


def list_model_names() -> tuple[str, ...]:
    """Return the names of all installed models, sorted, without importing them."""
    return list_names(MODELS)


def load_card(name: str) -> ModelCard:
    """Return the card of a model; `name` is an installed model or `package.module:card`.

    `package.module:card` runs code of the current folder, so it must come from the user and never
    from a file (see `load_recorded_card`). Raises IsbenchError for an unknown name, a module that
    fails to import, and an invalid card.
    """
    return _import_card(_find_card(name))


def load_recorded_card(name: object, trusted: Trusted = NONE_TRUSTED) -> ModelCard:
    """Return the card of the model that a run file names: an installed one, or a trusted one.

    A run file may come from anybody, so a `package.module:card` in it is never imported. `trusted`
    is what `load_trusted_cards` returns. Raises IsbenchError for any other name.
    """
    if isinstance(name, str) and name in trusted:
        return trusted[name]
    if not isinstance(name, str) or ":" in name:
        raise IsbenchError(
            f"the run file names the model {name!r}, which is not installed, and code that a file "
            "names is not imported; install the model's package, or pass its package.module:card "
            "as a trusted model if you trust the code",
            setting="trust_model",
        )
    try:
        return _import_card(find_entry_point(MODELS, name))
    except IsbenchError as error:
        if name in list_model_names():
            raise
        raise IsbenchError(
            f"{error}; install its package, or pass its package.module:card as a trusted model",
            setting="trust_model",
        ) from error


def load_trusted_cards(names: Iterable[str]) -> dict[str, ModelCard]:
    """Return the cards of `package.module:card` names, by these and by the names on the cards.

    An installed model keeps its name. Raises IsbenchError for another name, and for a card that
    cannot be imported.
    """
    cards: dict[str, ModelCard] = {}
    for name in names:
        if ":" not in name:
            raise IsbenchError(
                f"trusted model is {name!r}; wanted package.module:card: installed models need no "
                "trust",
                setting="trust_model",
            )
        card = load_card(name)
        cards[name] = card
        if card.name not in list_model_names():
            cards[card.name] = card
    return cards


def parse_options(card: ModelCard, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return all options of a card, with the given ones set.

    A text is parsed to the type of the option's default. Raises IsbenchError for an unknown option
    and for a value of another type.
    """
    values = dict(card.options)
    for key, value in given.items():
        if key not in values:
            if not values:
                message = f"model {card.name} has no options, but got {key}={value}"
                raise IsbenchError(message, setting="options")
            raise make_unknown_error(f"option of {card.name}", key, values, "options")
        what = f"option {key} of {card.name}"
        values[key] = parse_option(what, value, values[key], "options")
    return values


# what the mappings of a card have by name
_MAPPINGS: Mapping[str, type] = {
    "options": object,
    "meanings": str,
    "weights": File,
    "bundled": Path,
    "libraries": str,
    "added_options": object,
}
_KINDS: Mapping[type, str] = {str: "a text", File: "a File", Path: "a Path"}


def check_card(model: ModelCard) -> None:
    """Raise IsbenchError for a card whose name, version, options or weights are ambiguous."""
    check_name_and_version(MODELS, model.name, model.version)
    _check_fields(model)
    for key, value in model.options.items():
        if not isinstance(key, str) or not is_recordable(value):
            raise IsbenchError(
                f"option {key} of {model.name} is {value!r}; wanted on or off, a finite number or "
                "a string, so that it can be recorded"
            )
    _check_weight_names(model)
    if unlisted := [key for key in model.added_options if key not in model.options]:
        raise IsbenchError(
            f"added option {unlisted[0]} of {model.name} is not one of its options; wanted it in "
            "both"
        )


def _check_fields(model: ModelCard) -> None:
    """Raise IsbenchError for a field of another type than the card declares."""
    for name in ("bundled_terms", "unreleased", "summary", "source", "licence", "restriction"):
        value = getattr(model, name)
        if not isinstance(value, str):
            raise IsbenchError(f"{name} of {model.name} is {value!r}; wanted a text")
    for name, kind in _MAPPINGS.items():
        value = getattr(model, name)
        if not isinstance(value, Mapping):
            raise IsbenchError(f"{name} of {model.name} is {value!r}; wanted a mapping by name")
        for key, one in value.items():
            if not isinstance(key, str) or not isinstance(one, kind):
                raise IsbenchError(
                    f"{name} of {model.name} has {key!r}: {one!r}; wanted a name and "
                    f"{_KINDS.get(kind, 'a value')}"
                )


def _check_weight_names(model: ModelCard) -> None:
    if twice := set(model.bundled).intersection(model.weights):
        raise IsbenchError(
            f"weights {min(twice)} of {model.name} are both bundled and published; wanted two names"
        )
    if RANDOM in (*model.bundled, *model.weights):
        raise IsbenchError(
            f"weights of {model.name} are named 'random', which stands for an untrained network; "
            "wanted another name"
        )


def check_libraries(card: ModelCard) -> None:
    """Raise IsbenchError, with the remedy, for a library on the card that is not installed."""
    if missing := describe_missing_library(card):
        raise IsbenchError(f"model {card.name} {missing}")


def describe_missing_library(card: ModelCard) -> str:
    """Return which library of a model is not installed and how to install it, "" if none is."""
    missing = next((name for name, version in card.libraries.items() if not version), None)
    return "" if missing is None else f"needs {describe_missing(missing, find_package(card))}"


def describe_restriction(card: ModelCard) -> str:
    """Return what the licence of a model does not allow, "" if it allows every use."""
    if not card.restriction:
        return ""
    licence = f" ({card.licence})" if card.licence not in ("", card.restriction) else ""
    return f"{card.name}: {card.restriction}{licence}"


def find_package(card: ModelCard) -> str:
    """Return the package that installs a model, "" for one that is named by its module."""
    return find_package_of(MODELS, card.place)


def _find_card(name: str) -> EntryPoint:
    """Return the entry point of an installed model, or one for `package.module:card`."""
    if ":" not in name:
        return find_entry_point(MODELS, name)
    if not re.fullmatch(r"[\w.]+:[\w.]+", name):
        raise IsbenchError(f"model {name!r}; wanted a name or package.module:card")
    cwd = str(Path.cwd())  # console scripts do not search the current folder
    if cwd not in sys.path:
        sys.path.insert(0, cwd)
    return EntryPoint(name, name, MODELS.name)


def _import_card(point: EntryPoint) -> ModelCard:
    card = import_object(MODELS, point)
    check_card(card)
    if ":" not in point.name:
        check_same_name(MODELS, point.name, card)
    return replace(card, place=point.value)
