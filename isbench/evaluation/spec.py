"""From a model, a data set and rules to the Spec that identifies a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version

from isbench import protocol
from isbench.datasets.catalogue import DatasetCard
from isbench.datasets.fingerprints import digest_keys, fingerprint, fingerprint_initial
from isbench.datasets.image_io import DECODER
from isbench.evaluation.clickers.registry import parse_clicker
from isbench.evaluation.job import THREADS
from isbench.models.option_meanings import LEFT_TO_DATA
from isbench.storage.records import check_recordable
from isbench.types import Dataset, LoadedModel, ModelCard, Rules, Scalar, Spec


def make_spec(
    model: LoadedModel, dataset: Dataset, rules: Rules, content: str | None = None
) -> Spec:
    """Return the Spec of a run; `content` is the data set's fingerprint if already computed.

    Its rules name the clicker by its canonical text, so that equal clickers give equal Specs.
    Raises IsbenchError for values that no record can hold, such as an option that is an array.
    """
    clicker = parse_clicker(rules.clicker)
    rules = replace(rules, clicker=clicker.text)
    runtime = model.runtime
    libraries = dict(model.card.libraries)
    if runtime is not None and runtime.backend in ("openvino", "onnxruntime"):
        libraries[runtime.backend] = version(runtime.backend)
    spec = Spec(
        model=model.name,
        version=model.card.version,
        libraries=libraries,
        options=record_options(model.card, model.options),
        weights=runtime.digest if runtime else None,
        dataset=dataset.name,
        limit=dataset.limit,
        objects=len(dataset.keys),
        keys=digest_keys(dataset.keys),
        fingerprint=fingerprint(dataset) if content is None else content,
        decoder=DECODER,
        preset=protocol.name_preset(rules),
        preset_digest=protocol.digest_preset(rules),
        rules=rules,
        backend=runtime.backend_and_device if runtime else None,
        precision=runtime.precision if runtime else None,
        threads=runtime.threads if runtime else THREADS,
        clicker_version=clicker.card.version,
        initial=fingerprint_initial(dataset),
    )
    check_recordable(spec)
    return spec


def with_dataset_defaults(model: LoadedModel, dataset: Dataset) -> LoadedModel:
    """Return the model with the options that are left to the data set filled in."""
    return replace(model, options=fill_options(model.options, dataset))


def fill_options(
    options: Mapping[str, Scalar], dataset: Dataset | DatasetCard
) -> dict[str, Scalar]:
    """Return a model's options with those that are left to the data set filled in."""
    filled = {
        name: getattr(dataset, name)
        for name, placeholder in LEFT_TO_DATA.items()
        if options.get(name) == placeholder
    }
    return {**options, **filled}


def record_options(card: ModelCard, options: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the options as a Spec has them: without added ones that play as before."""
    added = card.added_options
    return {
        name: value for name, value in options.items() if name not in added or value != added[name]
    }


def restore_options(card: ModelCard, recorded: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return all options of a run from those that its Spec has."""
    return {**card.added_options, **recorded}
