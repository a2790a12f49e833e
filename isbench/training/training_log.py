"""The logs of a training: `log.csv`, `validation.csv`, and TensorBoard if it is installed.

Rows after the step from which a training resumes are removed, since they are written again.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isbench.errors import IsbenchError, Remedy
from isbench.files.atomic import make_write_error, write_atomically
from isbench.training.weights import REMEDY

_REMEDY = Remedy("free some space and resume", REMEDY.setting)
LOG, VALIDATION, BOARD = "log.csv", "validation.csv", "board"


@dataclass
class RunningMeans:
    """Running sums for the next row of the log."""

    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])

    def add(self, loss: float, iou: float, seconds: float) -> None:
        """Add the figures of a step."""
        self.sums = [a + b for a, b in zip(self.sums, (1.0, loss, iou, seconds), strict=True)]

    def pop_means(self) -> tuple[float, float, float]:
        """Return the means of loss, IoU and seconds, and reset."""
        count, loss, iou, seconds = self.sums
        self.sums = [0.0, 0.0, 0.0, 0.0]
        return loss / count, iou / count, seconds / count


class TrainingLog:
    """The open log files of a training; a context manager."""

    def __init__(self, out: Path, step: int, validation_due: bool = False) -> None:
        """Continue the tables of a folder after the step, whose validation may be repeated."""
        self._out, self._step = out, step
        self._kept = {VALIDATION: step - validation_due}  # the last step whose row is kept
        self._files = ExitStack()
        self._writers: dict[str, Any] = {}
        for name in (LOG, VALIDATION):  # before the first step, not after hours
            self._list_kept(out / name)
        self._board = _open_board(out, step)
        if self._board is not None:
            self._files.callback(self._board.close)

    def __enter__(self) -> TrainingLog:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the tables; an error in doing so does not hide one that was raised before."""
        try:
            self._files.close()
        except OSError as error:
            if kind is None:
                raise make_write_error(self._out, error, _REMEDY) from error

    def add_row(self, table: str, step: int, figures: Mapping[str, float]) -> None:
        """Append a row of named figures to a table; every row of a table has the same names.

        A figure that is nan is left blank.
        Raises IsbenchError if it cannot be written.
        """
        if table not in self._writers:
            self._writers[table] = self._open_table(self._out / table, ["step", *figures])
        file, writer = self._writers[table]
        try:
            texts = ("" if math.isnan(value) else f"{value:.6g}" for value in figures.values())
            writer.writerow([step, *texts])
            file.flush()
        except OSError as error:
            raise make_write_error(self._out / table, error, _REMEDY) from error
        if self._board is not None:
            for name, value in figures.items():
                if not math.isnan(value):
                    self._board.add_scalar(f"{Path(table).stem}/{name}", value, step)

    def add_image(self, step: int, pixels: Any) -> None:
        """Send a (3, H, W) image in [0, 1] to TensorBoard, if it is installed."""
        if self._board is not None:
            self._board.add_image("samples", pixels, step)

    @property
    def has_board(self) -> bool:
        """Return whether images are logged."""
        return self._board is not None

    def _open_table(self, path: Path, columns: Sequence[str]) -> tuple[Any, Any]:
        head, old_rows = self._list_kept(path)
        if old_rows and head != list(columns):
            raise IsbenchError(
                f"{path} has the columns {', '.join(head)}; wanted {', '.join(columns)}: move it "
                "elsewhere"
            )
        text = "".join(",".join(row) + "\n" for row in [columns, *old_rows])
        write_atomically(path, text.encode(), REMEDY)
        file = self._files.enter_context(path.open("a", newline="", encoding="utf-8"))
        return file, csv.writer(file, lineterminator="\n")

    def _list_kept(self, path: Path) -> tuple[list[str], list[list[str]]]:
        """Return the heads of a table, and its rows that are not to be written again."""
        last = self._kept.get(path.name, self._step)
        try:
            head, *rows = _read_rows(path) or [["step"]]
            if head[:1] != ["step"] or any(row and len(row) != len(head) for row in rows):
                raise ValueError("a row is not one of its columns, of which the first is step")
            return head, [row for row in rows if row and int(row[0]) <= last]
        except (ValueError, csv.Error) as error:
            raise IsbenchError(f"{path} is damaged ({error}); move it elsewhere") from error


def _read_rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = file.read()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:  # writing it again would lose its rows
        raise IsbenchError(f"cannot read {path}: {error}; move it elsewhere") from error
    return list(csv.reader(lines[: lines.rfind("\n") + 1].splitlines()))


def _open_board(out: Path, step: int) -> Any:
    """Return TensorBoard's writer, None if the extra `tensorboard` is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / BOARD), purge_step=step + 1)
