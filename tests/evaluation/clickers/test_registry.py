"""Clickers by name and parameters: what is read, what is the same, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isbench.errors import IsbenchError
from isbench.evaluation.clickers.registry import make_clicker, parse_clicker

pytestmark = pytest.mark.usefixtures("third_party_clickers")


@pytest.mark.parametrize("name", ["centre", "largest", "random"])
def test_a_clicker_without_parameters_is_its_name(name: str) -> None:
    assert parse_clicker(name).text == name


@pytest.mark.parametrize(
    "text",
    [
        "tremble",
        "tremble:2",
        "tremble:2.0",
        "tremble:2e0",
        "tremble: 2 , off",
        "tremble:sigma=2",
        "tremble:2,no",
        "tremble:first=off",
        "tremble:first=off,sigma=2",
        "tremble:first=0,2",
    ],
)
def test_equal_meanings_are_one_text(text: str) -> None:
    assert parse_clicker(text).text == "tremble:sigma=2.0,first=off"


@pytest.mark.parametrize("text", ["tremble:3,first", "tremble:first,3", "tremble:3,first=on"])
def test_a_boolean_that_is_named_alone_is_on(text: str) -> None:
    assert parse_clicker(text).parameters == {"sigma": 3.0, "first": True}


def test_minus_zero_is_zero() -> None:
    assert parse_clicker("tremble:-0.0").text == parse_clicker("tremble:0").text


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
    text = parse_clicker(f"tremble:{sigma!r},{'on' if first else 'off'}").text
    assert parse_clicker(text).text == text
    assert parse_clicker(text).parameters == {"sigma": sigma, "first": first}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("center", "no clicker named 'center'; did you mean centre"),
        ("trembl:2", "no clicker named 'trembl'; did you mean tremble"),
        ("", "no clicker named ''"),
        ("tremble:sigm=2", "no parameter of clicker tremble named 'sigm'; did you mean sigma"),
        ("tremble:2,on,5", r"has 2 parameters \(sigma, first\), but got one more value: '5'"),
        ("tremble:wide", "parameter sigma of clicker tremble is 'wide'; wanted a number"),
        ("tremble:", "parameter sigma of clicker tremble is ''; wanted a number"),
        ("tremble:nan", "parameter sigma of clicker tremble is 'nan'; wanted a finite number"),
        ("tremble:2,maybe", "parameter first of clicker tremble is 'maybe'; wanted on or off"),
        ("tremble:2,sigma=3", "parameter sigma of clicker tremble is given twice"),
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
            "tremble:-1",
            "clicker tremble:sigma=-1.0,first=off cannot be made: sigma is below 0",
        ),
        ("function-less", "clicker function-less is made as a int; wanted a function"),
    ],
)
def test_a_clicker_that_cannot_be_made_is_named_with_its_parameters(text: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        make_clicker(text)
