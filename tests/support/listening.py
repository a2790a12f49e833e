"""A watch that records what it receives."""

from __future__ import annotations

from collections.abc import Sequence

from isbench.types import Game, Spec, Trajectory


class Listening:
    """A watch that remembers, and may stop the run after some games."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.games: list[str] = []
        self.notes: list[str] = []
        self.resumed = 0
        self._stop_after = stop_after

    def start(self, spec: Spec, total: int, recorded: Sequence[Trajectory]) -> None:
        self.resumed = len(recorded)

    def add_game(self, game: Game) -> None:
        self.games.append(game.trajectory.key)
        if len(self.games) == self._stop_after:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)
