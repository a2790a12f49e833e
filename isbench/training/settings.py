"""Recipe settings from text, parsed to the type of the default, and the model to train with them.

No disk, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import Any

from isbench.errors import IsbenchError, make_unknown_error
from isbench.models.registry import list_model_names, load_card, parse_options
from isbench.options import SWITCHES, format_option
from isbench.training.recipe import Crop, Range, Recipe, Weighted, check_recipe, with_length
from isbench.types import LoadedModel, ModelCard, Scalar


def choose_recipe(
    model: LoadedModel | ModelCard | str,
    recipe: Recipe | None = None,
    settings: Mapping[str, Scalar] = MappingProxyType({}),
) -> LoadedModel:
    """Return the model to train: its card with the recipe, and its options, both with the settings.

    Parameters
    ----------
    model : LoadedModel, ModelCard or str
        A model, a card or the name of one.
    recipe : Recipe or None
        None: the recipe on the card.
    settings : mapping
        Values by name, also as text: the options of the model, and settings of the recipe as in
        `with_settings`.

    Raises
    ------
    IsbenchError
        For a model without a recipe, and for unknown or invalid settings.
    """
    if isinstance(model, str):
        model = load_card(model)
    card, options = (model.card, model.options) if isinstance(model, LoadedModel) else (model, {})
    recipe = card.recipe if recipe is None else recipe
    if not isinstance(recipe, Recipe):
        raise IsbenchError(f"model {card.name} has no recipe; models with one: {_list_recipes()}")
    of_model = {key: value for key, value in settings.items() if key in card.options}
    texts = {key: format_option(value) for key, value in settings.items() if key not in of_model}
    chosen = replace(card, recipe=with_settings(recipe, texts))
    return LoadedModel(chosen, parse_options(card, {**options, **of_model}))


def with_settings(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """Return the recipe with values set from text; nested keys are written `augmentation.whole`.

    Crops are written `128x128,192x192@0.4`, multipliers and shares `name:0.1,other:1`, ranges
    `0.75,1.4`, milestones `100,115`. Setting `steps` or `epochs` sets the other to 0 and rescales
    the milestones unless they are set too. Raises IsbenchError for an unknown key, a value of the
    wrong type, or an invalid recipe.
    """
    length_keys = [key for key in ("steps", "epochs") if key in settings]
    if len(length_keys) == 1:
        (key,) = length_keys
        recipe = with_length(
            recipe, **{key: getattr(_with_setting(recipe, key, settings[key]), key)}
        )
    for key, text in settings.items():
        recipe = _with_setting(recipe, key, text)
    check_recipe(recipe)
    return recipe


def list_settings(recipe: Recipe) -> dict[str, Any]:
    """Return all settings of a recipe by key, with their values."""
    settings: dict[str, Any] = {}
    for one in fields(recipe):
        value = getattr(recipe, one.name)
        if is_dataclass(value) and not isinstance(value, Range):
            inner = {name.name: getattr(value, name.name) for name in fields(value)}
            settings |= {f"{one.name}.{name}": number for name, number in inner.items()}
        else:
            settings[one.name] = value
    return settings


def _list_recipes() -> str:
    names = []
    for name in list_model_names():
        try:
            names += [name] if isinstance(load_card(name).recipe, Recipe) else []
        except IsbenchError:
            continue  # the package is broken: `isbench doctor` shows the error
    return ", ".join(names) or "none"


def _with_setting(recipe: Recipe, key: str, text: str) -> Recipe:
    defaults = list_settings(recipe)
    if key not in defaults:
        raise make_unknown_error("setting of a recipe", key, defaults, "settings")
    try:
        # of the type that a setting has by default: a recipe may have 8 where 8.5 fits too
        value = _parse_value(text, key, list_settings(Recipe())[key])
    except ValueError as error:
        message = f"setting {key} is {text!r}; wanted {error}"
        raise IsbenchError(message, setting="settings") from None
    part, separator, name = key.partition(".")
    if not separator:
        return replace(recipe, **{key: value})
    return replace(recipe, **{part: replace(getattr(recipe, part), **{name: value})})


def _parse_value(text: str, key: str, default: Any) -> Any:
    """Parse a value; raises ValueError with a description of what was wanted."""
    if isinstance(default, bool):
        if text.lower() not in SWITCHES:
            raise ValueError("on or off")
        return SWITCHES[text.lower()]
    if key == "crops":
        return tuple(_parse_crop(word) for word in text.split(","))
    if key == "milestones":
        return tuple(_parse_number(word, int) for word in text.split(",") if word)
    if isinstance(default, Range):
        words = text.split(",")
        if len(words) != 2:
            raise ValueError("two numbers, low,high")
        return Range(*(_parse_number(word, float) for word in words))
    if isinstance(default, tuple):
        return tuple(_parse_weighted(word) for word in text.split(",") if word)
    return text if isinstance(default, str) else _parse_number(text, type(default))


def _parse_number(text: str, kind: type[Any]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise ValueError("a whole number" if kind is int else "a number") from None
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("a finite number")
    return value


def _parse_crop(text: str) -> Crop:
    size, _, start = text.partition("@")
    rows, separator, cols = size.partition("x")
    if not separator:
        raise ValueError("ROWSxCOLS, or several with @START such as 128x128,192x192@0.4")
    return Crop(
        _parse_number(rows, int), _parse_number(cols, int), _parse_number(start or "0", float)
    )


def _parse_weighted(text: str) -> Weighted:
    name, separator, factor = text.rpartition(":")
    if not separator:
        raise ValueError("NAME:FACTOR, several separated by commas")
    return Weighted(name, _parse_number(factor, float))
