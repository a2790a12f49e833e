"""Clickers by name and parameters, as in "jitter:2": found through entry points, made from text.

Not here: which clicker a preset uses (`isbench.protocol`), and what a clicker may do (`contract`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from isbench.errors import IsbenchError, make_unknown_error
from isbench.evaluation.clickers.contract import ask_clicker
from isbench.extensions import Group, check_name_and_version, list_names, load_named, name_errors
from isbench.options import format_option, is_recordable, parse_option
from isbench.types import Clicker, ClickInput, Proposal, Scalar

CLICKERS = Group("isbench.clickers", "clicker", Clicker)


@dataclass(frozen=True)
class ChosenClicker:
    """A clicker and a value for each of its parameters."""

    card: Clicker
    parameters: Mapping[str, Scalar]

    @property
    def text(self) -> str:
        """Return the canonical text, such as "jitter:sigma=2.0,first=off": the same for equals."""
        if not self.parameters:
            return self.card.name
        values = (f"{key}={format_option(value)}" for key, value in self.parameters.items())
        return f"{self.card.name}:{','.join(values)}"


def list_clicker_names() -> tuple[str, ...]:
    """Return the names of all installed clickers, sorted, without importing them."""
    return list_names(CLICKERS)


def load_clicker(name: str) -> Clicker:
    """Return the card of an installed clicker.

    Raises IsbenchError for an unknown name, a module that fails to import, or an invalid card.
    """
    return load_named(CLICKERS, name, check_card)


def parse_clicker(text: str) -> ChosenClicker:
    """Return the clicker that a text such as "jitter:2,first" names.

    A value without a name belongs to the next parameter in the card's order, unless it is the name
    of a boolean parameter, which turns that on, or ends in "%" and the card has a parameter
    `percent`, which it then is. Raises IsbenchError for an unknown clicker, unknown or repeated
    parameters, too many values, values of the wrong type, and those that the card refuses.
    """
    name, colon, values = text.partition(":")
    card = load_clicker(name)
    given = _parse_parameters(card, values.split(",")) if colon else {}
    parameters = {**card.parameters, **given}
    if card.normalise is not None:
        with name_errors(f"clicker {text} cannot be made"):
            parameters = dict(card.normalise(parameters))
    return ChosenClicker(card, parameters)


def check_stochastic(text: str, seeds: int) -> None:
    """Raise IsbenchError if several seeds would give the same games with this clicker."""
    card = parse_clicker(text).card
    if seeds > 1 and not card.stochastic:
        raise IsbenchError(
            f"seeds is {seeds}, but the clicker {card.name} draws no random numbers: every seed "
            "gives the same games; wanted 1, or a stochastic clicker such as human",
            setting="seeds",
        )


@cache  # looking up an entry point takes milliseconds, and a clicker keeps no state
def make_clicker(text: str) -> Callable[[ClickInput], Proposal]:
    """Return the function that clicks for a text such as "jitter:2"; its proposals are checked.

    Raises IsbenchError for a text that `parse_clicker` refuses, or a clicker that cannot be made.
    """
    return make_function(parse_clicker(text))


def make_function(clicker: ChosenClicker) -> Callable[[ClickInput], Proposal]:
    """Return the function that clicks, checked; raises IsbenchError if it cannot be made."""
    with name_errors(f"clicker {clicker.text} cannot be made"):
        function = clicker.card.make(**clicker.parameters)
    if not callable(function):
        raise IsbenchError(
            f"clicker {clicker.text} is made as a {type(function).__name__}; wanted a function "
            "from an isbench.ClickInput to an isbench.Click"
        )
    most = None if clicker.card.sees_answers else 1
    return partial(ask_clicker, clicker.text, function, most=most)


def check_card(card: Clicker) -> None:
    """Raise IsbenchError for a card whose name, version or parameters cannot be recorded."""
    check_name_and_version(CLICKERS, card.name, card.version)
    for key, value in card.parameters.items():
        if not isinstance(key, str) or not key.isidentifier() or not is_recordable(value):
            raise IsbenchError(
                f"parameter {key} of clicker {card.name} is {value!r}; wanted a name, and on or "
                "off, a finite number or a string"
            )
        if isinstance(value, str) and ("," in value or value != value.strip()):
            raise IsbenchError(
                f"parameter {key} of clicker {card.name} is {value!r}; wanted a string without "
                "commas and outer spaces, as it is written in a list"
            )


def _parse_parameters(card: Clicker, words: Sequence[str]) -> dict[str, Scalar]:
    """Return the values that are given, by name."""
    values: dict[str, Scalar] = {}
    in_order = iter(card.parameters)
    for word in words:
        key, text = _split_word(card, word.strip()) or (next(in_order, None), word)
        if key is None:
            raise IsbenchError(_describe_surplus(card, word), setting="clicker")
        if key in values:
            message = f"parameter {key} of clicker {card.name} is given twice"
            raise IsbenchError(message, setting="clicker")
        what = f"parameter {key} of clicker {card.name}"
        values[key] = parse_option(what, text.strip(), card.parameters[key], "clicker")
    return values


def _split_word(card: Clicker, word: str) -> tuple[str, str] | None:
    """Return the parameter and its value if the word names it, None for a value alone."""
    key, equals, text = word.partition("=")
    if equals and key in card.parameters:
        return key, text
    if equals and card.parameters:
        raise make_unknown_error(
            f"parameter of clicker {card.name}", key, card.parameters, "clicker"
        )
    if word.endswith("%") and "percent" in card.parameters:
        return "percent", word[:-1]
    return (word, "on") if isinstance(card.parameters.get(word), bool) else None


def _describe_surplus(card: Clicker, word: str) -> str:
    if not card.parameters:
        return f"clicker {card.name} has no parameters, but got {word!r}"
    return (
        f"clicker {card.name} has {len(card.parameters)} parameters "
        f"({', '.join(card.parameters)}), but got one more value: {word!r}"
    )
