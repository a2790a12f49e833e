"""The games of the demo: a model's answers to a person's clicks, kept so that undo is immediate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from isbench.evaluation.session import ObjectTurn, PredictorSession
from isbench.types import Click, Image, Mask, State, Turn

KEPT = 200_000_000  # most pixels of the masks of all games that are kept
GAMES = 16  # most games that are kept; each holds what the model computed of its image
_KEY = "of the demo"  # named in errors


class Answer(NamedTuple):
    """The (H, W) mask after some clicks, and the seconds of the last one; None if it was kept."""

    mask: Mask
    seconds: float | None


class _Step(NamedTuple):
    """The model's state after a number of clicks, and its mask; None before the first click."""

    state: State
    mask: Mask | None


@dataclass
class Game:
    """A model's answers on an image, by the number of clicks; some may be dropped to save memory.

    What was dropped is computed again from the last step before it.
    """

    steps: dict[int, _Step]  # always has 0
    clicks: list[Click] = field(default_factory=list)

    def cut_to(self, clicks: Sequence[Click]) -> int:
        """Drop the answers from the first click that is another one; keep those to undo.

        Returns the largest number of these clicks that has a step.
        """
        shared = 0
        while shared < min(len(clicks), len(self.clicks)) and clicks[shared] == self.clicks[shared]:
            shared += 1
        if shared < len(clicks):
            del self.clicks[shared:]
            for count in [count for count in self.steps if count > shared]:
                del self.steps[count]
        return max(count for count in self.steps if count <= shared)

    def add(self, clicks: Sequence[Click], step: _Step, most: int) -> None:
        """Add the step after these clicks; of more than `most` the most distant are dropped."""
        now = len(clicks)
        self.steps[now] = step
        if len(self.clicks) < now:
            self.clicks[:] = clicks
        while len(self.steps) > most + 1:
            del self.steps[max(filter(None, self.steps), key=lambda count: abs(count - now))]


@dataclass
class GameCache:
    """The games of the images and models that were asked last."""

    _games: OrderedDict[tuple[str, str], Game] = field(default_factory=OrderedDict)
    _sizes: dict[tuple[str, str], int] = field(default_factory=dict)  # pixels of a mask

    def prepare(self, key: tuple[str, str], session: PredictorSession, image: Image) -> None:
        """Encode an image before its first click; `key` is its id and the model.

        Raises PredictorError if the model raises an exception.
        """
        self._find(key, session, image)
        self._make_room()

    def answer(
        self,
        key: tuple[str, str],
        session: PredictorSession,
        image: Image,
        clicks: Sequence[Click],
    ) -> Answer:
        """Return the model's answer to the clicks on an image; `key` is its id and the model.

        Raises PredictorError if the model breaks its contract.
        """
        shape, game = image.shape[:2], self._find(key, session, image)
        seconds, done = None, game.cut_to(clicks)
        for count in range(done + 1, len(clicks) + 1):
            started = perf_counter()
            turn = Turn(game.steps[count - 1].state, tuple(clicks[:count]))
            (answer,) = session.predict([ObjectTurn(_KEY, shape, turn)])
            seconds = perf_counter() - started
            most = max(2, KEPT // self._sizes[key])
            game.add(clicks[:count], _Step(answer.state, answer.mask), most)
        self._make_room()
        mask = game.steps[len(clicks)].mask
        assert mask is not None
        return Answer(mask, seconds)

    def _find(self, key: tuple[str, str], session: PredictorSession, image: Image) -> Game:
        """Return the game of an image and a model, begun if there is none; it is the newest."""
        game = self._games.get(key)
        if game is None:
            game = Game({0: _Step(session.start(_KEY, image), None)})
            self._games[key], self._sizes[key] = game, image.shape[0] * image.shape[1]
        self._games.move_to_end(key)
        return game

    def _make_room(self) -> None:
        """Drop the games that were asked longest ago; they are computed again if need be."""
        while len(self._games) > GAMES or (len(self._games) > 1 and self._count_pixels() > KEPT):
            key, _ = self._games.popitem(last=False)
            del self._sizes[key]

    def _count_pixels(self) -> int:
        return sum(len(game.steps) * self._sizes[key] for key, game in self._games.items())
