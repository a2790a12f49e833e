"""Models by name: ours and strangers' through the same entry points, or `package.module:card`."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

from isbench.errors import IsbenchError, unknown
from isbench.types import Model, Scalar

GROUP = "isbench.models"


def model_names() -> tuple[str, ...]:
    """Return the names of every installed model, sorted, without importing any."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load_model(name: str, options: Mapping[str, str] | None = None) -> Model:
    """Return the card of a model, some of its options set from text.

    `name` is an installed one or `package.module:card`. Raises IsbenchError for an unknown name, a
    module that fails to import, a card that is none, an unknown option or a value of another kind.
    """
    card = _imported(_point(name))
    return with_options(card, options) if options else card


def with_options(model: Model, options: Mapping[str, str]) -> Model:
    """Return the card with options set from text, each of its default's kind."""
    chosen = dict(model.options)
    for key, text in options.items():
        if key not in chosen:
            if not chosen:
                raise IsbenchError(f"model {model.name} has no options; {key}={text} was given")
            raise unknown(f"option of {model.name}", key, chosen)
        chosen[key] = _parsed(model.name, key, text, chosen[key])
    return replace(model, options=chosen)


def _point(name: str) -> EntryPoint:
    if ":" in name:
        return EntryPoint(name, name, GROUP)
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise unknown("model", name, model_names())
    places = Counter(point.value for point in found)
    if len(places) > 1:
        raise IsbenchError(
            f"two models named {name!r}: {' and '.join(sorted(places))}; uninstall one, "
            "or name it as package.module:card"
        )
    return found[0]


def _imported(point: EntryPoint) -> Model:
    try:
        card = importlib.import_module(point.module)
        for attribute in point.attr.split("."):
            card = getattr(card, attribute)
    except IsbenchError:
        raise
    except Exception as error:  # a stranger's module may raise anything
        raise IsbenchError(
            f"model {point.name!r} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; mend or uninstall it"
        ) from error
    if not isinstance(card, Model):
        raise IsbenchError(f"{point.value} is a {type(card).__name__}; wanted an isbench.Model")
    return card


def _parsed(model: str, key: str, text: str, default: Scalar) -> Scalar:
    """Return the text as a value of the default's kind."""
    if isinstance(default, bool):
        words = {"on": True, "true": True, "yes": True, "1": True}
        words |= {"off": False, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise IsbenchError(f"option {key} of {model} is {text!r}; wanted on or off")
        return words[text.lower()]
    try:
        return type(default)(text)
    except ValueError:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise IsbenchError(f"option {key} of {model} is {text!r}; wanted {kind}") from None
