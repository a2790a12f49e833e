"""Seconds per click of Table 5, shown where they can be compared with RITM's network.

Rows were played on several processors. A time is shown if RITM's network was timed on the same
processor, computed and stopped in the same way, and the ratio of the two compares rows across
processors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from isbench.papers import Row
from isbench.papers.cells import Cell, Records
from isbench.papers.register import ClickTime
from isbench.storage.store import Run, parse_digest

HEAD = "s/click"
RATIO = f"{HEAD} over RITM's"


class Conditions(NamedTuple):
    """What must be equal for times of two runs to be compared."""

    processor: str
    backend: str | None
    precision: str | None
    threads: int | None
    max_clicks: int
    stop_iou: float

    def __str__(self) -> str:
        """Return the machine and how networks were computed."""
        how = f", {self.backend} {self.precision}, threads {self.threads}" if self.backend else ""
        ends = "" if self.stop_iou > 1 else f" to IoU {self.stop_iou:.2f}"
        return f"{self.processor}{how}, games of up to {self.max_clicks} clicks{ends}"


class Times(NamedTuple):
    """The times of a table's rows, and notes on them."""

    seconds: Mapping[Row, float]
    ratios: Mapping[Row, float]  # to RITM's network under the same conditions
    notes: Sequence[str]

    def show(self, row: Row) -> tuple[str, str]:
        """Return a row's seconds per click and ratio, "" where there is none."""
        seconds, ratio = self.seconds.get(row), self.ratios.get(row)
        return (
            "" if seconds is None else f"{seconds:.3f}",
            "" if ratio is None else f"{ratio:.2f}",
        )


def compare_times(
    records: Records, cells: Sequence[Cell], dataset: str, bases: Sequence[Row]
) -> Times:
    """Return the times of clicks on a data set that can be compared with those of the bases.

    The bases are rows of one network. None is shown that was timed while other processes used much
    of the machine, nor one under conditions under which no base was timed.
    """
    times: dict[Row, ClickTime] = {}
    conditions: dict[Row, Conditions] = {}
    notes = []
    for row, run in _list_runs(cells, dataset):
        time = records.register.times.get(parse_digest(run.path))
        if time is None:
            continue
        if time.load is not None and time.load.is_doubtful:
            notes.append(
                f"{row.name} has no {HEAD}: other processes used {time.load.others:.1f} of "
                f"{time.load.processors} processors while it was timed."
            )
            continue
        times[row], conditions[row] = time, _read_conditions(run, time)
    base = {conditions[row]: row for row in reversed(bases) if row in times}
    for row in [row for row in times if conditions[row] not in base]:
        del times[row]
        notes.append(
            f"{row.name} has no {HEAD}: it was timed on {conditions[row]}, RITM's network was not."
        )
    return Times(
        {row: time.seconds for row, time in times.items()},
        {
            row: time.seconds / times[base[conditions[row]]].seconds
            for row, time in times.items()
            if row not in bases
        },
        [*_describe_conditions({row: conditions[row] for row in times}), *notes],
    )


def _list_runs(cells: Sequence[Cell], dataset: str) -> Iterator[tuple[Row, Run]]:
    """Yield the first run of each row on a data set."""
    seen = set()
    for cell in cells:
        run = cell.selection.run
        if cell.question.dataset == dataset and run is not None and cell.row not in seen:
            seen.add(cell.row)
            yield cell.row, run


def _read_conditions(run: Run, time: ClickTime) -> Conditions:
    spec = run.spec
    return Conditions(
        time.processor, spec.backend, spec.precision, spec.threads, spec.rules.max_clicks,
        spec.rules.stop_iou,
    )  # fmt: skip


def _describe_conditions(conditions: Mapping[Row, Conditions]) -> Iterator[str]:
    """Yield what the times are and under which conditions each row was timed."""
    found = list(dict.fromkeys(conditions.values()))
    if not found:
        return
    lead = f"{HEAD}: mean over the clicks of the run, without the encoding of images"
    if len(found) == 1:
        yield f"{lead}, on {found[0]}."
        return
    named = (
        f"on {one}: {', '.join(row.name for row in conditions if conditions[row] == one)}"
        for one in found
    )
    yield (
        f"{lead}. Rows were timed under different conditions, so compare not their seconds but "
        f"the ratios to RITM's network under the same ones. Timed {'; '.join(named)}."
    )
