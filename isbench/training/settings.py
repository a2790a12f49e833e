"""Recipes changed by text, `key=value`, each value of its default's kind. No disk, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from isbench.errors import IsbenchError, unknown
from isbench.models.registry import SWITCHES
from isbench.training.recipe import Crop, Range, Recipe, Weighted, check_recipe, with_length


def with_settings(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """Return the recipe with values set from text, `views.whole` reaching into a part of it.

    Crops are written `128x128,192x192@0.4`, multipliers and shares `name:0.1,other:1`, ranges
    `0.75,1.4`, milestones `100,115`. Setting `steps` or `epochs` sets the other to 0, and moves the
    milestones along unless they are set too. Raises IsbenchError for an unknown key, a value of
    another kind, or a recipe that cannot be followed.
    """
    lengths = [key for key in ("steps", "epochs") if key in settings]
    if len(lengths) == 1:
        (key,) = lengths
        recipe = with_length(recipe, **{key: getattr(_with_one(recipe, key, settings[key]), key)})
    for key, text in settings.items():
        recipe = _with_one(recipe, key, text)
    check_recipe(recipe)
    return recipe


def list_settings(recipe: Recipe) -> dict[str, Any]:
    """Return every key that can be set, with its value."""
    found: dict[str, Any] = {}
    for one in fields(recipe):
        value = getattr(recipe, one.name)
        if is_dataclass(value) and not isinstance(value, Range):
            inner = {name.name: getattr(value, name.name) for name in fields(value)}
            found |= {f"{one.name}.{name}": number for name, number in inner.items()}
        else:
            found[one.name] = value
    return found


def _with_one(recipe: Recipe, key: str, text: str) -> Recipe:
    known = list_settings(recipe)
    if key not in known:
        raise unknown("setting of a recipe", key, known)
    try:
        value = _parsed(text, key, known[key])
    except ValueError as error:
        raise IsbenchError(f"setting {key} is {text!r}; wanted {error}") from None
    part, dot, name = key.partition(".")
    if not dot:
        return replace(recipe, **{key: value})
    return replace(recipe, **{part: replace(getattr(recipe, part), **{name: value})})


def _parsed(text: str, key: str, default: Any) -> Any:
    """Return the value; raises ValueError with what was wanted."""
    if isinstance(default, bool):
        if text.lower() not in SWITCHES:
            raise ValueError("on or off")
        return SWITCHES[text.lower()]
    if key == "crops":
        return tuple(_crop(word) for word in text.split(","))
    if key == "milestones":
        return tuple(_number(word, int) for word in text.split(",") if word)
    if isinstance(default, Range):
        words = text.split(",")
        if len(words) != 2:
            raise ValueError("two numbers, low,high")
        return Range(*(_number(word, float) for word in words))
    if isinstance(default, tuple):
        return tuple(_weighted(word) for word in text.split(",") if word)
    return text if isinstance(default, str) else _number(text, type(default))


def _number(text: str, kind: type[Any]) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError("a whole number" if kind is int else "a number") from None


def _crop(text: str) -> Crop:
    size, _, start = text.partition("@")
    rows, cross, cols = size.partition("x")
    if not cross:
        raise ValueError("ROWSxCOLS, or several with @START such as 128x128,192x192@0.4")
    return Crop(_number(rows, int), _number(cols, int), _number(start or "0", float))


def _weighted(text: str) -> Weighted:
    name, colon, factor = text.rpartition(":")
    if not colon:
        raise ValueError("NAME:FACTOR, several with commas between")
    return Weighted(name, _number(factor, float))
