"""The requirements of a paper's tables as text, csv and JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from isbench.papers.requirements import FILE, Missing, Requirement, format_command
from isbench.papers.rows import Row
from isbench.reporting.labels import format_count
from isbench.reporting.text_table import format_rows

_HEADS = ("data set", "figures", "state", "clicks", "s/click", "time")


def format_text(requirements: Sequence[Requirement]) -> str:
    """Return a block per row, with a line per data set, and the sum of the known times."""
    blocks = [
        "\n".join(_format_row(row, list(members)))
        for row, members in groupby(requirements, key=lambda one: (one.table, one.row))
    ]
    return "\n\n".join([*blocks, "\n".join(_summarise(requirements))]) + "\n"


def format_csv(requirements: Sequence[Requirement]) -> str:
    """Return a line per row and data set, with a header; missing values are empty."""
    facts = [_list_facts(one) for one in requirements]
    return format_rows(facts[0] if facts else (), (map(_join, one.values()) for one in facts))


def format_json(requirements: Sequence[Requirement]) -> str:
    """Return a list of objects, one per row and data set; missing values are null."""
    return json.dumps([_list_facts(one) for one in requirements], indent=2) + "\n"


FORMATS = {"text": format_text, "csv": format_csv, "json": format_json}


def _join(value: object) -> object:
    return "; ".join(value) if isinstance(value, list) else value


def _list_facts(one: Requirement) -> Mapping[str, object]:
    timing = one.timing
    return {
        "table": one.table,
        "system": one.row.system,
        "backbone": one.row.backbone,
        "trained_on": one.row.trained_on,
        "model": one.row.name,
        "dataset": one.dataset,
        "figures": _list_figures(one),
        "state": one.state,
        "runs": list(one.runs),
        "command": one.command,
        "missing": [f"{kind}: {text}" for kind, text in one.missing],
        "objects": one.objects,
        "clicks": one.clicks,
        "seconds_per_click": None if timing is None else round(timing.click, 4),
        "seconds_per_image": None
        if timing is None or timing.image is None
        else round(timing.image, 4),
        "measured_by": None if timing is None else timing.origin,
        "seconds": None if one.seconds is None else round(one.seconds, 1),
    }


def _list_figures(one: Requirement) -> list[str]:
    """Return the figures of the row on the data set, with the number of clicks if not 20."""
    return [
        metric if clicks == 20 else metric.replace("@", f"_{clicks}@")
        for _, clicks, metric in one.questions
    ]


def _format_row(key: tuple[str, Row], members: Sequence[Requirement]) -> Iterator[str]:
    table, row = key
    names = [name for name in (row.system, row.backbone, row.trained_on) if name]
    yield f"Table {table}: {', '.join(names)}{': ' if names else ''}{row.name or 'no model'}"
    open_ones = [one for one in members if not one.runs]
    if command := format_command(_join_arguments(open_ones)):
        yield f"  {command}"
    yield from (f"  missing {kind}: {text}" for kind, text in _join_missing(open_ones))
    lines = [_HEADS, *(_list_columns(one) for one in members)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        texts = [text.ljust(width) for text, width in zip(line[:3], widths[:3], strict=True)]
        figures = [text.rjust(width) for text, width in zip(line[3:], widths[3:], strict=True)]
        yield f"  {'  '.join([*texts, *figures])}".rstrip()
    yield from (f"  s/click: {origin}" for origin in _list_origins(open_ones))


def _join_arguments(members: Sequence[Requirement]) -> list[tuple[str, str]]:
    """Return the arguments of one command for the data sets of a row."""
    sets = [pair for one in members for pair in one.arguments if pair[0] == "dataset"]
    joined: list[tuple[str, str]] = []
    for pair in members[0].arguments if members else ():
        joined += sets if pair[0] == "dataset" else [pair]
    return joined


def _join_missing(members: Sequence[Requirement]) -> list[Missing]:
    """Return what a row lacks on every data set, each only once; data sets are listed at the end.

    A row without a model lacks nothing else that could be named.
    """
    every = (missing for one in members for missing in one.missing if missing.kind != "data")
    return list(dict.fromkeys(every))


def _list_origins(members: Sequence[Requirement]) -> list[str]:
    return list(dict.fromkeys(one.timing.origin for one in members if one.timing is not None))


def _list_columns(one: Requirement) -> tuple[str, ...]:
    state = one.state
    if one.runs:
        state = f"{state}: {', '.join(one.runs)}"
    elif one.missing:
        state = f"needs {', '.join(missing.kind for missing in one.missing)}"
    most = "up to " if one.rules.stop_iou <= 1 else ""  # such games may end before the last click
    clicks = "" if one.clicks is None else f"{most}{one.clicks:,}"
    if one.runs:  # nothing is left to play
        return (one.dataset, ", ".join(_list_figures(one)), state, clicks, "", "")
    per_click = "" if one.timing is None else f"{one.timing.click:.3f}"
    time = "" if one.seconds is None else f"{most}{_format_time(one.seconds)}"
    return (one.dataset, ", ".join(_list_figures(one)), state, clicks, per_click, time)


def _format_time(seconds: float) -> str:
    """Return a duration with two digits or so, such as "3 min" or "1.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:,.0f} h"


def _summarise(requirements: Sequence[Requirement]) -> Iterator[str]:
    open_ones = [one for one in requirements if not one.runs]
    timed = [one.seconds for one in open_ones if one.seconds is not None]
    counts = Counter(one.state for one in requirements)
    yield (
        f"{format_count(len(requirements), 'run')}: {counts['measured']} recorded, "
        f"{counts['ready']} ready to play, {counts['missing']} lack something."
    )
    if counts["conflicting"]:
        yield (
            f"For {counts['conflicting']} more, several runs fit, so none counts: move all but one "
            "of each out of the folder."
        )
    absent = {one.dataset: None for one in open_ones for kind, _ in one.missing if kind == "data"}
    if absent:
        yield (
            f"Data that are not here: {', '.join(absent)}. `isbench data get NAME` downloads one, "
            "`isbench data import NAME PATH` takes files that you have."
        )
    if any(("weights", FILE) in one.arguments for one in open_ones):
        yield (
            f"{FILE} stands for weights that neither come with isbench nor were released; runs "
            "with other weights than the authors' do not count for a row of the paper."
        )
    if timed:
        yield (
            f"Time of the {format_count(len(timed), 'run')} whose clicks were timed: "
            f"{_format_time(sum(timed))} in one process on this machine. Data sets differ in the "
            "size of their images."
        )
    if len(timed) < len(open_ones):
        yield (
            "A blank time was not measured; `isbench reproduce --plan --measure` plays two clicks "
            "of each model that is here."
        )
