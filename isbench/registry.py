"""Models by name: ours and strangers' through the same entry points, or `package.module:card`."""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError, unknown
from isbench.types import Model, Scalar

GROUP = "isbench.models"
# how a switch is typed, in options and in recipes
SWITCHES = {"on": True, "true": True, "yes": True, "1": True} | {
    "off": False, "false": False, "no": False, "0": False
}  # fmt: skip
_NETWORKS = "isbench.nn"


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


def check_card(model: Model) -> None:
    """Raise IsbenchError for a card whose name or options could not be recorded."""
    if not isinstance(model.name, str) or not re.fullmatch(r"[\w.+-]+", model.name):
        raise IsbenchError(
            f"a model is named {model.name!r}; wanted letters, digits, '.', '+', '-' and '_' only"
        )
    for key, value in model.options.items():
        finite = isinstance(value, (bool, int, str)) or (
            isinstance(value, float) and math.isfinite(value)
        )
        if not isinstance(key, str) or not finite:
            raise IsbenchError(
                f"option {key} of {model.name} is {value!r}; wanted on or off, a finite number or "
                "a text, so that it can be recorded"
            )


def source_of(model: Model) -> tuple[str, str | None]:
    """Return the module that builds a model and a digest of its code, None if it has no file.

    Of a network the digest covers the modules that one imports as well, those of its own package
    and of `isbench.nn`. Comments, docstrings and layout are left out: they decide no mask.
    """
    build: Any = model.build
    while isinstance(build, partial):
        build = build.func
    name = getattr(build, "__module__", None) or type(build).__module__
    tree = _code(name)
    if tree is None:
        return name, None
    if model.network is None:
        return name, _digest([tree])
    packages = {name.partition(".")[0], _NETWORKS} - {"isbench"}
    trees, waiting = {name: tree}, [tree]
    while waiting:
        for module in _imports(waiting.pop()):
            ours = any(f"{module}.".startswith(f"{package}.") for package in packages)
            if ours and module not in trees and (found := _code(module)) is not None:
                trees[module] = found
                waiting.append(found)
    return name, _digest([trees[module] for module in sorted(trees)])


def _code(module: str) -> ast.Module | None:
    """Return the code of an imported module without its docstrings, None if it has no file."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _imports(tree: ast.Module) -> set[str]:
    """Return what a module imports by name, be it modules or what is in them."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _digest(trees: Sequence[ast.Module]) -> str:
    return sha256("\n".join(map(ast.unparse, trees)).encode()).hexdigest()[:12]


def _point(name: str) -> EntryPoint:
    installed = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    if ":" in name:
        if not re.fullmatch(r"[\w.]+:[\w.]+", name):
            raise IsbenchError(f"model {name!r}; wanted a name or package.module:card")
        here = str(Path.cwd())  # a console script looks where it is installed only
        if here not in sys.path:
            sys.path.insert(0, here)
        return EntryPoint(name, name, GROUP)
    found = [point for (known, _), point in installed.items() if known == name]
    if not found:
        raise unknown("model", name, model_names())
    if len(found) > 1:
        places = " and ".join(sorted(point.value for point in found))
        raise IsbenchError(
            f"two models named {name!r}: {places}; uninstall one, or name it as package.module:card"
        )
    return found[0]


def _imported(point: EntryPoint) -> Model:
    try:
        card = importlib.import_module(point.module)
        for attribute in point.attr.split("."):
            card = getattr(card, attribute)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything
        raise IsbenchError(
            f"model {point.name!r} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; mend or uninstall it"
        ) from error
    if not isinstance(card, Model):
        raise IsbenchError(f"{point.value} is a {type(card).__name__}; wanted an isbench.Model")
    check_card(card)
    card = replace(card, place=point.value)
    if ":" not in point.name and card.name != point.name:
        raise IsbenchError(
            f"model {point.name!r} ({point.value}) has a card named {card.name!r}; wanted one name"
        )
    return card


def _parsed(model: str, key: str, text: str, default: Scalar) -> Scalar:
    """Return the text as a value of the default's kind."""
    if isinstance(default, bool):
        if text.lower() not in SWITCHES:
            raise IsbenchError(f"option {key} of {model} is {text!r}; wanted on or off")
        return SWITCHES[text.lower()]
    try:
        return type(default)(text)
    except ValueError:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise IsbenchError(f"option {key} of {model} is {text!r}; wanted {kind}") from None
