"""Figures of runs as Hugging Face reads them: `model-index` metadata and `.eval_results` entries.

Not here: sending them anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from isbench.errors import IsbenchError
from isbench.exchange.yaml_text import format_yaml
from isbench.metrics import METRICS, Metric
from isbench.options import format_option
from isbench.reporting import tables
from isbench.storage.store import Run, find_digest

# the Hub's name for the task of segmenting what a prompt shows
_TASK = {"type": "mask-generation", "name": "Interactive segmentation by clicks"}
_SOURCE = "isbench"
_UNSTABLE = "time"  # the view of figures that depend on the machine


def format_model_index(
    runs: Sequence[Run],
    max_clicks: int = 20,
    metrics: Sequence[Metric] = METRICS,
    source_url: str | None = None,
) -> str:
    """Return the `model-index` of the runs as YAML, for the head of a model card (README.md).

    Parameters
    ----------
    runs : sequence of Run
        Complete runs; those of one model are one entry.
    max_clicks : int
        Games count up to this click.
    metrics : sequence of Metric
        The figures; those that a run cannot tell, and times, are left out.
    source_url : str or None
        Where readers find the runs, such as the page of a bundle.

    Returns
    -------
    str
        `model-index`, with protocol and digest of the run behind every figure.
    """
    models: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        figures = list(_list_figures(run, max_clicks, metrics))
        source = {} if source_url is None else {"source": {"name": _SOURCE, "url": source_url}}
        facts = {
            "task": _TASK,
            "dataset": {
                "name": run.spec.dataset, "type": run.spec.dataset,
                "args": _describe(run, max_clicks),
            },
            "metrics": [_format_metric(metric, row) for metric, row in figures],
            **source,
        }  # fmt: skip
        models.setdefault(run.spec.model, []).append(facts)
    index = [{"name": name, "results": results} for name, results in models.items()]
    return format_yaml({"model-index": index})


def format_eval_results(
    runs: Sequence[Run],
    dataset_id: str,
    max_clicks: int = 20,
    metrics: Sequence[Metric] = METRICS,
    source_url: str | None = None,
) -> str:
    """Return a file for the folder `.eval_results` of a model's repository on the Hub, as YAML.

    Parameters
    ----------
    runs : sequence of Run
        Complete runs of one model.
    dataset_id : str
        The benchmark on the Hub, as OWNER/NAME. Its tasks are named DATASET_METRIC, such as
        grabcut_noc90.
    max_clicks, metrics, source_url
        As for `format_model_index`.

    Returns
    -------
    str
        An entry per run and figure.

    Raises
    ------
    IsbenchError
        For runs of several models, two runs over a data set, or an id that is not OWNER/NAME.
    """
    _check_entries(runs, dataset_id)
    entries = []
    for run in runs:
        words = ", ".join(f"{key} {value}" for key, value in _describe(run, max_clicks).items())
        started = [str(one["started"]) for one in run.meta if "started" in one]
        for metric, row in _list_figures(run, max_clicks, metrics):
            task = f"{run.spec.dataset}_{metric.key.replace('@', '')}"
            entry: dict[str, Any] = {"dataset": {"id": dataset_id, "task_id": task}}
            entry["value"] = row[metric.key]
            if started:
                entry["date"] = max(started)
            if source_url is not None:
                entry["source"] = {"url": source_url, "name": _SOURCE}
            entries.append({**entry, "notes": words})
    return format_yaml(entries)


def _check_entries(runs: Sequence[Run], dataset_id: str) -> None:
    owner, slash, name = dataset_id.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise IsbenchError(
            f"hub_dataset is {dataset_id!r}; wanted OWNER/NAME of a data set on the Hub",
            setting="hub_dataset",
        )
    played = [(run.spec.model, run.spec.dataset) for run in runs]
    if len({model for model, _ in played}) > 1 or len(set(played)) < len(played):
        listed = ", ".join(f"{model} on {dataset}" for model, dataset in played)
        raise IsbenchError(
            f"{listed}: .eval_results belong to one model and have one figure per task; wanted one "
            "run of one model on each data set"
        )


def _list_figures(
    run: Run, max_clicks: int, metrics: Sequence[Metric]
) -> Iterator[tuple[Metric, Mapping[str, Any]]]:
    """Yield the metrics that a run can tell, with the row of its figures."""
    row: Mapping[str, Any] = tables.compute_figures(run, max_clicks, metrics)
    for metric in metrics:
        if metric.view != _UNSTABLE and not pd.isna(row[metric.key]):
            yield metric, row


def _format_metric(metric: Metric, row: Mapping[str, Any]) -> dict[str, Any]:
    found = {"type": metric.key, "name": metric.name, "value": row[metric.key]}
    if metric.has_interval and not pd.isna(row[metric.columns[1]]):
        low, high = (row[column] for column in metric.columns[1:])
        found["args"] = {"low_95": low, "high_95": high}
    return found


def _describe(run: Run, max_clicks: int) -> dict[str, object]:
    """Return what a reader must know to compare figures of up to `max_clicks` clicks."""
    spec, rules = run.spec, run.spec.rules
    return {
        "preset": spec.preset,
        "clicker": rules.clicker,
        "max_clicks": min(max_clicks, rules.max_clicks),
        "stop_iou": rules.stop_iou,
        "objects": spec.objects,
        "fingerprint": spec.fingerprint,
        "seed": rules.seed,
        **{f"option_{name}": format_option(one) for name, one in sorted(spec.options.items())},
        "weights": spec.weights,
        "isbench_run": find_digest(run),
    }
