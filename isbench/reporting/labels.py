"""Short names of runs, made from what differs between them, as tables, plots and pages show them.

A name is the model's name, weights other than its default ones, and, where a data set has several
runs of the model, the settings that tell them apart. Not here: everything about a run
(`checklist`, and the provenance of pages).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from isbench.errors import IsbenchError
from isbench.evaluation.clickers.registry import parse_clicker
from isbench.models.known_weights import Weights, list_weights
from isbench.models.option_meanings import LEFT_TO_DATA
from isbench.models.registry import list_model_names, load_card
from isbench.options import format_option
from isbench.storage import store
from isbench.storage.store import Run
from isbench.types import ModelCard

NO_LABELS: Mapping[str, str] = MappingProxyType({})
_SHORTEST = 4  # digits of a digest in a name
_OPTION = "option "  # before an option's name among the settings


def format_count(number: int, noun: str) -> str:
    """Return a number and its noun: "1 click", "20 clicks"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def find_shared(runs: Sequence[Run]) -> dict[str, str]:
    """Return the unusual settings that all runs have in common, in words by setting."""
    settings = [_list_settings(run) for run in runs]
    return {
        key: _describe(key, settings[0][key], None)
        for key, usual in _UNREMARKABLE.items()
        if len({one[key] for one in settings}) == 1 and settings[0][key] not in usual
    }


def make_labels(
    runs: Sequence[Run],
    given: Mapping[str, str] = NO_LABELS,
    shared: Mapping[str, str] = NO_LABELS,
    weights: Mapping[str, str] = NO_LABELS,
) -> list[str]:
    """Return a short name of each run, unique on its data set.

    Parameters
    ----------
    runs : sequence of Run
        The runs that are shown together.
    given : mapping
        Names that the user chose, by run digest.
    shared : mapping
        Settings that are said elsewhere, as `find_shared` returns them.
    weights : mapping
        Names of weights that no card lists, by sha256; such weights are always named.

    Returns
    -------
    list of str
        The model, and the fewest settings that distinguish its runs: weights, then options, then
        rules. Those equal to the card's defaults are left out. Random weights, weights other than
        the default ones that come with the model, and unusual rules are always named. Where
        settings do not tell, the name has the start of the digest.
    """
    settings = [_list_settings(run) for run in runs]
    models: dict[str, list[int]] = defaultdict(list)
    for k, run in enumerate(runs):
        models[run.spec.model].append(k)
    labels = [""] * len(runs)
    for model, members in models.items():
        needed = _find_distinguishing([(runs[k].spec.dataset, settings[k]) for k in members])
        card = _find_card(model)
        for k in members:
            for key in needed:
                settings[k].setdefault(key, _find_added(key, card))
        usual = {key: _find_usual(key, [settings[k] for k in members], card) for key in needed}
        for k in members:
            distinct = {key: value for key, value in settings[k].items() if key not in shared}
            words = _describe_settings(distinct, usual, card, weights)
            labels[k] = _clean(", ".join((model, *words)))
    digests = [store.parse_digest(run.path) for run in runs]
    labels = [
        _clean(given.get(digest, label)) for digest, label in zip(digests, labels, strict=True)
    ]
    return _make_unique(labels, [run.spec.dataset for run in runs], digests)


def has_defaults(run: Run) -> bool:
    """Return whether a run has the options and weights of its model's card, and usual rules.

    Those are the clicker centre, the seed 0 and all objects; the length of its games may be any.
    An option that the card leaves to the data set may have any value. False if the model is not
    installed.
    """
    card, spec = _find_card(run.spec.model), run.spec
    if card is None or (spec.rules.seed, spec.initial) != (0, None):
        return False
    usual = card.options.items()
    options = {**card.added_options, **spec.options}
    settings = _list_settings(run)
    return (
        all(LEFT_TO_DATA.get(name) == value or options.get(name) == value for name, value in usual)
        and all(settings[key] in values for key, values in _UNREMARKABLE.items())
        and spec.weights == _find_default(card)
    )


def _list_settings(run: Run) -> dict[str, object]:
    """Return the settings that may tell runs of a model apart, in the order they are tried."""
    spec, rules = run.spec, run.spec.rules
    options = sorted(spec.options.items(), key=lambda one: (len(one[0]), one[0]))  # short names
    return {
        "weights": spec.weights,
        **{f"{_OPTION}{key}": value for key, value in options},
        "preset": spec.preset,
        "clicker": rules.clicker,
        "seed": rules.seed,
        "limit": spec.limit,
        "initial masks": spec.initial and spec.initial[:8],
        "max_clicks": rules.max_clicks,
        "stop_iou": rules.stop_iou,
        "backend": spec.backend,
        "precision": spec.precision,
        "threads": spec.threads,
        "version": spec.version,
        "clicker_version": spec.clicker_version,
        **{f"library {key}": value for key, value in spec.libraries.items()},
        "decoder": spec.decoder,
    }


def _find_distinguishing(runs: Sequence[tuple[str, Mapping[str, object]]]) -> list[str]:
    """Return the fewest settings, in order, that divide the runs of a data set as far as all do."""
    parts: list[tuple[object, ...]] = [(dataset,) for dataset, _ in runs]
    needed = []
    for key in dict.fromkeys(key for _, settings in runs for key in settings):
        finer = [(*part, repr(one.get(key))) for part, (_, one) in zip(parts, runs, strict=True)]
        if len(set(finer)) > len(set(parts)):
            parts = finer
            needed.append(key)
    return needed


def _find_card(model: str) -> ModelCard | None:
    """Return the card of an installed model; a name in a record is never imported otherwise."""
    try:
        return load_card(model) if model in list_model_names() else None
    except IsbenchError:
        return None


def _find_added(key: str, card: ModelCard | None) -> object:
    """Return the value of an option at which records lack it; None for other settings."""
    if card is None or not key.startswith(_OPTION):
        return None
    return card.added_options.get(key.removeprefix(_OPTION))


def _find_usual(
    key: str, settings: Sequence[Mapping[str, object]], card: ModelCard | None
) -> object:
    """Return the value that needs no mention: the card's, else the one that most runs have."""
    found = [one.get(key) for one in settings]
    if key == "stop_iou":
        return max(one for one in found if isinstance(one, int | float))
    if key == "weights" and card is not None and card.default_weights is None:
        return None  # of several published ones, or of any files, each is named
    for value in _list_usual(key, card):
        if value in found:
            return value
    counts = Counter(map(repr, found))
    return max(found, key=lambda value: counts[repr(value)])


def _list_usual(key: str, card: ModelCard | None) -> Iterator[object]:
    """Yield values of a setting that need no mention if some run has them, the best one first."""
    yield from _UNREMARKABLE.get(key, ())
    if key == "max_clicks":
        yield 20
    if card is not None and key == "weights":
        yield from filter(None, [_find_default(card)])
    if card is not None and key.startswith(_OPTION):
        yield card.options.get(key.removeprefix(_OPTION))


def _is_other(weights: object, card: ModelCard | None) -> bool:
    """Return whether these are not the weights that the model plays with by default."""
    default = None if card is None else _find_default(card)
    return default is not None and weights not in (None, default)


def _find_default(card: ModelCard) -> str | None:
    """Return the sha256 of the weights that a run without --weights has, None if unknown."""
    known = _list_weights(card)
    return next((one.digest for one in known if one.name == card.default_weights), None)


def _list_weights(card: ModelCard | None) -> tuple[Weights, ...]:
    """Return the weights of a card whose sha256 is known."""
    try:
        return () if card is None else list_weights(card)
    except IsbenchError:  # a file that cannot be read: digests name the weights
        return ()


def _describe_settings(
    settings: Mapping[str, object],
    usual: Mapping[str, object],
    card: ModelCard | None,
    weights: Mapping[str, str],
) -> Iterator[str]:
    for key, value in settings.items():
        if key == "weights" and str(value) in weights:
            yield f"{weights[str(value)]} weights"
            continue
        listed = key in usual and value != usual[key] and (key, value) != _CUSTOM
        if key == "weights":
            unusual = value == "random" or _is_other(value, card)
        else:
            unusual = value not in _UNREMARKABLE.get(key, (value,))
        if listed or unusual:
            yield _describe(key, value, card)


_CUSTOM = ("preset", "custom")  # shows by the clicker and the other rules
# values that need no mention, the usual one first
_UNREMARKABLE: Mapping[str, tuple[object, ...]] = {
    "preset": ("ritm-2021", "custom"),
    "clicker": ("centre",),
    "limit": (None,),
}


_COUNTED = {"max_clicks": "click", "limit": "object", "threads": "thread"}


def _describe(key: str, value: object, card: ModelCard | None) -> str:
    """Return a setting in words."""
    if key == "weights":
        if value is None:
            return "no weights"
        names = {one.digest: one.name for one in _list_weights(card)}
        return f"{names.get(str(value), str(value)[:7])} weights"
    if value is None:
        return "all objects" if key == "limit" else f"no {_name(key)}"
    if isinstance(value, bool):
        return f"{'with' if value else 'no'} {_name(key)}"
    if key == "stop_iou":
        return "full games" if float(str(value)) > 1 else f"to IoU {value}"
    if key in _COUNTED:
        return f"{'first ' * (key == 'limit')}{format_count(int(str(value)), _COUNTED[key])}"
    if key in ("backend", "precision"):
        return str(value)
    return f"{_name(key)} {_format(key, value)}"


def _format(key: str, value: object) -> str:
    if key == "clicker":
        return _shorten_clicker(str(value))
    return format_option(value) if isinstance(value, int | float | str) else str(value)


def _shorten_clicker(text: str) -> str:
    """Return a recorded clicker without its parameters if they are the defaults."""
    name = text.partition(":")[0]
    text = re.sub(r"(sha256=[0-9a-f]{7})[0-9a-f]+", r"\1", text)  # of a file of clicks
    try:
        return name if parse_clicker(name).text == text else text
    except IsbenchError:  # not installed, or one that needs parameters
        return text


def _name(key: str) -> str:
    """Return a setting's name as people write it: "g2l" is G2L, "zoom_target" is zoom target."""
    bare = key.removeprefix(_OPTION).removeprefix("library ")
    acronym = re.fullmatch(r"[b-df-hj-np-tv-xz0-9]{2,5}", bare) or re.fullmatch(
        r"[a-z]{1,2}\d[a-z0-9]?", bare
    )
    return bare.upper() if acronym else bare.replace("_", " ")


def _clean(text: str) -> str:
    """Return a text on one line that can be printed anywhere."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(printable.split()) or "unnamed"


def _make_unique(
    labels: Sequence[str], datasets: Sequence[str], digests: Sequence[str]
) -> list[str]:
    """Return the labels, with the start of the digest where two of a data set are equal."""
    counts = Counter(zip(datasets, labels, strict=True))
    unique = []
    for dataset, label, digest in zip(datasets, labels, digests, strict=True):
        if counts[dataset, label] == 1:
            unique.append(label)
            continue
        others = [other for other in digests if other != digest]
        length = _SHORTEST
        while length < len(digest) and any(one.startswith(digest[:length]) for one in others):
            length += 1
        unique.append(f"{label}, run {digest[:length]}")
    return unique
