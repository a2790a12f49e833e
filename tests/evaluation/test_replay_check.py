"""How far games may stray from their record before it is a drift."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isbench.evaluation.replay_check import ReplayedGame, list_changes, list_excess
from isbench.types import Click, Rules, Trajectory
from tests.support import toys

RULES = Rules(10, 0.90)


def stray(game: Trajectory, at: int) -> Trajectory:
    """Return the game with other clicks from the one of this number on, the first being 0."""
    clicks = [click._replace(row=click.row + 50) for click in game.clicks[at:]]
    return replace(game, clicks=(*game.clicks[:at], *clicks))


def pair(before: list[float], now: list[float], strays_at: int = 1) -> ReplayedGame:
    """Return a game whose clicks stray at one, the first being 0."""
    return ReplayedGame(
        toys.trajectory("a#1", before), stray(toys.trajectory("a#1", now), strays_at)
    )


def test_games_that_go_alike_have_neither_changed_nor_strayed() -> None:
    game = toys.trajectory("a#1", [0.5, 0.95])
    nothing = replace(game, overlap=((0, 0), (0, 0)))  # no IoU at all
    for one in (game, nothing):
        games = [ReplayedGame(one, one)]
        assert list(list_changes(games)) == list(list_excess(games, RULES)) == []


def test_small_changes_are_reported_and_within_bounds() -> None:
    games = [pair([0.5, 0.8, 0.92], [0.51, 0.82, 0.89, 0.94])]
    assert len(list(list_changes(games))) == 1
    assert list(list_excess(games, RULES)) == []


def test_a_game_that_no_longer_ends_counts_with_the_whole_budget() -> None:
    games = [pair([0.5, 0.6, 0.91], [0.5, 0.6, *[0.89] * 8])]
    (drift,) = list_excess(games, RULES)
    assert drift == "NoC was 3.000 and is 10.000, off by more than 2"


def test_the_same_clicks_must_be_answered_alike_even_if_noc_is_the_same() -> None:
    (drift,) = list_excess([pair([0.5, 0.8, 0.95], [0.7, 0.8, 0.95])], RULES)
    assert "after the last shared click was 0.500 and is 0.700" in drift


def test_iou_after_the_last_click_of_both_is_bounded_even_if_noc_is_the_same() -> None:
    never = [0.5] * 10
    (drift,) = list_excess([pair(never, [*[0.5] * 9, 0.56])], RULES)
    assert "after the last click of both was 0.500 and is 0.560, off by more than 0.05" in drift


def test_bounds_are_for_the_mean_over_the_games() -> None:
    far, near = pair([0.5, 0.95], [0.58, 0.95]), pair([0.5, 0.95], [0.5, 0.95])
    assert list(list_excess([far], RULES))
    assert list(list_excess([far, near], RULES)) == []


@pytest.mark.parametrize("click", [Click(9, 9, True), Click(0, 0, False)])
def test_the_first_click_is_the_same_on_every_processor(click: Click) -> None:
    game = toys.trajectory("a#1", [0.5, 0.95])
    moved = replace(game, clicks=(click, *game.clicks[1:]))
    (drift,) = list_excess([ReplayedGame(game, moved)], RULES)
    assert drift.startswith("object a#1: click 1 was")
