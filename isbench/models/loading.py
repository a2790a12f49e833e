"""Loads a model by name with its options, weights, device and backend: what `isbench run` plays."""

from __future__ import annotations

from collections.abc import Mapping

from isbench.errors import IsbenchError, check_least
from isbench.models.registry import check_libraries, load_card, parse_options
from isbench.models.weights import Progress, load_weights
from isbench.types import LoadedModel, ModelCard, Runtime, Scalar

MOST_THREADS = 1024


def load_model(
    model: ModelCard | str,
    options: Mapping[str, Scalar] | None = None,
    weights: str | None = None,
    *,
    device: str = "auto",
    precision: str = "fp32",
    threads: int = 1,
    backend: str = "auto",
    progress: Progress = lambda file, done, total: None,
) -> LoadedModel:
    """Return a model that is ready to play, its weights found or downloaded.

    Its networks are built when it plays.

    Parameters
    ----------
    model : ModelCard or str
        A card, the name of an installed model, or `package.module:card`.
    options : mapping
        Values of options by name, also as text such as "on" or "0.5"; the others have their
        defaults.
    weights : str or None
        A bundled or published name, one or several comma-separated files, or `random`. None selects
        the first bundled weights, or the published ones if there is only one set.
    device : str
        auto, cpu, cuda, cuda:N or mps.
    precision : str
        fp32, bf16 or fp16.
    threads : int
        Threads of the networks, per process.
    backend : str
        auto, eager, openvino, onnxruntime or compile; `auto` is the fastest one, or eager if that
        one does not give eager's outputs, which is found out when the networks are built.
    progress : callable
        Called during a download with the file, the bytes so far and the total or None.

    Returns
    -------
    LoadedModel
        The card, all options, and the runtime; see `isbench.run`.

    Raises
    ------
    IsbenchError
        For an unknown name or value, and for settings of networks if the model has none.
    """
    card = load_card(model) if isinstance(model, str) else model
    check_libraries(card)
    values = parse_options(card, options or {})
    if card.networks is None:
        _refuse_settings(card, weights, device, precision, threads, backend)
        return LoadedModel(card, values)
    from isbench.nn.runtime import backends, compute  # imports torch, which takes a second

    check_least("threads", threads, 1)
    if threads > MOST_THREADS:
        raise IsbenchError(
            f"threads is {threads}; wanted at most {MOST_THREADS}", setting="threads"
        )
    device, precision = compute.parse_device(device), compute.parse_precision(precision)
    if backend == "auto" and card.auto_backend:
        backend = card.auto_backend
    chosen = backends.choose_backend(backend, device, precision, card.gradients)
    runtime = Runtime(
        device=device,
        precision=precision,
        threads=threads,
        backend=chosen,
        gradients=card.gradients,
        fallback="eager" if backend == "auto" and chosen != "eager" else "",
    )
    return LoadedModel(card, values, load_weights(card, weights, runtime, progress))


def _refuse_settings(
    card: ModelCard, weights: str | None, device: str, precision: str, threads: int, backend: str
) -> None:
    """Raise IsbenchError for a setting that only networks have."""
    given = (
        ("weights", weights, (None,)),
        ("device", device, ("auto", "cpu")),
        ("precision", precision, ("fp32",)),
        ("backend", backend, ("auto", "eager")),
        ("threads", threads, (1,)),
    )
    for name, value, usual in given:
        if value not in usual:
            message = f"{name} is {value}, but {card.name} has no network; leave it out"
            raise IsbenchError(message, setting=name)
