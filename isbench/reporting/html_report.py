"""The content of a report's page: tables, plots, objects, pictures and provenance of runs.

Not here: the masks (`recorded_masks`) and the look of the page (`assets/`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from string import Template
from typing import Any

import cv2
import numpy as np

from isbench.metrics import (
    MAIN_NOC,
    MAIN_TARGET,
    METRICS,
    Floats,
    Metric,
    bootstrap,
    compute_values,
    count_by_clicks,
    curves,
    limit_target,
)
from isbench.protocol import has_full_games
from isbench.reporting import html_tables
from isbench.reporting.labels import NO_LABELS, find_shared, format_count, make_labels
from isbench.reporting.literature import PublishedFigure
from isbench.reporting.published_tables import add_published
from isbench.reporting.recorded_masks import RecordedMasks
from isbench.reporting.tables import ALL, Rows, collect_games, is_missing, make_rows, make_table
from isbench.storage import store
from isbench.storage.masks import encode_rle
from isbench.storage.processors import list_playing_sessions
from isbench.storage.store import Run
from isbench.types import Image, Mask, Sample

SIDE = 480  # longer side of a picture on the page, in pixels
MOST_BARS = 3  # runs of a data set whose histograms fit in one chart
LIMIT = 25_000_000  # bytes of all pictures


@dataclass
class ReportPictures:
    """The pictures of a page, up to LIMIT bytes."""

    pictures: list[dict[str, Any]] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)  # (data set, object) -> index
    size: int = 0

    def add(self, dataset: str, games: Sequence[RecordedMasks | None]) -> bool:
        """Add an object's picture with the games of every run; False if it does not fit.

        The games of runs whose masks are not to be had are None; at least one is not.
        """
        picture = encode_picture(games)
        size = len(json.dumps(picture))
        if self.size + size > LIMIT:
            return False
        self.places[dataset, _find_sample(games).key] = len(self.pictures)
        self.pictures.append(picture)
        self.size += size
        return True


def find_worst_objects(runs: Sequence[Run], max_clicks: int) -> list[str]:
    """Return the object keys of runs over one data set, those with the most clicks first.

    The order is by mean NoC@90 minus mean last IoU, then by key.
    """
    noc, last = zip(*(_compute_figures(run, max_clicks) for run in runs), strict=True)
    score = np.nan_to_num(np.mean(noc, axis=0)) - np.nan_to_num(np.mean(last, axis=0))
    keys = [game.key for game in runs[0].trajectories]
    return [keys[k] for k in np.lexsort((keys, -score))]


def find_differing_objects(runs: Sequence[Run], max_clicks: int) -> list[str]:
    """Return the object keys of runs over one data set, those whose clicks differ most first.

    The order is by the range of NoC@90 plus the range of the last IoU, then by key.
    """
    noc, last = map(
        np.array, zip(*(_compute_figures(run, max_clicks) for run in runs), strict=True)
    )
    score = np.nan_to_num(np.ptp(noc, axis=0)) + np.nan_to_num(np.ptp(last, axis=0))
    keys = [game.key for game in runs[0].trajectories]
    return [keys[k] for k in np.lexsort((keys, -score))]


def _find_sample(games: Sequence[RecordedMasks | None]) -> Sample:
    return next(one.sample for one in games if one is not None)


def encode_picture(games: Sequence[RecordedMasks | None]) -> dict[str, Any]:
    """Return what the page needs to draw an object: image, truth, each run's clicks and masks."""
    sample = _find_sample(games)
    height, width = sample.image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return {
        "rows": size[0],
        "cols": size[1],
        "image": _encode_jpeg(sample.image, size),
        "truth": _encode_mask(sample.truth, size),
        "games": [None if one is None else _encode_game(one, size) for one in games],
    }


def _encode_game(one: RecordedMasks, size: tuple[int, int]) -> dict[str, Any]:
    height, width = one.sample.image.shape[:2]
    return {
        "clicks": [
            [
                round((click.row + 0.5) * size[0] / height, 1),
                round((click.col + 0.5) * size[1] / width, 1),
                int(click.positive),
            ]
            for click in one.game.clicks
        ],
        "masks": [_encode_mask(mask, size) for mask in one.masks],
        "iou": [_round(value, 4) for value in curves([one.game], len(one.masks))[0]],
        "boundary": [_round(value, 4) for value in one.boundary],
        "exact": one.exact,
    }


def render_page(
    title: str,
    runs: Sequence[Run],
    max_clicks: int,
    pictures: ReportPictures,
    sizes: Mapping[tuple[str, str], float],
    note: str,
    template: Mapping[str, str],
    pair: bool = False,
    metrics: Sequence[Metric] = METRICS,
    labels: Mapping[str, str] = NO_LABELS,
    published: Sequence[PublishedFigure] = (),
    imported: Sequence[PublishedFigure] = (),
) -> str:
    """Return the page as one HTML file that loads no other file.

    Parameters
    ----------
    title
        Title and heading.
    runs, max_clicks
        The runs to show, up to this click.
    pictures
        The objects with pictures.
    sizes
        Each object's share of its image's pixels by (data set, key).
    note
        A remark on the pictures.
    template
        The parts of the page by suffix: html, css, js.
    pair
        Whether the page compares two runs: it then starts with a scatter plot of their clicks.
    metrics
        The metrics in its table.
    labels
        Names of runs by digest.
    published, imported
        Figures that were published or come from another evaluator, to add to its tables in italics.
    """
    shared = find_shared(runs)
    names = make_labels(runs, labels, shared)
    sets = list(_make_sets(runs, max_clicks, pictures, sizes))
    charts = [
        *(_make_scatter(runs, names, max_clicks) if pair else ()),
        *_make_charts(runs, names, max_clicks),
    ]
    data = {
        "runs": [{"label": name} for name in names],
        "sets": sets,
        "charts": charts,
        "pictures": pictures.pictures,
        "metric": MAIN_NOC.name,
        "sort": "disagreement" if pair else f"mean {MAIN_NOC.name}",
        "note": note,
    }
    return Template(template["html"]).substitute(
        title=escape(title),
        lead=escape(_make_lead(runs, max_clicks, shared)),
        style=template["css"],
        script=template["js"],
        tables=html_tables.render_tables(
            _make_tables(make_rows(runs, max_clicks, metrics), names, metrics, published, imported)
        ),
        provenance="\n".join(
            _render_provenance(run, name) for run, name in zip(runs, names, strict=True)
        ),
        # escaped, so that no "</script>" in the data can end the script element
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    )


def _compute_figures(run: Run, max_clicks: int) -> tuple[Floats, Floats]:
    """Return NoC@90, nan if the run stops at a lower IoU, and the last IoU of each object."""
    games = collect_games(run, min(max_clicks, run.spec.rules.max_clicks))
    last, noc = games.iou[:, -1], compute_values(MAIN_NOC, games)
    return np.full(len(last), np.nan) if noc is None else noc.astype(np.float64), last


def _make_sets(
    runs: Sequence[Run],
    max_clicks: int,
    pictures: ReportPictures,
    sizes: Mapping[tuple[str, str], float],
) -> Iterator[dict[str, Any]]:
    for name, members in _group_by_dataset(runs).items():
        noc, last = zip(*(_compute_figures(runs[k], max_clicks) for k in members), strict=True)
        yield {
            "name": name,
            "runs": members,
            "objects": [
                {
                    "key": game.key,
                    "size": _round(sizes.get((name, game.key), float("nan")), 5),
                    "noc": [_round(one[at], 0) for one in noc],
                    "iou": [_round(one[at], 4) for one in last],
                    "picture": pictures.places.get((name, game.key)),
                }
                for at, game in enumerate(runs[members[0]].trajectories)
            ],
        }


def _group_by_dataset(runs: Sequence[Run]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for k, run in enumerate(runs):
        found.setdefault(run.spec.dataset, []).append(k)
    return found


def _make_charts(
    runs: Sequence[Run], names: Sequence[str], max_clicks: int
) -> Iterator[dict[str, Any]]:
    for dataset, members in _group_by_dataset(runs).items():
        lines = [_make_curve(runs[k], names[k], max_clicks) for k in members]
        note = "Dashed: games that stop at an IoU; the last value is held."
        yield {"kind": "curves", "title": f"mean IoU@k on {dataset}", "lines": lines, "note": note}
        yield _make_counts([(runs[k], names[k]) for k in members], dataset, max_clicks)


def _make_curve(run: Run, label: str, max_clicks: int) -> dict[str, Any]:
    """Return the mean IoU after each click and its 95 % interval, as drawn by `plots.iou_k`."""
    games = collect_games(run, min(max_clicks, run.spec.rules.max_clicks))
    iou, images = games.iou[games.scored], np.array(games.images)[games.scored]
    low, high = bootstrap(iou, images.tolist())
    mean = iou.mean(axis=0) if len(iou) else low  # nan without objects that have an IoU
    full = has_full_games(run.spec.rules)
    return {
        "label": label,
        "dashed": not full,
        **{
            name: [_round(value, 4) for value in values]
            for name, values in (("mean", mean), ("low", low), ("high", high))
        },
    }


def _make_counts(
    members: Sequence[tuple[Run, str]], dataset: str, max_clicks: int
) -> dict[str, Any]:
    """Return the clicks to the main target: bars, or curves of the share solved for many runs."""
    lines: list[dict[str, Any]] = []
    for run, name in members:
        target = limit_target(run.spec.rules.stop_iou)
        clicks = min(max_clicks, run.spec.rules.max_clicks)
        counts, never = count_by_clicks(collect_games(run, clicks).iou, target)
        label = name if target == MAIN_TARGET else f"{name}, to IoU {target:g}"
        label = f"{label}, {never} never"
        if len(members) <= MOST_BARS:
            lines.append({"label": label, "counts": counts.tolist(), "never": never})
        else:
            share = np.cumsum(counts) / len(run.trajectories)
            line = {"mean": [round(float(one), 4) for one in share], "low": [], "high": []}
            lines.append({"label": label, "dashed": False, **line})
    if len(members) <= MOST_BARS:
        return {"kind": "bars", "title": f"{MAIN_NOC.name} on {dataset}", "lines": lines}
    title = f"share of objects at IoU {MAIN_TARGET:.2f} on {dataset}"
    return {"kind": "curves", "title": title, "lines": lines, "note": ""}


def _make_scatter(
    runs: Sequence[Run], names: Sequence[str], max_clicks: int
) -> Iterator[dict[str, Any]]:
    a, b = (_compute_figures(run, max_clicks)[0] for run in runs)
    if np.isnan(a).any() or np.isnan(b).any():
        return
    pairs, counts = np.unique(np.stack([a, b], axis=1), axis=0, return_counts=True)
    yield {
        "kind": "scatter",
        "title": f"{MAIN_NOC.name}, object by object",
        "x": names[0],
        "y": names[1],
        "most": int(max(a.max(), b.max())),
        "points": [[*map(int, pair), int(n)] for pair, n in zip(pairs, counts, strict=True)],
        "note": f"above the line {names[0]} needs fewer clicks, below the line {names[1]}",
    }


def _make_tables(
    rows: Rows,
    names: Sequence[str],
    metrics: Sequence[Metric],
    published: Sequence[PublishedFigure],
    imported: Sequence[PublishedFigure],
) -> Iterator[html_tables.Section]:
    """Yield a table per view, which fits a page; metrics in no view are with those like them."""
    rows = [{**row, "label": name} for row, name in zip(rows, names, strict=True)]
    known = [one for one in metrics if not all(is_missing(row[one.key]) for row in rows)]
    views = {one: _find_view(one, metrics) for one in known}
    title = "Tables"
    for view in dict.fromkeys(views.values()):
        shown = [replace(one, view=view) for one, found in views.items() if found == view]
        table = add_published(make_table(rows, view, shown), published, rows, shown, imported)
        yield html_tables.Section(title, table)
        title = ""
    if title:
        yield html_tables.Section(title, make_table(rows, ALL, metrics))


def _find_view(metric: Metric, metrics: Sequence[Metric]) -> str:
    """Return the table of a metric: its own, or for NoC@95 that of NoC@90."""
    if metric.view != ALL:
        return metric.view
    stem = metric.name.partition("@")[0]
    like = (one.view for one in metrics if one.view != ALL and one.name.partition("@")[0] == stem)
    return next(like, "other")


def _make_lead(runs: Sequence[Run], max_clicks: int, shared: Mapping[str, str]) -> str:
    """Return what all runs of the page have in common, in one sentence."""
    sets = ", ".join(_group_by_dataset(runs))
    clicks = min(max_clicks, max(run.spec.rules.max_clicks for run in runs))
    facts = "".join(f", {words}" for words in shared.values())
    return (
        f"{format_count(len(runs), 'run')} of isbench on {sets}, up to "
        f"{format_count(clicks, 'click')}{facts}."
    )


def _render_provenance(run: Run, label: str) -> str:
    facts: dict[str, object] = {"run": store.digest_spec(run.spec), **asdict(run.spec)}
    sessions = _list_distinct(list_playing_sessions(run))
    for number, session in enumerate(sessions, 1):
        name = "played on" if len(sessions) == 1 else f"played on ({number} of {len(sessions)})"
        facts.update({f"{name}: {key}": value for key, value in session.items()})
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_format(value, name))}</dd>"
        for name, value in facts.items()
    )
    return f"<h3>{escape(label)} on {escape(run.spec.dataset)}</h3>\n<dl>{items}</dl>"


def _list_distinct(sessions: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Return the first session of each kind: a run that was resumed often has many alike."""
    kinds = {
        json.dumps({**one, "started": None, "load": None}, sort_keys=True, default=str): one
        for one in reversed(sessions)
    }
    return list(reversed(kinds.values()))


# what has no value for some models and rules, as opposed to what is not known
_MAY_BE_NONE = ("weights", "backend", "precision", "limit", "initial")


def _format(value: object, name: str = "") -> str:
    if value is None and name in _MAY_BE_NONE:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_format(part)}" for key, part in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_format, value)) or "none"
    return "unknown" if value is None else str(value)


def _round(value: float, digits: int) -> float | None:
    """Return a rounded number, None for nan, which JSON does not have."""
    return None if value != value else round(float(value), digits)


def _encode_jpeg(image: Image, size: tuple[int, int]) -> str:
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(bytes(data)).decode("ascii")


def _encode_mask(mask: Mask, size: tuple[int, int]) -> str:
    small = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    return str(encode_rle(small > 0)["counts"])
