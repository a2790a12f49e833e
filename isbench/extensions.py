"""Objects that packages add by entry point: models, clickers, data sets, metrics, papers.

An extension is loaded when it is named; nothing is imported to list names.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Generic, Protocol, TypeVar

from isbench.errors import IsbenchError, describe_exception, make_unknown_error
from isbench.extras import describe_missing

T = TypeVar("T")


class Named(Protocol):
    """An extension that has a name of its own, which is recorded."""

    @property
    def name(self) -> str:
        """Return the name."""


N = TypeVar("N", bound=Named)


@contextmanager
def name_errors(what: str) -> Iterator[None]:
    """Turn any exception of third-party code into an IsbenchError that begins with `what`.

    A ValueError is about a value of the user's, so that its text is enough.
    """
    try:
        yield
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        own = type(error) is ValueError and str(error)
        raise IsbenchError(f"{what}: {own or describe_exception(error)}") from error


@dataclass(frozen=True)
class Group(Generic[T]):
    """A kind of extension: its entry-point group, its noun in messages, and its type."""

    name: str  # such as "isbench.models"
    noun: str  # such as "model"
    kind: type[T]


def list_names(group: Group[T]) -> tuple[str, ...]:
    """Return the names of all installed extensions of a group, sorted, without importing them."""
    return tuple(sorted({point.name for point in _list_points(group)}))


def list_own_names(group: Group[T]) -> tuple[str, ...]:
    """Return the names of the extensions that are installed with isbench itself, sorted."""
    points = _list_points(group)
    own = {point.name for point in points if point.dist and point.dist.name == "isbench"}
    return tuple(sorted(own))


def _list_points(group: Group[T]) -> EntryPoints:
    return _read_points(group.name, tuple(sys.path))


@lru_cache(maxsize=32)  # reads the metadata of every installed package, which takes milliseconds
def _read_points(group: str, path: tuple[str, ...]) -> EntryPoints:
    """Return the entry points of a group, of all packages on the path."""
    return entry_points(group=group)


def find_package_of(group: Group[T], value: str) -> str:
    """Return the package that installs the object `module:attribute`, "" if none does."""
    points = (point for point in _list_points(group) if point.value == value and point.dist)
    return next((point.dist.name for point in points if point.dist), "")


def find_entry_point(group: Group[T], name: str) -> EntryPoint:
    """Return the entry point of a name; raises IsbenchError if none or several have it."""
    # an editable install may list a package twice
    places = {point.value: point for point in _list_points(group) if point.name == name}
    if not places:
        raise make_unknown_error(group.noun, name, list_names(group), group.noun.replace(" ", ""))
    if len(places) > 1:
        raise IsbenchError(
            f"two {group.noun}s named {name!r}: {' and '.join(sorted(places))}; uninstall one"
        )
    return next(iter(places.values()))


def load_extension(group: Group[T], name: str, check: Callable[[T], None] | None = None) -> T:
    """Return an installed extension by name.

    Raises IsbenchError for an unknown or ambiguous name, a module that cannot be imported, an
    object of another type, and whatever `check` raises for the object.
    """
    loaded = import_object(group, find_entry_point(group, name))
    if check is not None:
        check(loaded)
    return loaded


def load_named(group: Group[N], name: str, check: Callable[[N], None] | None = None) -> N:
    """Return an installed extension like `load_extension`, whose own name must be the same."""
    loaded = load_extension(group, name, check)
    check_same_name(group, name, loaded)
    return loaded


def import_object(group: Group[T], point: EntryPoint) -> T:
    """Return the object of an entry point; raises IsbenchError if it is not what it should be."""
    try:
        loaded = importlib.import_module(point.module)
        for attribute in point.attr.split("."):
            loaded = getattr(loaded, attribute)
    except IsbenchError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        what = f"{group.noun} {point.name!r} ({point.value})"
        missing = _find_missing_library(error, point)
        if missing:
            package = "" if point.dist is None else point.dist.name
            raise IsbenchError(f"{what} needs {describe_missing(missing, package)}") from error
        remedy = "fix or uninstall it" if point.dist else "fix it, or name another"
        raise IsbenchError(
            f"{what} cannot be imported: {describe_exception(error)}; {remedy}"
        ) from error
    if not isinstance(loaded, group.kind):
        raise IsbenchError(
            f"{point.value} is a {type(loaded).__name__}; wanted an isbench.{group.kind.__name__}"
        )
    return loaded


def _find_missing_library(error: BaseException, point: EntryPoint) -> str:
    """Return the library that an import lacks, "" for another error or the extension's own code."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    own = point.module.partition(".")[0]
    return "" if error.name.partition(".")[0] == own else error.name


def check_same_name(group: Group[N], name: str, loaded: N) -> None:
    """Raise IsbenchError unless an extension has the name of its entry point."""
    if loaded.name != name:
        raise IsbenchError(
            f"{group.noun} {name!r} is named {loaded.name!r}; wanted the same name: change one"
        )


def check_name_and_version(group: Group[T], name: object, version: object) -> None:
    """Raise IsbenchError for a card's name or version that cannot be recorded."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
        raise IsbenchError(
            f"a {group.noun} is named {name!r}; wanted letters, digits, '.', '+', '-' and '_' only"
        )
    if not isinstance(version, str) or not version:
        raise IsbenchError(
            f"{group.noun} {name} has version {version!r}; wanted a string such as '1'"
        )
