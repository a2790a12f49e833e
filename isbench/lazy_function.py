"""A function that is imported when it is called, so that cards are read without its libraries."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from isbench.errors import IsbenchError


@dataclass(frozen=True)
class LazyFunction:
    """A function by name, and its first arguments; it is imported at every call.

    A picklable value; hashable if its arguments are. Raises IsbenchError for a malformed name when
    it is made, and for a module or attribute that does not exist when it is called. A library that
    the module lacks is a ModuleNotFoundError.
    """

    place: str  # "package.module:function"; a class is a function too
    arguments: tuple[Any, ...] = ()  # before those of a call

    def __post_init__(self) -> None:
        """Raise IsbenchError for a name of another form."""
        module, colon, name = self.place.partition(":")
        if not colon or not all(
            part.isidentifier() for part in (*module.split("."), *name.split("."))
        ):
            raise IsbenchError(f"function {self.place!r}; wanted package.module:function")

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Import the function and call it."""
        return self._load()(*self.arguments, *arguments, **keywords)

    @property
    def module(self) -> str:
        """Return the name of the function's module."""
        return self.place.partition(":")[0]

    def _load(self) -> Any:
        try:
            found: Any = import_module(self.module)
            for name in self.place.partition(":")[2].split("."):
                found = getattr(found, name)
        except ModuleNotFoundError as error:
            if not error.name or not f"{self.module}.".startswith(f"{error.name}."):
                raise  # a library that the module imports
            raise self._make_error(error) from error
        except AttributeError as error:
            raise self._make_error(error) from error
        return found

    def _make_error(self, error: Exception) -> IsbenchError:
        return IsbenchError(
            f"function {self.place!r} does not exist: {error}; wanted package.module:function"
        )
