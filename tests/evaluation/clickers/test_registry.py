"""Clickers by name and parameters: what is read, what is the same, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.evaluation.clickers.registry import make_clicker, parse_clicker

pytestmark = pytest.mark.usefixtures("strange_clickers")


@pytest.mark.parametrize("name", ["centre", "largest", "random"])
def test_a_clicker_without_parameters_is_its_name(name: str) -> None:
    assert parse_clicker(name).text == name


@pytest.mark.parametrize(
    "text",
    [
        "jitter",
        "jitter:2",
        "jitter:2.0",
        "jitter:2e0",
        "jitter: 2 , off",
        "jitter:sigma=2",
        "jitter:2,no",
        "jitter:first=off",
        "jitter:first=off,sigma=2",
        "jitter:first=0,2",
    ],
)
def test_equal_meanings_are_one_text(text: str) -> None:
    assert parse_clicker(text).text == "jitter:sigma=2.0,first=off"


@pytest.mark.parametrize("text", ["jitter:3,first", "jitter:first,3", "jitter:3,first=on"])
def test_a_boolean_that_is_named_alone_is_on(text: str) -> None:
    assert parse_clicker(text).parameters == {"sigma": 3.0, "first": True}


def test_minus_zero_is_zero() -> None:
    assert parse_clicker("jitter:-0.0").text == parse_clicker("jitter:0").text


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("grouped:3/10", {"share": "3/10", "count": 5}),
        ("grouped:3/10,7", {"share": "3/10", "count": 7}),
        ("grouped:share=a=b:c", {"share": "a=b:c", "count": 5}),
        ("grouped:", {"share": "", "count": 5}),
    ],
)
def test_strings_are_taken_as_they_are(text: str, values: dict[str, object]) -> None:
    assert parse_clicker(text).parameters == values


@given(sigma=st.floats(allow_nan=False, allow_infinity=False), first=st.booleans())
def test_the_canonical_text_means_itself(sigma: float, first: bool) -> None:
    text = parse_clicker(f"jitter:{sigma!r},{'on' if first else 'off'}").text
    assert parse_clicker(text).text == text
    assert parse_clicker(text).parameters == {"sigma": sigma, "first": first}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("center", "no clicker named 'center'; did you mean centre"),
        ("jiter:2", "no clicker named 'jiter'; did you mean jitter"),
        ("", "no clicker named ''"),
        ("jitter:sigm=2", "no parameter of clicker jitter named 'sigm'; did you mean sigma"),
        ("jitter:2,on,5", r"has 2 parameters \(sigma, first\), but got one more value: '5'"),
        ("jitter:wide", "parameter sigma of clicker jitter is 'wide'; wanted a number"),
        ("jitter:", "parameter sigma of clicker jitter is ''; wanted a number"),
        ("jitter:nan", "parameter sigma of clicker jitter is 'nan'; wanted a finite number"),
        ("jitter:2,maybe", "parameter first of clicker jitter is 'maybe'; wanted on or off"),
        ("jitter:2,sigma=3", "parameter sigma of clicker jitter is given twice"),
        ("grouped:3/10,2.5", "parameter count of clicker grouped is '2.5'; wanted a whole number"),
        ("centre:2", "clicker centre has no parameters, but got '2'"),
        ("centre:a=2", "clicker centre has no parameters, but got 'a=2'"),
        ("centre:", "clicker centre has no parameters, but got ''"),
        ("misnamed", "clicker 'misnamed' is named 'other-name'; wanted the same name"),
        ("no-version", "clicker no-version has version ''"),
        ("comma", "parameter word of clicker comma is 'a,b'; wanted a string without commas"),
        ("endless", "parameter size of clicker endless is inf"),
        ("spaced", "parameter a b of clicker spaced is 1; wanted a name"),
    ],
)
def test_a_text_that_means_no_clicker_is_refused(text: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        parse_clicker(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "jitter:-1",
            "clicker jitter:sigma=-1.0,first=off cannot be made: ValueError: sigma is below 0",
        ),
        ("function-less", "clicker function-less is made as a int; wanted a function"),
    ],
)
def test_a_clicker_that_cannot_be_made_is_named_with_its_parameters(text: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        make_clicker(text)
