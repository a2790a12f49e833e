"""Whether the networks of a table were trained alike, read from the register of weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from isbench.papers.cells import Records
from isbench.papers.register import TrainedWeights

_SEED = "seed"  # may always differ
# what a system's own paper decides: which clicks and views it learns from, and its losses
RULES = ("augmentation", "click_sampling", "nfl_alpha", "nfl_gamma", "aux_weight")


def describe_training(records: Records, free: Collection[str] = ()) -> Iterator[str]:
    """Yield how a table's registered weights were trained, and whether that was alike.

    `free` are settings of recipes that may differ between rows, besides the seed. Yields nothing
    for rows without registered weights.
    """
    weights: dict[TrainedWeights, None] = {}
    for row in records.candidates:
        one = records.register.find_weights(row.model, row.weights)
        if one is not None:
            weights[one] = None
    if not weights:
        return
    first, *others = weights
    faults = [text for one in others if (text := _describe_differences(one, first, free))]
    if faults:
        yield f"The registered weights were not trained alike: {'; '.join(faults)}."
        return
    names = ", ".join(f"{one.models[0]} {one.name}" for one in weights)
    base = f" from weights {first.base[:12]}" if first.base else ""
    settings = "length, schedule and optimiser" if free else "all settings but the seed"
    equal = f"; {settings} are the same" if others else ""
    each = ": each was" if others else " was"
    seeds = sorted({one.seed for one in weights})
    seed = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    yield (
        f"{names}{each} trained with {first.samples:,} samples ({first.data}; {seed}){base}{equal}."
    )
    yield from _describe_devices(weights)


def _describe_devices(weights: Collection[TrainedWeights]) -> Iterator[str]:
    """Yield what the trainings ran on where this differs: rounding differs too."""
    if len({one.device for one in weights}) > 1:
        devices = "; ".join(f"{one.models[0]} {one.name} {one.device}" for one in weights)
        yield f"Device of each training: {devices}."


def _describe_differences(one: TrainedWeights, first: TrainedWeights, free: Collection[str]) -> str:
    """Return what differs from the first row's weights, "" if nothing does."""
    ours, theirs = (_list_settings(weights, free) for weights in (one, first))
    changes = [
        f"{key} {ours.get(key)} instead of {theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    return f"{one.models[0]} {one.name} has {', '.join(changes)}" if changes else ""


def _list_settings(weights: TrainedWeights, free: Collection[str]) -> Mapping[str, Any]:
    settings = {
        name: value
        for name, value in weights.list_settings().items()
        if name.partition(".")[0] not in (_SEED, *free)
    }
    base = weights.base[:12] or "none"
    return {**settings, "samples": f"{weights.samples:,}", "data": weights.data, "base": base}
