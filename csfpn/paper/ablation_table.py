"""Table 3 as text: each seed apart, the mean over the seeds, and what each part changes.

A mean is shown only if every seed has a run. The spread over the seeds says how far trainings
differ; an interval is over images and says nothing about that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, stdev

from csfpn.paper.ablation import PARTS, ROWS, SEEDS, STEPS, Part
from csfpn.paper.equal_training import describe_training
from isbench.errors import IsbenchError
from isbench.metrics import Difference
from isbench.papers import Question, Row
from isbench.papers.accuracy import make_head, make_text_table
from isbench.papers.cells import Cell, Records
from isbench.papers.differences import compare_cells, describe_processors, format_difference
from isbench.reporting.text_table import TextTable

_FEW = 3  # from this number of values on, their spread is a standard deviation
_ROUNDED = 0.005  # smaller differences are printed as zero
Cells = Mapping[tuple[Row, Question], Cell]
Line = tuple[str, ...]  # a text per question


def render(records: Records, cells: Sequence[Cell]) -> TextTable:
    """Return Table 3 as text: the paper's rows, then our parts, their means and differences.

    Raises IsbenchError for registered weights of another seed than their row's.
    """
    _check_seeds(records)
    plain = make_text_table(records, cells)
    lines = dict(zip(records.candidates, plain.rows, strict=True))
    by_place = {(cell.row, cell.question): cell for cell in cells}
    questions = records.table.questions
    rows = [line for row, line in lines.items() if row not in ROWS]
    for part in PARTS:
        for seed, row in zip(SEEDS, part.rows, strict=True):
            if row in lines:
                rows.append(_name_model(lines[row], f"{part.name}, seed {seed}: {row.name}"))
        rows += _add_name(part.name, _list_means(part, by_place, questions))
    rows += _list_steps(by_place, questions)
    heads = (*plain.heads[:4], *map(make_head, questions))
    notes = (*plain.notes, *describe_training(records), *describe_processors(cells, records))
    return TextTable(heads, tuple(rows), plain.figures, notes=notes)


def join_means(values: Sequence[float]) -> str:
    """Return the mean of figures of all seeds with their spread, "" for fewer than two."""
    return "" if len(values) < 2 else f"{mean(values):.2f}, {describe_spread(values)}"


def join_differences(differences: Sequence[Difference]) -> str:
    """Return the mean difference of all seeds, its spread and whether the signs are the same.

    "" for fewer than two.
    """
    if len(differences) < 2:
        return ""
    means = [one.mean for one in differences]
    return f"{mean(means):+.2f}, {describe_spread(means)}, {describe_signs(means)}"


def describe_spread(values: Sequence[float]) -> str:
    """Return the largest minus the smallest value, or from three on the standard deviation."""
    if len(values) < _FEW:
        return f"spread {max(values) - min(values):.2f}"
    return f"standard deviation {stdev(values):.2f}"


def describe_signs(values: Sequence[float]) -> str:
    """Return whether differences have the same sign; one that is printed as zero has none."""
    signs = {0 if abs(value) < _ROUNDED else 1 if value > 0 else -1 for value in values}
    return "same sign" if signs in ({1}, {-1}) else "signs differ, or zero"


def _check_seeds(records: Records) -> None:
    for part in PARTS:
        for seed, row in zip(SEEDS, part.rows, strict=True):
            weights = records.register.find_weights(row.model, row.weights)
            if weights is not None and weights.seed != seed:
                raise IsbenchError(
                    f"weights {row.weights} of {row.model} are registered with seed "
                    f"{weights.seed}; wanted {seed}"
                )


def _name_model(line: Line, name: str) -> Line:
    """Return a row's line with a name, which is shown before there is such a model."""
    return (*line[:3], name, *line[4:])


def _add_name(name: str, lines: Iterator[tuple[str, Line]]) -> Iterator[Line]:
    """Yield lines with their names, without those that have no figure."""
    for what, texts in lines:
        if any(texts):
            yield ("", "", "", f"{name}, {what}", *texts)


def _list_means(
    part: Part, cells: Cells, questions: Sequence[Question]
) -> Iterator[tuple[str, Line]]:
    texts = []
    for question in questions:
        found = [cells[row, question].ours for row in part.rows if (row, question) in cells]
        values = [one.value for one in found if one is not None]
        mean_text = join_means(values) if len(values) == len(part.rows) else ""
        texts.append(mean_text and f"– / {mean_text}")
    yield f"mean of {len(part.rows)} seeds", tuple(texts)


def _list_steps(cells: Cells, questions: Sequence[Question]) -> Iterator[Line]:
    for before, after in STEPS:
        pairs = zip(before.rows, after.rows, strict=True)
        by_seed = [[_compare(pair, cells, question) for question in questions] for pair in pairs]
        lines = [
            (f"seed {seed}", tuple(map(_format, differences)))
            for seed, differences in zip(SEEDS, by_seed, strict=True)
        ]
        joined = (
            "" if None in column else join_differences([one for one in column if one is not None])
            for column in zip(*by_seed, strict=True)
        )
        lines.append((f"mean of {len(SEEDS)} seeds", tuple(joined)))
        yield from _add_name(f"{after.name} minus {before.name}", iter(lines))


def _compare(pair: tuple[Row, Row], cells: Cells, question: Question) -> Difference | None:
    before, after = (cells.get((row, question)) for row in pair)
    return None if before is None or after is None else compare_cells(before, after)


def _format(difference: Difference | None) -> str:
    if difference is None:
        return ""
    return f"{format_difference(difference)}, p {difference.p_value:.4f}"
