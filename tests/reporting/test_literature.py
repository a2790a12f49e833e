"""The registry of published figures: every row is well-formed, found by name, and kept apart."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from isbench import list_published
from isbench.datasets.registry import list_dataset_names
from isbench.errors import IsbenchError
from isbench.reporting.literature import (
    FILTERS,
    find_contradictions,
    list_names,
    parse_published,
    read_published,
)

HEAD = "system,backbone,training,dataset,metric,value,source\n"
LINE = "A,r50,SBD,davis,noc@90,6.10,a paper\n"


def test_every_published_figure_is_well_formed() -> None:
    figures = read_published()  # raises for a row that is not
    assert len(figures) == 939
    assert all(figure.source and figure.value >= 0 for figure in figures)
    usual = [one for one in figures if re.fullmatch(r"noc@\d\d", one.metric)]
    assert len(usual) > 700
    assert all(1 <= figure.value <= 20 for figure in usual)


def test_names_of_data_sets_that_isbench_has_are_those_of_isbench() -> None:
    names = {figure.dataset_name for figure in read_published()}
    assert {"grabcut", "berkeley", "davis", "sbd", "coco-mval", "voc-val"} <= names
    assert {"coco-mval", "voc-val"} <= {*list_dataset_names()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("system,value\n", "start with"),
        (HEAD + "A,r50,SBD,davis,noc@90,6.10\n", "line 2 .* has 6 cells; wanted 7"),
        (HEAD + LINE + ",r50,SBD,davis,noc@90,6.10,a paper\n", "line 3 .* has no system"),
        (HEAD + LINE.replace("6.10", ""), "line 2 .* has no printed"),
        (HEAD + LINE.replace("a paper", ""), "line 2 .* has no source"),
        (HEAD + LINE.replace("6.10", "six"), "line 2 .* has the value 'six'; wanted a number"),
        (HEAD + LINE.replace("6.10", "nan"), "line 2 .* has the value 'nan'; wanted a number"),
        (HEAD + LINE.replace("r50", " r50"), "line 2 .* spaces around a cell"),
        (HEAD + LINE + LINE, "lines 2 and 3 .* are the same"),
    ],
)
def test_a_row_that_is_not_well_formed_is_refused(text: str, said: str) -> None:
    with pytest.raises(IsbenchError, match=said):
        parse_published(text)


def test_filters_keep_exactly_what_they_name() -> None:
    def fold(name: str) -> str:
        return re.sub("[ _-]", "", name.lower())

    for name in FILTERS:
        counts = Counter(fold(getattr(figure, name)) for figure in read_published())
        for value in {getattr(figure, name) for figure in read_published()}:
            found = list_published(**{name: value})
            assert len(found) == counts[fold(value)]
            assert {fold(getattr(figure, name)) for figure in found} == {fold(value)}
    both = list_published(system=["RITM", "CDNet"], dataset="davis", metric="noc@90")
    assert {figure.system for figure in both} == {"RITM", "CDNet"}
    assert {figure.key[3:] for figure in both} == {("davis", "noc@90")}


def test_names_are_found_in_any_case_and_data_sets_by_the_names_of_isbench() -> None:
    assert list_published(system="simpleclick") == list_published(system="SimpleClick")
    assert list_published(dataset="coco-mval") == list_published(dataset="coco_mval")
    assert list_published(dataset="voc-val") == list_published(dataset="pascalvoc")
    both = list_published(system="sam_2")
    assert {figure.system for figure in both} == {"SAM 2", "SAM2"}
    assert list_published(system="SAM2") == both


@pytest.mark.parametrize(
    ("asked", "said", "setting"),
    [
        ({"system": "SimplClick"}, "did you mean SimpleClick?", "system"),
        ({"metric": "noc@91"}, "no published metric named 'noc@91'; did you mean", "metric"),
        ({"dataset": "xyz"}, "no published dataset named 'xyz'; available", "dataset"),
        ({"system": "MFP", "dataset": "tetris"}, "MFP has the dataset tetris; .*: berk", "dataset"),
    ],
)
def test_a_name_that_no_figure_has_is_an_error(
    asked: dict[str, str], said: str, setting: str
) -> None:
    with pytest.raises(IsbenchError, match=said) as raised:
        list_published(**asked)
    assert raised.value.setting == setting


def test_contradictions_are_other_values_for_the_same_figure_only() -> None:
    same = LINE.replace("6.10", "6.1").replace("a paper", "a page")
    other = LINE.replace("6.10", "6.2").replace("a paper", "a talk")
    elsewhere = other.replace("davis", "sbd")
    assert find_contradictions(parse_published(HEAD + LINE + same + elsewhere)) == {}
    figures = parse_published(HEAD + LINE + same + other + elsewhere)
    assert find_contradictions(figures) == {figures[0].identity: figures[:3]}
    respelt = parse_published(HEAD + LINE + other.replace("r50", "R-50"))
    assert [*find_contradictions(respelt).values()] == [respelt]
    found = find_contradictions(read_published())
    keys = [members[0].key for members in found.values()]
    assert {(key[0], key[1], *key[3:]) for key in keys} == {
        ("FocalClick-S1", "hrnet18s", "grabcut", "noc@90"),
        ("FocalClick-S2", "hrnet18s", "berkeley", "noc@90"),
        ("FocalClick-S2", "hrnet18s", "davis", "noc@90"),
        ("FocalClick-S2", "hrnet32", "sbd", "noc@90"),
    }


def test_list_names_has_no_blank() -> None:
    assert "" not in list_names("backbone")
    assert list(list_names("system")) == sorted(list_names("system"))
