"""What a report's page shows: plots, objects, pictures and provenance of runs, as plain values.

Not here: where masks come from (`answers`), and how the page looks (`pages/`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from string import Template
from typing import Any

import cv2
import numpy as np

from isbench import metrics
from isbench.metrics import Floats
from isbench.reporting import html_tables
from isbench.reporting.recorded_masks import RecordedMasks
from isbench.reporting.tables import has_full_games, make_frame, make_labels, make_table
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.masks import encode_rle
from isbench.storage.store import Run
from isbench.types import Image, Mask

SIDE = 480  # longer side of a picture on the page, in pixels
LIMIT = 25_000_000  # bytes of all pictures
TARGET = 0.9  # IoU of the NoC by which objects are listed


@dataclass
class ReportPictures:
    """The pictures of a page, up to LIMIT bytes."""

    pictures: list[dict[str, Any]] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)  # (data set, object) -> index
    size: int = 0

    def add(self, dataset: str, games: Sequence[RecordedMasks]) -> bool:
        """Add an object's picture with the games of every run; False if there is no room."""
        made = encode_picture(games)
        size = len(json.dumps(made))
        if self.size + size > LIMIT:
            return False
        self.places[dataset, games[0].sample.key] = len(self.pictures)
        self.pictures.append(made)
        self.size += size
        return True


def worst_objects(runs: Sequence[Run], max_clicks: int) -> list[str]:
    """Return the objects of runs over one data set, those first that took the most clicks."""
    noc, last = zip(*(_figures(run, max_clicks) for run in runs), strict=True)
    score = np.nan_to_num(np.mean(noc, axis=0)) - np.nan_to_num(np.mean(last, axis=0))
    keys = [game.key for game in runs[0].trajectories]
    return [keys[k] for k in np.lexsort((keys, -score))]


def differing_objects(runs: Sequence[Run], max_clicks: int) -> list[str]:
    """Return the objects of runs over one data set, those first at which clicks differ most."""
    noc, last = map(np.array, zip(*(_figures(run, max_clicks) for run in runs), strict=True))
    score = np.nan_to_num(np.ptp(noc, axis=0)) + np.nan_to_num(np.ptp(last, axis=0))
    keys = [game.key for game in runs[0].trajectories]
    return [keys[k] for k in np.lexsort((keys, -score))]


def encode_picture(games: Sequence[RecordedMasks]) -> dict[str, Any]:
    """Return an object as the page draws it: image, truth, and each run's clicks and masks."""
    sample = games[0].sample
    height, width = sample.image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return {
        "rows": size[0],
        "cols": size[1],
        "image": _jpeg(sample.image, size),
        "truth": _small(sample.truth, size),
        "games": [
            {
                "clicks": [
                    [
                        round((click.row + 0.5) * size[0] / height, 1),
                        round((click.col + 0.5) * size[1] / width, 1),
                        int(click.positive),
                    ]
                    for click in one.game.clicks
                ],
                "masks": [_small(mask, size) for mask in one.masks],
                "iou": [
                    _known(value, 4) for value in metrics.curves([one.game], len(one.masks))[0]
                ],
                "boundary": [_known(value, 4) for value in one.boundary],
                "exact": one.exact,
            }
            for one in games
        ],
    }


def render_page(
    title: str,
    runs: Sequence[Run],
    max_clicks: int,
    album: ReportPictures,
    sizes: Mapping[tuple[str, str], float],
    told: str,
    template: Mapping[str, str],
    pair: bool = False,
) -> str:
    """Return the page as one file of HTML that asks for no other.

    `sizes` has the share of the image that an object takes, `told` says what the pictures are,
    `template` has the page's own parts by their suffix; for a `pair` the page begins with where two
    runs differ.
    """
    names = make_labels(runs)
    sets = list(_sets(runs, max_clicks, album, sizes))
    charts = [
        *(_scatters(runs, names, max_clicks) if pair else ()),
        *_charts(runs, names, max_clicks),
    ]
    data = {
        "runs": [{"label": name} for name in names],
        "sets": sets,
        "charts": charts,
        "pictures": album.pictures,
        "sort": "disagreement" if pair else "mean NoC@90",
        "told": told,
    }
    return Template(template["html"]).substitute(
        title=escape(title),
        lead=escape(_lead(runs)),
        style=template["css"],
        script=template["js"],
        tables=html_tables.render_tables([html_tables.Section("Tables", _table(runs, max_clicks))]),
        provenance="\n".join(_provenance(run, name) for run, name in zip(runs, names, strict=True)),
        # no tag can end the script that holds it
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    )


def _figures(run: Run, max_clicks: int) -> tuple[Floats, Floats]:
    """Return NoC@90, nan where games stopped before, and the last IoU of each object."""
    iou = metrics.curves(run.trajectories, max_clicks)
    noc = metrics.clicks_to(iou, TARGET).astype(np.float64)
    if run.spec.rules.stop_iou < TARGET:
        noc[:] = np.nan
    return noc, iou[:, -1]


def _sets(
    runs: Sequence[Run],
    max_clicks: int,
    album: ReportPictures,
    sizes: Mapping[tuple[str, str], float],
) -> Iterator[dict[str, Any]]:
    for name, members in _by_dataset(runs).items():
        noc, last = zip(*(_figures(runs[k], max_clicks) for k in members), strict=True)
        yield {
            "name": name,
            "runs": members,
            "objects": [
                {
                    "key": game.key,
                    "size": _known(sizes.get((name, game.key), float("nan")), 5),
                    "noc": [_known(one[at], 0) for one in noc],
                    "iou": [_known(one[at], 4) for one in last],
                    "picture": album.places.get((name, game.key)),
                }
                for at, game in enumerate(runs[members[0]].trajectories)
            ],
        }


def _by_dataset(runs: Sequence[Run]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for k, run in enumerate(runs):
        found.setdefault(run.spec.dataset, []).append(k)
    return found


def _charts(runs: Sequence[Run], names: Sequence[str], max_clicks: int) -> Iterator[dict[str, Any]]:
    for dataset, members in _by_dataset(runs).items():
        most = min(max_clicks, max(runs[k].spec.rules.max_clicks for k in members))
        lines = [_curve(runs[k], names[k], most) for k in members]
        yield {"kind": "curves", "title": f"mean IoU@k on {dataset}", "lines": lines}
        lines = []
        for k in members:
            noc, _ = _figures(runs[k], most)
            never = metrics.find_failures(metrics.curves(runs[k].trajectories, most), TARGET)
            reached = noc[~np.isnan(noc) & ~never].astype(int)
            counts = np.bincount(reached, minlength=most + 1)[1:]
            told = f"{names[k]}, {np.count_nonzero(never)} never"
            lines.append({"label": told, "counts": counts.tolist()})
        yield {"kind": "bars", "title": f"NoC@90 on {dataset}", "lines": lines}


def _curve(run: Run, label: str, clicks: int) -> dict[str, Any]:
    """Return the mean IoU after each click and its 95 % interval, as `plots.iou_k` draws them."""
    iou = metrics.curves(run.trajectories, clicks)
    low, high = metrics.bootstrap(iou, [metrics.image_of(game.key) for game in run.trajectories])
    full = has_full_games(run)
    return {
        "label": label if full else f"{label}, stopped at {run.spec.rules.stop_iou:g}: last held",
        "dashed": not full,
        **{
            name: [_known(value, 4) for value in values]
            for name, values in (("mean", iou.mean(axis=0)), ("low", low), ("high", high))
        },
    }


def _scatters(
    runs: Sequence[Run], names: Sequence[str], max_clicks: int
) -> Iterator[dict[str, Any]]:
    a, b = (_figures(run, max_clicks)[0] for run in runs)
    if np.isnan(a).any() or np.isnan(b).any():
        return
    pairs, counts = np.unique(np.stack([a, b], axis=1), axis=0, return_counts=True)
    yield {
        "kind": "scatter",
        "title": "NoC@90, object by object",
        "x": names[0],
        "y": names[1],
        "most": int(max(a.max(), b.max())),
        "points": [[*map(int, pair), int(n)] for pair, n in zip(pairs, counts, strict=True)],
        "told": f"above the line {names[0]} needs fewer clicks, below it {names[1]}",
    }


def _table(runs: Sequence[Run], max_clicks: int) -> TextTable:
    return make_table(make_frame(runs, max_clicks), "all")


def _lead(runs: Sequence[Run]) -> str:
    sets = ", ".join(_by_dataset(runs))
    return f"{len(runs)} run{'s' * (len(runs) > 1)} of isbench on {sets}."


def _provenance(run: Run, label: str) -> str:
    facts: dict[str, object] = {"run": store.spec_digest(run.spec), **asdict(run.spec)}
    for session in run.meta:
        facts.update({f"played on: {key}": value for key, value in session.items()})
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_words(value))}</dd>" for name, value in facts.items()
    )
    return f"<h3>{escape(label)} on {escape(run.spec.dataset)}</h3>\n<dl>{items}</dl>"


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_words(part)}" for key, part in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value)) or "none"
    return "unknown" if value is None else str(value)


def _known(value: float, digits: int) -> float | None:
    """Return a rounded number, None for nan, which JSON has not."""
    return None if value != value else round(float(value), digits)


def _jpeg(image: Image, size: tuple[int, int]) -> str:
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(bytes(data)).decode("ascii")


def _small(mask: Mask, size: tuple[int, int]) -> str:
    small = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    return str(encode_rle(small > 0)["counts"])
