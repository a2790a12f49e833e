"""A checklist of what a paper should report of a run, filled in; unknown items are blank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from isbench.errors import check_some
from isbench.metrics import METRICS, Metric
from isbench.options import format_option
from isbench.reporting.labels import NO_LABELS, format_count, make_labels
from isbench.reporting.machine_load import find_load, format_load, warn_of_load
from isbench.reporting.tables import UNSCORED, compute_figures, format_figure
from isbench.reporting.text_table import TextTable
from isbench.storage import store
from isbench.storage.processors import list_playing_sessions
from isbench.storage.store import Run
from isbench.types import Scalar, Spec

NOTE = (
    "docs/protocol.md defines each figure. A blank is not known from the run: add it yourself, and "
    "state the origin and the training data of the weights"
)


def make_checklist(
    runs: Sequence[Run],
    max_clicks: int = 20,
    metrics: Sequence[Metric] = METRICS,
    labels: Mapping[str, str] = NO_LABELS,
) -> TextTable:
    """Return the checklist with one row per item and one column per run.

    Parameters
    ----------
    runs : sequence of Run
        Complete runs.
    max_clicks : int
        Games count up to this click.
    metrics : sequence of Metric
        The figures that it lists.
    labels : mapping
        Names of runs by their digest, instead of those made from what differs.

    Returns
    -------
    TextTable
        `heads`, `rows` and `notes`; `isbench.reporting.text_table` formats it.
    """
    check_some(runs, "run")
    columns = [_list_facts(run, max_clicks, metrics) for run in runs]
    rows = tuple((item, *(column[item] for column in columns)) for item in columns[0])
    heads = (
        "State",
        *(
            f"{label} on {run.spec.dataset}"
            for run, label in zip(runs, make_labels(runs, labels), strict=True)
        ),
    )
    return TextTable(heads, rows, (False,) * len(heads), notes=(NOTE,))


def _list_facts(run: Run, max_clicks: int, metrics: Sequence[Metric]) -> dict[str, str]:
    spec, rules = run.spec, run.spec.rules
    row = compute_figures(run, max_clicks, metrics)
    limit = "" if spec.limit is None else f", the first {spec.limit} only"
    start = "" if spec.initial is None else f", from initial masks {spec.initial[:12]}"
    options, sessions = dict(spec.options), list_playing_sessions(run)
    unscored = f", {row[UNSCORED]} without a scored pixel" if UNSCORED in row else ""
    images = format_count(int(str(row["images"])), "image")
    objects = f"{format_count(spec.objects, 'object')} on {images}"
    return {
        "data set": f"{spec.dataset}: {objects}{limit}{unscored}{start}",
        "fingerprint of the data": _format_text(spec.fingerprint),
        "protocol": f"{spec.preset}, digest {spec.preset_digest}",
        "next click": _describe_clicker(spec),
        "budget of clicks": str(row["budget"]),
        "games end": f"at IoU {rules.stop_iou:g}" if rules.stop_iou <= 1 else "at the last click",
        "model": f"{spec.model}, version {spec.version}",
        "libraries": ", ".join(f"{name} {number}" for name, number in spec.libraries.items()),
        "sha256 of the weights": _format_text(spec.weights),
        "zoom-in": _format_options(
            options, "zoom", "zoom_target", "zoom_square", "g2l", "overview"
        ),
        "mirror image (flip)": _format_options(options, "flip"),
        "threshold of the mask": _format_options(options, "threshold"),
        "longest side of images": _format_options(options, "longest_side"),
        "other options": _format_options(options, *(key for key in options if key not in _LISTED)),
        **{
            _name_item(one): format_figure(one, row)
            + (_describe_load(run) if one.key == "seconds_per_click" else "")
            for one in metrics
            if one.item != ""
        },
        "computed by": ", ".join(
            part
            for part in (
                _format_text(spec.backend),
                _format_text(spec.precision),
                f"{format_count(spec.threads, 'thread')} per process",
            )
            if part
        ),
        "hardware": _join_sessions(_format_text(one.get("processor")) for one in sessions),
        "versions": _join_sessions(_format_versions(one.get("versions")) for one in sessions),
        "image decoder": spec.decoder,
        "digest of the run": store.parse_digest(run.path),
    }


def _describe_load(run: Run) -> str:
    """Return how busy the machine was while times were measured, "" if that is not known."""
    load = find_load(run)
    if load is None:
        return ""
    warning = warn_of_load(load)
    caution = f"; caution, {warning}" if warning else ""
    return f", {format_load(load)} processors busy{caution}"


def _describe_clicker(spec: Spec) -> str:
    version = "" if spec.clicker_version == "1" else f" version {spec.clicker_version}"
    return f"{spec.rules.clicker}{version}, seed {spec.rules.seed}"


# options with a row of their own
_LISTED = {
    "zoom",
    "zoom_target",
    "zoom_square",
    "g2l",
    "overview",
    "flip",
    "threshold",
    "longest_side",
}


def _name_item(metric: Metric) -> str:
    interval = " [95 % interval]" if metric.has_interval else ""
    return metric.item or f"{metric.name}{interval}"


def _format_options(options: Mapping[str, Scalar], *names: str) -> str:
    return ", ".join(f"{name}={format_option(options[name])}" for name in names if name in options)


def _format_text(value: object) -> str:
    return "" if value is None else str(value)


def _join_sessions(texts: Iterable[str]) -> str:
    """Return what all sessions of a run have, each different one once."""
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _format_versions(found: object) -> str:
    if not isinstance(found, Mapping):
        return ""
    return ", ".join(f"{name} {version}" for name, version in found.items() if version)
