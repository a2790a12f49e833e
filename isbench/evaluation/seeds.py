"""A stochastic clicker played with several seeds: one run for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from isbench.errors import check_least
from isbench.evaluation import runner
from isbench.evaluation.clickers.registry import check_stochastic
from isbench.storage.store import Run
from isbench.types import Dataset, LoadedModel, ModelCard, Rules


def run_seeds(
    model: LoadedModel | ModelCard | str,
    dataset: Dataset | str,
    rules: Rules,
    seeds: int,
    **settings: Any,
) -> list[Run]:
    """Play the same rules with `seeds` seeds, from that of the rules on, and return the runs.

    Parameters
    ----------
    model, dataset, rules
        As `run` takes them.
    seeds : int
        Number of seeds; 10 are usual.
    **settings
        The other arguments of `run`.

    Returns
    -------
    list of Run
        One for each seed; their figures as one row are made by `isbench report --table study`.

    Raises
    ------
    IsbenchError
        If `seeds` is below 1, or above 1 for a clicker without chance; and as `run`.
    """
    return [runner.run(model, dataset, one, **settings) for one in list_rules(rules, seeds)]


def list_rules(rules: Rules, seeds: int) -> list[Rules]:
    """Return the same rules with each of `seeds` seeds, from that of the rules on.

    Raises IsbenchError for a number of seeds that their clicker cannot use.
    """
    check_least("seeds", seeds, 1)
    check_stochastic(rules.clicker, seeds)
    return [replace(rules, seed=rules.seed + number) for number in range(seeds)]
